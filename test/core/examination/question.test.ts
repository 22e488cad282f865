import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AlteredCounts, alteredQuestion, countsSchema } from "../../../src/core/examination/question.ts";
import {
  columnSchema,
  columnsQuestion,
  type ExaminedTable,
  examinedTables,
} from "../../../src/core/examination/table-columns.ts";

/** What the questions have to know of a table, from a real SQLite. */
function describeTable(db: DatabaseSync, table: string): ExaminedTable {
  const columns = db.prepare(columnsQuestion([table])).all();
  const described = examinedTables(columns.map((column) => columnSchema.parse(column))).get(table);
  if (described === undefined) throw new Error(`There is no table ${table}.`);
  return described;
}

function ask(schema: string, table: string, rows: string): AlteredCounts {
  const db = new DatabaseSync(":memory:");
  db.exec(schema);
  db.exec(rows);
  return countsSchema.parse(db.prepare(alteredQuestion(describeTable(db, table))).get());
}

const LF = "char(10)";
const CR = "char(13)";
const NONE = { text: 0, integers: 0, reals: 0, renumbered: 0, replacementRows: 0, replacements: 0 };

describe("a value is counted when the dump alters it", () => {
  it.each<[string, string, Partial<AlteredCounts>]>([
    ["a line break and a literal \\n", `'a' || ${LF} || 'b\\n'`, { text: 1 }],
    ["a carriage return and a literal \\r", `'a' || ${CR} || 'b\\r'`, { text: 1 }],
    ["a line break alone", `'a' || ${LF}`, {}],
    ["a literal \\n alone", `'a\\n'`, {}],
    ["a line break and a literal \\r", `'a' || ${LF} || '\\r'`, {}],
    ["both behind a NUL", `char(0) || ${LF} || '\\n'`, { text: 1 }],
    ["both in a blob", `CAST('a' || ${LF} || '\\n' AS BLOB)`, {}],
    ["2^53 - 1", "9007199254740991", {}],
    ["2^53, which is printed as it is", "9007199254740992", {}],
    ["-2^53", "-9007199254740992", {}],
    ["2^53 + 1", "9007199254740993", { integers: 1 }],
    ["a round one", "1234567890123456800", {}],
    ["the one beside it", "1234567890123456789", { integers: 1 }],
    ["one that is exact as a number, and printed otherwise", "1234567890123456768", { integers: 1 }],
    [
      "the largest integer, which is printed as more than an integer can be",
      "9223372036854775807",
      { integers: 1 },
    ],
    ["the largest that stays one", "9223372036854775000", {}],
    ["the least integer", "-9223372036854775807 - 1", { integers: 1 }],
    ["a whole REAL", "4.0", { reals: 1 }],
    ["a negative zero", "-0.0", { reals: 1 }],
    ["a large whole REAL", "1e18", { reals: 1 }],
    ["a REAL beyond every integer", "9.3e18", {}],
    ["a REAL with an exponent", "1e300", {}],
    ["a REAL that is not whole", "4.5", {}],
    ["an infinite one", "-9e999", {}],
    ["digits as text", "'9007199254740993'", {}],
    ["the replacement character", "'\uFFFD\uFFFD'", { replacementRows: 1, replacements: 2 }],
    [
      "the replacement character behind a NUL",
      "char(0) || '\uFFFD'",
      { replacementRows: 1, replacements: 1 },
    ],
    ["its bytes in a blob", "X'EFBFBD'", {}],
    ["nothing", "NULL", {}],
  ])("%s", (_, value, counts) => {
    const answer = ask("CREATE TABLE t (v)", "t", `INSERT INTO t VALUES (${value})`);
    expect(answer).toMatchObject({ total: 1, ...NONE, ...counts });
  });

  it.each<[string, string, number]>([
    ["no type", "v", 1],
    ["BLOB", "v BLOB", 1],
    ["REAL", "v REAL", 0],
    ["DOUBLE PRECISION", "v DOUBLE PRECISION", 0],
    ["NUMERIC, which makes an integer of it at once", "v NUMERIC", 0],
    ["INTEGER", "v INTEGER", 0],
    ["TEXT, which makes text of it", "v TEXT", 0],
    ["ANY, which is NUMERIC", "v ANY", 0],
  ])("a whole REAL in a column of %s", (_, column, reals) => {
    expect(ask(`CREATE TABLE t (${column})`, "t", "INSERT INTO t VALUES (4.0)").reals).toBe(reals);
  });

  it("a whole REAL in a STRICT table's ANY", () => {
    expect(ask("CREATE TABLE t (v ANY) STRICT", "t", "INSERT INTO t VALUES (4.0)").reals).toBe(1);
  });

  it("any integer, exactly when JavaScript prints another one", () => {
    const db = new DatabaseSync(":memory:");
    db.exec("CREATE TABLE t (v INTEGER)");
    const sql = alteredQuestion(describeTable(db, "t"));
    const insert = db.prepare("INSERT INTO t VALUES (?)");
    const largest = 2n ** 63n - 1n;
    const integer = fc
      .oneof(
        fc.bigInt(-largest, largest),
        fc
          .tuple(fc.integer({ min: 53, max: 63 }), fc.bigInt(-2_000n, 2_000n))
          .map(([power, more]) => 2n ** BigInt(power) + more),
        fc
          .tuple(fc.bigInt(-largest, largest), fc.constantFrom(0n, 1n, -10n, 100n))
          .map(([value, more]) => BigInt(String(Number(value))) + more),
        fc.bigInt(-(10n ** 15n), 10n ** 15n).map((value) => value * 10_000n),
      )
      .filter((value) => value >= -largest - 1n && value <= largest);
    fc.assert(
      fc.property(fc.array(integer, { minLength: 100, maxLength: 100 }), (integers) => {
        db.exec("DELETE FROM t");
        for (const value of integers) insert.run(value);
        const altered = integers.filter((value) => BigInt(String(Number(value))) !== value);
        expect(db.prepare(sql).get()).toMatchObject({ integers: altered.length });
      }),
      { numRuns: 200 },
    );
  });
});

