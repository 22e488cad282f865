import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import type { Run } from "../../../scripts/start/round/backup-round.ts";
import { exitCodeOf, type Outcome, outcomeTable } from "../../../scripts/start/terminal/summary.ts";
import { partialHazards } from "../../../src/core/dump/partial-export.ts";
import { manifest } from "../../core/kit/sample-manifest.ts";

const run: Run = {
  id: "r",
  databaseName: "shop",
  state: "complete",
  createdAt: "2026-11-21T03:00:00.000Z",
  finishedAt: "2026-11-21T03:00:09.000Z",
  progress: { step: "complete", bytesDone: null, bytesTotal: null, message: null },
  error: null,
  backupId: manifest.backupId,
};
const reason = { code: "virtual-tables", detail: "D1 exports none.", hint: "Leave them out." };

const STORED: Outcome = { kind: "stored", run, backup: { manifest, folder: "shop" } };
const NOT_COVERED: Outcome = { kind: "not-covered", run: { ...run, state: "failed" }, reason };
const FAILED: Outcome = { kind: "failed", run: { ...run, state: "failed" }, reason };

describe("npm start -- --once", () => {
  it.each<[string, Outcome[], number]>([
    ["every database has a backup that was read back", [STORED, STORED], 0],
    ["a backup has failed", [STORED, FAILED], 1],
    ["a database is not covered", [NOT_COVERED, STORED], 1],
  ])("when %s exits with its code", (_, outcomes, code) => {
    expect(exitCodeOf(outcomes)).toBe(code);
  });
});

describe("the table of what became of each database", () => {
  it("says why a database has no backup", () => {
    expect(stripVTControlCharacters(outcomeTable([NOT_COVERED]))).toContain(
      "\n\n  shop: virtual-tables\n    D1 exports none.\n    Leave them out.",
    );
  });

  it("says that a backup is partial", () => {
    const exportOptions = { noData: false, noSchema: false, tables: ["t"] };
    const hazards = partialHazards(exportOptions, [{ name: "v", kind: "table", sql: "", reason: "" }]);
    const partial: Outcome = { ...STORED, backup: { manifest: { ...manifest, hazards }, folder: "shop" } };
    expect(outcomeTable([STORED])).not.toContain("partial");
    expect(outcomeTable([partial])).toContain("\n\n  shop: partial\n    Partial backup");
  });
});
