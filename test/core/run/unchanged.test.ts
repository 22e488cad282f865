import { describe, expect, it } from "vitest";
import { differenceOfEquals } from "../../../src/core/backup/since-last.ts";
import { EVERYTHING, type ExportOptions } from "../../../src/core/d1/export-options.ts";
import { effectivePolicy } from "../../../src/core/policy/effective-policy.ts";
import { reasonForFullBackup, type UnchangedQuestion } from "../../../src/core/run/unchanged.ts";
import { HASH, manifest, unsealed, volume } from "../kit/sample-manifest.ts";

const startedAt = Date.parse(manifest.startedAt);
const HOUR_MS = 3_600_000;

const same: UnchangedQuestion = {
  databaseId: "d",
  databaseName: "shop",
  request: { label: null, pinned: false, force: false, examine: false },
  policy: effectivePolicy({}, { compression: "gzip", volumeBytes: 1 }),
  options: { compression: "gzip", volumeBytes: 1, lean: false, recipients: [], exportOptions: EVERYTHING },
  off: false,
  bookmark: "b",
  manifest,
  now: startedAt + HOUR_MS,
};
const exporting = (change: Partial<ExportOptions>): Partial<UnchangedQuestion> => ({
  options: { ...same.options, exportOptions: { ...EVERYTHING, ...change } },
});
const encrypted = { format: "age-encryption.org/v1", recipients: ["age1a", "age1b"] };

describe("a database of the same bookmark", () => {
  it("needs no new backup", () => {
    expect(reasonForFullBackup(same)).toBeNull();
  });

  it("needs none when its recipients are named in another order", () => {
    const options = { ...same.options, recipients: ["age1b", "age1a"] };
    expect(
      reasonForFullBackup({ ...same, options, manifest: { ...manifest, encryption: encrypted } }),
    ).toBeNull();
  });

  it("needs none when the same tables are named in another order", () => {
    const named = { ...manifest, exportOptions: { ...EVERYTHING, tables: ["t", "u"] } };
    expect(
      reasonForFullBackup({ ...same, ...exporting({ tables: ["u", "t"] }), manifest: named }),
    ).toBeNull();
  });

  it.each<[string, Partial<UnchangedQuestion>]>([
    ["labelled", { request: { ...same.request, label: "before migration 12" } }],
    ["pinned", { request: { ...same.request, pinned: true } }],
    ["forced", { request: { ...same.request, force: true } }],
    ["to be examined", { request: { ...same.request, examine: true } }],
    ["the policy wants every backup in full", { policy: { ...same.policy, maxUnchangedDays: 0 } }],
    ["bookmarks are not relied on", { off: true }],
    ["no last backup", { manifest: null }],
    ["no bookmark", { bookmark: null }],
    ["written to", { bookmark: "c" }],
    ["another database", { databaseId: "e" }],
    ["renamed", { databaseName: "store" }],
    ["other options", { options: { ...same.options, compression: "zstd" } }],
    ["other options", { options: { ...same.options, lean: true } }],
    ["other options", { options: { ...same.options, recipients: ["age1a"] } }],
    ["other options", { manifest: { ...manifest, encryption: encrypted } }],
    [
      "other options",
      {
        options: { ...same.options, recipients: ["age1a", "age1c"] },
        manifest: { ...manifest, encryption: encrypted },
      },
    ],
    ["other options", exporting({ noData: true })],
    ["other options", exporting({ noSchema: true })],
    ["other options", exporting({ tables: ["t"] })],
    ["other options", { manifest: { ...manifest, exportOptions: { ...EVERYTHING, tables: ["t"] } } }],
    ["due", { now: startedAt + 7 * 24 * HOUR_MS }],
  ])("gets one all the same: %s", (reason, change) => {
    expect(reasonForFullBackup({ ...same, ...change })).toBe(reason);
  });
});

describe("two backups of one bookmark", () => {
  const later = { ...unsealed, backupId: "later" };

  const equal = { before: HASH, after: HASH };
  const others = { before: HASH, after: HASH.replaceAll("a", "b") };
  const HASHES = "its dump has as many bytes, but another SHA-256";

  it("are equal when hash, bytes and rows are", () => {
    expect(differenceOfEquals(manifest, later, equal)).toBeNull();
  });

  it.each([
    ["its dump has 32 bytes instead of 31", { dump: { ...later.dump, bytes: 32 } }],
    ["it counts other rows in t", { tables: [{ name: "t", rows: 1 }] }],
    ["it counts other rows", { tables: [] }],
  ])("differ: %s", (difference, change) => {
    expect(differenceOfEquals(manifest, { ...later, ...change }, equal)).toBe(difference);
  });

  it.each([
    ["differ when their hashes do", later.volumes, others, HASHES],
    ["are not compared by a hash that is not known", later.volumes, { ...others, before: null }, null],
    ["are not compared by hash when there are other volumes", [volume, volume], others, null],
    [
      "are not compared by hash when the volumes were cut elsewhere",
      [{ ...volume, dumpBytes: 30 }],
      others,
      null,
    ],
  ])("%s", (_, volumes, fingerprints, difference) => {
    expect(differenceOfEquals(manifest, { ...later, volumes }, fingerprints)).toBe(difference);
  });

  it("are not compared at all when one of them was not to hold everything", () => {
    const named = { ...later, exportOptions: { ...EVERYTHING, tables: ["t"] } };
    const longer = { ...named, dump: { ...later.dump, bytes: 32 } };
    expect(differenceOfEquals(manifest, longer, others)).toBeNull();
  });

  it("are not compared at all when the data had moved on (failure mode 38)", () => {
    const moved = { ...later, atBookmark: "c", dump: { ...later.dump, bytes: 32 } };
    expect(differenceOfEquals(manifest, moved, others)).toBeNull();
  });
});
