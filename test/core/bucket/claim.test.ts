import { describe, expect, it } from "vitest";
import { claimText, readClaim } from "../../../src/core/bucket/claim.ts";

const ID = "00000000-0000-4000-8000-00000000000a";
const run = `${ID}.mgzzzzzz`;

describe("a folder's claim", () => {
  it.each([
    [{ runId: run, databaseId: ID }, true],
    [{ runId: run, databaseId: ID, more: 1 }, true],
    [{ runId: run, databaseId: ID.replace("a", "b") }, false],
    [{ runId: "x", databaseId: "x" }, false],
    [{ runId: run.toUpperCase(), databaseId: ID.toUpperCase() }, false],
    [{ runId: run }, false],
    [[], false],
  ])("that says %j", (claim, ours) => {
    expect(readClaim(JSON.stringify(claim))).toEqual(ours ? { runId: run, databaseId: ID } : null);
  });

  it.each([[""], ["{"], [null]])("that is %j is none", (text) => {
    expect(readClaim(text)).toBeNull();
  });

  it("is read as it was written", () => {
    const claim = { runId: run, databaseId: ID };
    expect(claimText(claim)).toBe(`{"runId":"${run}","databaseId":"${ID}"}\n`);
    expect(readClaim(claimText(claim))).toEqual(claim);
  });
});
