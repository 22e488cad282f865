import { describe, expect, it } from "vitest";
import type { Hazard } from "../../../src/core/dump/hazards.ts";
import { NOTHING_SCANNED, type Scanned } from "../../../src/core/dump/tally.ts";
import { alteredHazards, notExamined, withFindings } from "../../../src/core/examination/findings.ts";
import type { AlteredCounts } from "../../../src/core/examination/question.ts";
import { dumpHazards, genuineReplacements } from "../../../src/core/examination/replaced-text.ts";
import { tableRules } from "../../../src/core/examination/table-rules.ts";

const NONE: AlteredCounts = {
  total: 9,
  text: 0,
  integers: 0,
  reals: 0,
  renumbered: 0,
  replacementRows: 0,
  replacements: 0,
  rules: null,
};

it("each kind of altered value is told by its table and count, and what there is none of is not", () => {
  const hazards = alteredHazards("t", { ...NONE, text: 3, reals: 1, renumbered: 2 });
  expect(hazards.map(({ kind, table, count }) => [kind, table, count])).toEqual([
    ["altered-text", "t", 3],
    ["altered-reals", "t", 1],
    ["renumbered-rows", "t", 2],
  ]);
  expect(alteredHazards("t", NONE)).toEqual([]);
});

it("a value that may break a rule of its table is told with the rules", () => {
  const rules = "CREATE TABLE t (id INTEGER PRIMARY KEY, v CHECK (json_valid(v)))";
  const [hazard] = alteredHazards("t", { ...NONE, text: 1, rules });
  expect(hazard?.detail).toContain("it has: PRIMARY KEY, CHECK");
  const [free] = alteredHazards("t", { ...NONE, text: 1, rules: "CREATE TABLE t (v)" });
  expect(free?.detail).not.toContain("refused");
});

it("no more tables are named than fit into a run's state, and the others are counted together", () => {
  let found: Hazard[] = [];
  for (let i = 0; i < 700; i++) {
    found = withFindings(found, alteredHazards(`t${i}`, { ...NONE, text: 2 }));
    if (i % 100 === 0) found = withFindings(found, [notExamined("it failed.", `u${i}`)]);
  }
  expect(found.filter(({ table }) => table !== null)).toHaveLength(500);
  const summed = found.filter(({ table }) => table === null);
  expect(summed.map(({ kind, count }) => [kind, count])).toEqual([
    ["altered-text", 410],
    ["not-examined", 2],
  ]);
  expect(summed[0]?.detail).toContain("further tables");
  expect(JSON.stringify(found).length).toBeLessThan(200_000);
});

describe("a table's rules", () => {
  it.each<[string, string, string[]]>([
    ["none", "CREATE TABLE t (a, b NOT NULL DEFAULT 1)", []],
    ["a CHECK", "CREATE TABLE t (a CHECK (json_valid(a)))", ["CHECK"]],
    ["a column that is called so", "CREATE TABLE t (\"check\", a DEFAULT 'CHECK (1)') -- CHECK (", []],
    ["keys", "CREATE TABLE t (a PRIMARY KEY, b, UNIQUE (b))", ["PRIMARY KEY", "UNIQUE"]],
    ["STRICT", "CREATE TABLE t (a INT) STRICT, WITHOUT ROWID", ["STRICT"]],
    ["a column called strict", "CREATE TABLE t (strict INT)", []],
    ["a computed column", "CREATE TABLE t (a, b AS (json_extract(a, '$.b')) STORED)", ["generated columns"]],
    ["a unique index", "CREATE TABLE t (a)\n;\nCREATE UNIQUE INDEX i ON t (a, b DESC)", ["UNIQUE"]],
    ["a plain index", "CREATE TABLE t (a)\n;\nCREATE INDEX i ON t (a COLLATE NOCASE, b DESC)", []],
    [
      "an index on an expression",
      "CREATE TABLE t (a)\n;\nCREATE INDEX i ON t (b, json_extract(a, '$.b'))",
      ["an index on an expression"],
    ],
    [
      "an index on some rows",
      "CREATE TABLE t (a)\n;\nCREATE INDEX i ON t (a) WHERE a -> 'b'",
      ["an index on an expression"],
    ],
  ])("%s", (_, sql, rules) => {
    expect(tableRules(sql)).toEqual(rules);
  });
});

describe("text that is not UTF-8", () => {
  const scanned = (rows: number, characters: number): Scanned => ({
    ...NOTHING_SCANNED,
    marks: [
      ["replaced", "t", rows],
      ["rounded", "t", 5],
    ],
    replacements: [["t", characters]],
  });
  const told = (...of: Parameters<typeof dumpHazards>) =>
    dumpHazards(...of).map(({ kind, table, count }) => [kind, table, count]);
  const asked: [string, number][] = [["t", 9]];

  it("may be behind each U+FFFD of a dump whose table nobody was asked about", () => {
    const marked = [
      ["replaced", "t", 2],
      ["rounded", "t", 5],
    ];
    expect(told(scanned(2, 3), { rows: [], genuine: [] })).toEqual(marked);
    expect(told(scanned(2, 3), { rows: [["u", 1]], genuine: [] })).toEqual(marked);
  });

  it.each<[string, [string, number, number][], unknown[]]>([
    ["is told where the database holds no U+FFFD", [], [["invalid-text", "t", 2]]],
    ["is not told where the database holds as many", [["t", 2, 3]], []],
    ["is told without a count where it holds fewer", [["t", 2, 2]], [["invalid-text", "t", null]]],
    ["is told where those are another table's", [["u", 2, 3]], [["invalid-text", "t", 2]]],
  ])("%s", (_, genuine, hazards) => {
    expect(told(scanned(2, 3), { rows: asked, genuine })).toEqual(hazards);
  });

  it("is told apart from names that stand in each row", () => {
    const table = {
      name: "t\uFFFD",
      columns: [{ name: "\uFFFD\uFFFD", affinity: "TEXT" as const }],
      rowid: null,
    };
    expect(genuineReplacements(table, NONE)).toEqual(["t\uFFFD", 9, 27]);
    expect(genuineReplacements(table, { ...NONE, replacementRows: 1, replacements: 2 })).toEqual([
      "t\uFFFD",
      9,
      29,
    ]);
    expect(genuineReplacements(table, { ...NONE, total: 0 })).toBeNull();
    const plain = { ...table, name: "t", columns: [] };
    expect(genuineReplacements(plain, NONE)).toBeNull();
    expect(genuineReplacements(plain, { ...NONE, replacementRows: 1, replacements: 2 })).toEqual(["t", 1, 2]);
  });
});
