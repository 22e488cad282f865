import { describe, expect, it } from "vitest";
import { LONGEST_STATEMENT } from "../../../src/core/d1/limits.ts";
import { NOTHING_SCANNED, type Scanned, Tally } from "../../../src/core/dump/tally.ts";
import { StatementScanner, UNENDED_MARK } from "../../../src/core/sql/statements.ts";
import { INFINITY_MARK, NUL_MARK, REPLACED_MARK, ROUNDED_MARK } from "../../../src/core/sql/value-marks.ts";
import { chunkSizes, type DumpedStatement, joined, randomDump } from "../kit/random-dumps.ts";
import { scanVolumes } from "../kit/scan-dump.ts";
import fc from "fast-check";

const encode = (sql: string): Uint8Array => new TextEncoder().encode(sql);
const scanned = (sql: string): Scanned => scanVolumes(encode(sql), Infinity).scanned;

describe("what the scanner has seen", () => {
  it("are rows per table, in the order of the dump, without those of SQLite's own", () => {
    const sql = `CREATE TABLE b (x);\nINSERT INTO "b" ("x") VALUES(1);\nCREATE TABLE a (x);\nCREATE TABLE sqlite_stat9 (x);
INSERT INTO "sqlite_sequence" ("name","seq") VALUES('b',1);\nINSERT INTO "b" ("x") VALUES(2);`;
    expect(scanned(sql)).toEqual({
      ...NOTHING_SCANNED,
      rows: [
        ["b", 2],
        ["a", 0],
      ],
    });
  });

  it.each<[string, string, Scanned["marks"]]>([
    ["a row as long as D1 takes", row("t", text(LONGEST_STATEMENT)), []],
    ["a row that is one byte too long", row("t", text(LONGEST_STATEMENT + 1)), [["oversize", "t", 1]]],
    [
      "two in one table, one in another, a view and a table's definition",
      [
        row("t", text(LONGEST_STATEMENT + 1)),
        row("u", text(LONGEST_STATEMENT * 2)),
        row("t", text(LONGEST_STATEMENT + 1)),
        `CREATE VIEW v AS SELECT '${"x".repeat(LONGEST_STATEMENT)}';`,
        `CREATE TABLE t (a DEFAULT '${"x".repeat(LONGEST_STATEMENT)}');`,
      ].join("\n"),
      [
        ["oversize", "t", 2],
        ["oversize", "u", 1],
        ["oversize", null, 2],
      ],
    ],
    [
      "characters that count as several bytes",
      row("t", `'${"é".repeat(LONGEST_STATEMENT / 2)}'`),
      [["oversize", "t", 1]],
    ],
    [
      "rows that do not come back as they were",
      [
        row("t", "'\0'"),
        row("u", "9e999"),
        row("t", "'\0',9007199254740993"),
        row("sqlite_sequence", "'t',9007199254740993"),
      ].join("\n"),
      [
        ["nul", "t", 2],
        ["infinity", "u", 1],
        ["rounded", "t", 1],
        ["rounded", "sqlite_sequence", 1],
      ],
    ],
  ])("are hazards: %s", (_, sql, marks) => {
    expect(scanned(sql).marks).toEqual(marks);
  });

  it.each<[string, string, Scanned["starts"]]>([
    ["no parts", "CREATE TABLE t (a);", { indexes: null, triggers: null, views: null }],
    [
      "all parts",
      "CREATE TABLE é (a);\nCREATE INDEX i ON t(a);\nCREATE INDEX j ON t(a);\nCREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;\nCREATE VIEW v AS SELECT 1;\nCREATE VIEW w AS SELECT 1;",
      { indexes: 21, triggers: 69, views: 126 },
    ],
    ["a view alone", "CREATE VIEW v AS SELECT 1;", { indexes: null, triggers: null, views: 0 }],
  ])("are the places of the parts: %s", (_, sql, starts) => {
    expect(scanned(sql).starts).toEqual(starts);
  });

  it.each<[string, string, number[]]>([
    ["none", "CREATE VIEW v AS SELECT 1;\nCREATE VIEW w AS SELECT 1;", []],
    ["one before another view", "CREATE VIEW v AS SELECT 1 -- é;\nCREATE VIEW w AS SELECT 1;", [33]],
    ["one at the end", "CREATE VIEW v AS SELECT 1 -- é;", [32]],
    ["one at an end with a line feed", "CREATE VIEW v AS SELECT 1 -- é;\n", [33]],
    ["one in each of two", "CREATE VIEW v AS SELECT 1 -- é;\nCREATE VIEW w AS SELECT 1 --;", [33, 62]],
  ])("are missing semicolons: %s", (_, sql, expected) => {
    expect(scanned(sql).missingSemicolons).toEqual(expected);
  });

  it("is taken over, and not altered, by the volume behind it", () => {
    const before: Scanned = {
      rows: [["t", 3]],
      marks: [["nul", "t", 2]],
      replacements: [["u", 4]],
      starts: { indexes: 50, triggers: null, views: null },
      missingSemicolons: [70],
    };
    const copy = structuredClone(before);
    const tally = new Tally(before, 100);
    tally.count("insert", "t", 0, 10, NUL_MARK, 0);
    tally.count("insert", "u", 10, 10, REPLACED_MARK, 3);
    tally.count("index", null, 20, 10, 0, 0);
    tally.count("view", null, 30, 15, UNENDED_MARK, 1);
    expect(tally.scanned).toEqual({
      rows: [
        ["t", 4],
        ["u", 1],
      ],
      marks: [
        ["nul", "t", 3],
        ["replaced", "u", 1],
      ],
      replacements: [["u", 7]],
      starts: { indexes: 50, triggers: null, views: 130 },
      missingSemicolons: [70, 145],
    });
    expect(before).toEqual(copy);
  });
});

