import { expect, it } from "vitest";
import { emptiedTables, encryptionEnded } from "../../../src/core/backup/since-last.ts";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import { missingTables, scanHazards } from "../../../src/core/dump/hazards.ts";
import { NOTHING_SCANNED } from "../../../src/core/dump/tally.ts";
import { manifest } from "../kit/sample-manifest.ts";

const before = {
  ...manifest,
  tables: [
    { name: "t", rows: 5 },
    { name: "u", rows: 0 },
    { name: "v", rows: null },
  ],
};

it.each<[string, [string, number][], string[]]>([
  [
    "rows are still there",
    [
      ["t", 1],
      ["u", 0],
    ],
    [],
  ],
  ["a table lost all of its rows", [["t", 0]], ["t"]],
  [
    "a table without rows stays so",
    [
      ["t", 5],
      ["u", 0],
    ],
    [],
  ],
  ["a table is gone, which is somebody's wish", [["u", 0]], []],
  [
    "a table that was never counted is empty",
    [
      ["t", 5],
      ["v", 0],
    ],
    [],
  ],
])("compared with the last backup, %s", (_, rows, emptied) => {
  const hazards = emptiedTables(before, rows, EVERYTHING);
  expect(hazards.map(({ kind, table }) => [kind, table])).toEqual(
    emptied.map((table) => ["emptied-table", table]),
  );
  for (const hazard of hazards) expect(hazard.count).toBe(5);
});

it("the first backup has nothing to be compared with", () => {
  expect(emptiedTables(null, [["t", 0]], EVERYTHING)).toEqual([]);
});

it("a backup that was to hold something else says nothing of a table without rows", () => {
  for (const exportOptions of [
    { ...EVERYTHING, noSchema: true },
    { ...EVERYTHING, tables: ["t"] },
  ]) {
    expect(emptiedTables(before, [["t", 0]], exportOptions)).toEqual([]);
    expect(emptiedTables({ ...before, exportOptions }, [["t", 0]], exportOptions)).toHaveLength(1);
  }
});

it("a table that the dump does not hold is missed, whatever its letters' case", () => {
  const scanned = { ...NOTHING_SCANNED, rows: [["Users", 1]] satisfies [string, number][] };
  expect(missingTables(["users", "orders"], scanned)).toEqual(["orders"]);
});

it("encryption that ended is told, and one that never was is not", () => {
  const encrypted = { ...manifest, encryption: { format: "age-encryption.org/v1", recipients: ["age1a"] } };
  expect(encryptionEnded(encrypted, []).map(({ kind }) => kind)).toEqual(["encryption-ended"]);
  expect(encryptionEnded(encrypted, ["age1b"])).toEqual([]);
  expect(encryptionEnded(manifest, [])).toEqual([]);
  expect(encryptionEnded(null, [])).toEqual([]);
});

it("what the scanner has marked is told by kind, table and count", () => {
  const scanned = { ...NOTHING_SCANNED, marks: [["nul", "t", 2]] satisfies ["nul", string, number][] };
  expect(scanHazards(scanned)).toEqual([
    { kind: "nul", table: "t", count: 2, detail: expect.stringContaining("NUL") },
  ]);
});