describe("rows are counted when they get another rowid", () => {
  it.each<[string, string, string, number]>([
    ["rowids without a gap", "t (v)", "(1, 'a'), (2, 'b')", 0],
    ["a gap", "t (v)", "(1, 'a'), (3, 'b'), (4, 'c')", 2],
    ["rowids that begin later", "t (v)", "(5, 'a'), (9, 'b'), (12, 'c')", 3],
    ["one below 1, and one that keeps its place", "t (v)", "(0, 'a'), (2, 'b')", 1],
    ["a primary key that is no rowid", "t (v TEXT PRIMARY KEY)", "(2, 'a')", 1],
    ["a primary key that is no rowid, for a word", "t (v INTEGER PRIMARY KEY DESC)", "(2, 7)", 1],
  ])("%s", (_, definition, rows, renumbered) => {
    const insert = `INSERT INTO t (rowid, v) VALUES ${rows}`;
    expect(ask(`CREATE TABLE ${definition}`, "t", insert).renumbered).toBe(renumbered);
  });

  it.each<[string, string]>([
    ["a column holds it", "t (id INTEGER PRIMARY KEY, v)"],
    ["the table has none", "t (id PRIMARY KEY, v) WITHOUT ROWID"],
    ["other columns have taken its names", "t (id, v, rowid, _rowid_, oid)"],
  ])("and not when %s", (_, definition) => {
    expect(ask(`CREATE TABLE ${definition}`, "t", "INSERT INTO t (id, v) VALUES (5, 'a')").renumbered).toBe(
      0,
    );
  });

  it("by another of its names where a column has taken one", () => {
    expect(
      ask("CREATE TABLE t (RowID TEXT)", "t", "INSERT INTO t (oid, rowid) VALUES (7, 'a')").renumbered,
    ).toBe(1);
  });

  it("in the order of the dump, which an index may tell", () => {
    const schema = "CREATE TABLE t (v TEXT PRIMARY KEY, w TEXT AS (v || 'x') STORED)";
    const db = new DatabaseSync(":memory:");
    db.exec(schema);
    const insert = "INSERT INTO t (rowid, v) VALUES (1, 'b'), (2, 'a')";
    db.exec(insert);
    expect(db.prepare("SELECT v FROM t").all()).toEqual([{ v: "a" }, { v: "b" }]);
    expect(ask(schema, "t", insert).renumbered).toBe(2);
  });
});

it("rows are counted, not values, in tables and columns of odd names", () => {
  const name = '"sel""ect; --\'s"';
  const both = `'x' || ${LF} || '\\n'`;
  const answer = ask(
    `CREATE TABLE ${name} ("a b" TEXT, "c""d", e INTEGER)`,
    "sel\"ect; --'s",
    `INSERT INTO ${name} VALUES (${both}, ${both}, 9007199254740993), (${both}, 9007199254740993, 9007199254740993), ('', '', 0)`,
  );
  expect(answer).toMatchObject({ total: 3, text: 2, integers: 2, reals: 0, renumbered: 0 });
});

it("the SQL of a table and its indexes comes with what is altered, and not without", () => {
  const schema = "CREATE TABLE t (v); CREATE INDEX i ON t (v); CREATE VIEW w AS SELECT v FROM t";
  expect(ask(schema, "t", "INSERT INTO t VALUES (4)").rules).toBeNull();
  expect(ask(schema, "t", "").rules).toBeNull();
  for (const value of ["4.0", "9007199254740993", `${LF} || '\\n'`])
    expect(ask(schema, "t", `INSERT INTO t VALUES (${value})`).rules).toBe(
      "CREATE TABLE t (v)\n;\nCREATE INDEX i ON t (v)",
    );
});

it("a hundred columns are asked about within what D1 allows", () => {
  const columns = Array.from({ length: 100 }, (_, index) => `a_column_with_a_long_name_${index}`);
  const schema = `CREATE TABLE t (${columns.join(", ")})`;
  const db = new DatabaseSync(":memory:");
  db.exec(schema);
  const question = alteredQuestion(describeTable(db, "t"));
  let depth = 0;
  let deepest = 0;
  for (const character of question) {
    if (character === "(") deepest = Math.max(deepest, ++depth);
    if (character === ")") depth--;
  }
  expect(deepest).toBeLessThan(20);
  expect(question.length).toBeLessThan(100_000);
  const insert = "INSERT INTO t (a_column_with_a_long_name_99) VALUES (9007199254740993)";
  expect(ask(schema, "t", insert)).toMatchObject({ total: 1, ...NONE, integers: 1 });
});