it("what is seen is the same for any volumes and any chunks, and no volume ends inside a statement", () => {
  fc.assert(
    fc.property(
      randomDump,
      chunkSizes,
      fc.integer({ min: 1, max: 900 }),
      (statements, sizes, volumeBytes) => {
        const { bytes, ends } = joined(statements);
        const { cuts, foreign, ...seen } = scanVolumes(bytes, volumeBytes, sizes, true);
        expect(foreign?.offset).toBe(scanVolumes(bytes, Infinity, [bytes.length], true).foreign?.offset);
        expect(seen).toEqual({
          statements: statements.length,
          scanned: expectedOf(statements, ends),
          whole: true,
        });
        for (const cut of cuts) expect(ends).toContain(cut);
      },
    ),
    { numRuns: 500 },
  );
});

/** What must be seen, from what was generated. */
function expectedOf(statements: readonly DumpedStatement[], ends: readonly number[]): Scanned {
  const rows = new Map<string, number>();
  const marks: Scanned["marks"] = [];
  const starts: Scanned["starts"] = { indexes: null, triggers: null, views: null };
  const missingSemicolons: number[] = [];
  const sections = { index: "indexes", trigger: "triggers", view: "views" } as const;
  const replacements = new Map<string, number>();
  for (const [index, { sql, kind, table, marks: bits }] of statements.entries()) {
    if (table !== null) rows.set(table, (rows.get(table) ?? 0) + (kind === "insert" ? 1 : 0));
    for (const [bit, mark] of [
      [NUL_MARK, "nul"],
      [INFINITY_MARK, "infinity"],
      [ROUNDED_MARK, "rounded"],
      [REPLACED_MARK, "replaced"],
    ] as const) {
      if ((bits & bit) === 0) continue;
      const known = marks.find((entry) => entry[0] === mark && entry[1] === table);
      if (known === undefined) marks.push([mark, table, 1]);
      else known[2]++;
    }
    if ((bits & REPLACED_MARK) !== 0 && table !== null)
      replacements.set(table, (replacements.get(table) ?? 0) + sql.split("\uFFFD").length - 1);
    if (kind === "index" || kind === "trigger" || kind === "view")
      starts[sections[kind]] ??= ends[index - 1] ?? 0;
    if ((bits & UNENDED_MARK) !== 0) missingSemicolons.push(ends[index] ?? 0);
  }
  const kinds = [...new Set(marks.map(([kind]) => kind))];
  return {
    rows: [...rows],
    marks: kinds.flatMap((kind) => marks.filter((mark) => mark[0] === kind)),
    replacements: [...replacements],
    starts,
    missingSemicolons,
  };
}

function row(table: string, values: string): string {
  return `INSERT INTO "${table}" ("a") VALUES(${values});`;
}

/** A text with which the row of table t is of this length. */
function text(bytes: number): string {
  return `'${"x".repeat(bytes - row("t", "''").length)}'`;
}

describe("a dump has its statements in D1's order", () => {
  const [create, other] = ["CREATE TABLE t (a);", "CREATE TABLE u (a);"];
  const [first, second] = ['INSERT INTO "t" ("a") VALUES(1);', 'INSERT INTO "u" ("a") VALUES(1);'];
  const index = "CREATE INDEX i ON t (a);";

  /** The number of the first statement that stands where none of its kind does; null when there is none. */
  function misplaced(statements: readonly string[], createsTables = true): number | null {
    const bytes = encode(statements.join("\n"));
    const seen = [bytes.length, 1].map((volume) => {
      let before = NOTHING_SCANNED;
      let [start, ordinal] = [0, 0];
      while (start < bytes.length) {
        const tally = new Tally(before, start, createsTables);
        const scanner = new StatementScanner(tally.count);
        const end = start + (scanner.scan(bytes.subarray(start), volume - 1) ?? bytes.length - start);
        if (tally.foreign !== null) return [ordinal + tally.foreign.ordinal, tally.foreign.offset];
        ordinal += tally.statements;
        [before, start] = [tally.scanned, end];
      }
      return null;
    });
    // However it is cut into volumes.
    expect(seen[1]).toEqual(seen[0]);
    const [ordinal = 0, offset] = seen[0] ?? [];
    if (ordinal === 0) return null;
    expect(offset).toBe(encode([...statements.slice(0, ordinal - 1), ""].join("\n")).length);
    return ordinal;
  }

  it.each<[string, readonly string[], number | null]>([
    ["tables with their rows, then all else", [create, first, other, second, index], null],
    ["triggers and views in any order", ["CREATE VIEW v AS SELECT 1;", index], null],
    [
      "rows of SQLite's own tables, which it makes itself",
      [create, 'INSERT INTO "sqlite_sequence" ("name","seq") VALUES(\'t\',1);'],
      null,
    ],
    ["rows of a table that is not created", [create, second], 2],
    ["rows of a table before it", [first, create], 1],
    ["a table behind an index", [create, index, other], 3],
    ["rows behind an index", [create, first, index, first], 4],
    ["SQLite's sequences behind an index", [create, index, "DELETE FROM sqlite_sequence;"], 3],
  ])("%s", (_, statements, expected) => {
    expect(misplaced(statements)).toBe(expected);
  });

  it("rows alone, when the policy leaves the schema out", () => {
    expect(misplaced([first, second], false)).toBeNull();
  });
});
