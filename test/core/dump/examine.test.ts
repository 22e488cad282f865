import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import {
  alteredHazards,
  alteredQuestion,
  columnsQuestion,
  notExamined,
  withFindings,
} from "../../../src/core/dump/examine.ts";
import type { Hazard } from "../../../src/core/dump/hazards.ts";

/** Asks a real SQLite, as a step asks D1. */
function ask(schema: string, table: string, rows: string): { text: number; integers: number } {
  const db = new DatabaseSync(":memory:");
  db.exec(schema);
  db.exec(rows);
  const columns = db
    .prepare(columnsQuestion([table]))
    .all()
    .map((column) => String(column["name"]));
  const answer = db.prepare(alteredQuestion(table, columns)).get();
  return { text: Number(answer?.["text"]), integers: Number(answer?.["integers"]) };
}

const LF = "char(10)";
const CR = "char(13)";

describe("the database is asked for values that its dump alters", () => {
  it.each<[string, string, { text: number; integers: number }]>([
    ["a line break and a literal \\n", `'a' || ${LF} || 'b\\n'`, { text: 1, integers: 0 }],
    ["a carriage return and a literal \\r", `'a' || ${CR} || 'b\\r'`, { text: 1, integers: 0 }],
    ["a line break alone", `'a' || ${LF}`, { text: 0, integers: 0 }],
    ["a literal \\n alone", `'a\\n'`, { text: 0, integers: 0 }],
    ["a line break and a literal \\r", `'a' || ${LF} || '\\r'`, { text: 0, integers: 0 }],
    ["both in a blob", `CAST('a' || ${LF} || '\\n' AS BLOB)`, { text: 0, integers: 0 }],
    ["2^53 - 1", "9007199254740991", { text: 0, integers: 0 }],
    ["2^53", "9007199254740992", { text: 0, integers: 1 }],
    ["-2^53", "-9007199254740992", { text: 0, integers: 1 }],
    ["the least integer", "-9223372036854775807 - 1", { text: 0, integers: 1 }],
    ["a large real", "9.3e18", { text: 0, integers: 0 }],
    ["its digits as text", "'9007199254740993'", { text: 0, integers: 0 }],
    ["nothing", "NULL", { text: 0, integers: 0 }],
  ])("%s", (_, value, counts) => {
    expect(ask("CREATE TABLE t (v)", "t", `INSERT INTO t VALUES (${value})`)).toEqual(counts);
  });

  it("counts rows, not values, in tables and columns of odd names", () => {
    const name = '"sel""ect; --"';
    const both = `'x' || ${LF} || '\\n'`;
    expect(
      ask(
        `CREATE TABLE ${name} ("a b" TEXT, "c""d", e INTEGER)`,
        'sel"ect; --',
        `INSERT INTO ${name} VALUES (${both}, ${both}, 9007199254740993), (${both}, NULL, 1), ('', '', 0)`,
      ),
    ).toEqual({ text: 2, integers: 1 });
  });

  it("asks about a hundred columns within the depth of expressions that D1 allows", () => {
    const columns = Array.from({ length: 100 }, (_, index) => `column_${index}`);
    const question = alteredQuestion("t", columns);
    let depth = 0;
    let deepest = 0;
    for (const character of question) {
      if (character === "(") deepest = Math.max(deepest, ++depth);
      if (character === ")") depth--;
    }
    expect(deepest).toBeLessThan(20);
    expect(question.length).toBeLessThan(100_000);
    expect(
      ask(
        `CREATE TABLE t (${columns.join(", ")})`,
        "t",
        "INSERT INTO t (column_99) VALUES (9007199254740993)",
      ),
    ).toEqual({ text: 0, integers: 1 });
  });

  it("names no more tables than fit into a run's state, and counts the others together", () => {
    let found: Hazard[] = [];
    for (let i = 0; i < 700; i++) {
      found = withFindings(found, alteredHazards(`t${i}`, { text: 2, integers: 0 }));
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
});
