import { describe, expect, it } from "vitest";
import { KEEP_ALL } from "../../../src/core/backup/retention.ts";
import {
  policyCopyText,
  readDefaultPolicyCopy,
  readPolicyCopy,
} from "../../../src/core/policy/policy-copy.ts";

const ID = "00000000-0000-4000-8000-00000000000a";

const copy = {
  databaseId: ID,
  databaseName: "shop",
  policy: { compression: "none" as const },
  unchanged: { backupId: "shop.20261121T030000Z", checkedAt: "2026-11-22T03:00:00.000Z" },
  unchangedOff: { at: "2026-11-22T03:00:00.000Z", detail: "another hash" },
  examinedAt: "2026-11-21T03:00:00.000Z",
  policyChanges: [{ at: "2026-11-20T03:00:00.000Z", who: "ADMIN_TOKEN", policy: { compression: "none" } }],
};
const stored = { formatVersion: 1, ...copy };

describe("the copy of a policy in the bucket", () => {
  it("is read as it was written, a database's own and that of all", () => {
    expect(readPolicyCopy(ID, policyCopyText(copy))).toEqual(stored);
    const shared = { policy: { exclude: ["tmp-*"] }, policyChanges: [] };
    expect(readDefaultPolicyCopy(policyCopyText(shared))).toEqual({ formatVersion: 1, ...shared });
  });

  it.each<[string, unknown, unknown]>([
    ["a finding that is not there", { ...stored, unchangedOff: undefined }, { unchangedOff: null }],
    [
      "a finding that cannot be read",
      {
        ...stored,
        unchanged: { backupId: "x", checkedAt: "yesterday" },
        examinedAt: 7,
        policyChanges: "none",
      },
      { unchanged: null, examinedAt: null, policyChanges: [], policy: copy.policy },
    ],
    [
      "a part of the policy that is not known",
      { ...stored, policy: { compression: "rar", paused: true } },
      { policy: { paused: true } },
    ],
    [
      "rules of retention that are not all understood",
      { ...stored, policy: { retention: { keepLast: 3, keepLunar: 1 } } },
      { policy: { retention: KEEP_ALL } },
    ],
  ])("does without %s", (_, text, expected) => {
    expect(readPolicyCopy(ID, JSON.stringify(text))).toMatchObject(expected as object);
  });

  it.each<[string, unknown, RegExp]>([
    ["of a later format", { ...stored, formatVersion: 2 }, /formatVersion/],
    ["of another database", { ...stored, databaseId: "other" }, /another database/],
    ["without a name", { ...stored, databaseName: undefined }, /databaseName/],
    ["that is something else", "nothing", /./],
  ])("%s is refused, with the reason", (_, text, problem) => {
    expect(readPolicyCopy(ID, JSON.stringify(text))).toMatch(problem);
  });

  it("that is no JSON is refused, also that of all databases", () => {
    expect(readPolicyCopy(ID, "{")).toMatch(/./);
    expect(readDefaultPolicyCopy("no policy")).toMatch(/./);
    expect(readDefaultPolicyCopy(JSON.stringify({ formatVersion: 2, policy: {} }))).toMatch(/formatVersion/);
  });
});
