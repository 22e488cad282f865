import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  afterAnswer,
  afterFailure,
  describable,
  firstPace,
  MOST_TABLES,
  questionsOf,
} from "../../../src/core/examination/batches.ts";
import { columnsQuestion, type ExaminedTable } from "../../../src/core/examination/table-columns.ts";

const GB = 1024 ** 3;

/** Asks about all tables as the step does; each takes its time, and a call of more than 30 seconds fails. */
function examine(tables: readonly number[], fileSize: number | null = null) {
  let pace = firstPace(fileSize, tables.length);
  const seen = { calls: 0, failures: 0, ms: 0, answered: [] as number[], givenUp: [] as number[] };
  for (let first = 0; first < tables.length;) {
    const batch = tables.slice(first, first + pace.tables);
    const took = batch.reduce((sum, ms) => sum + ms, 0);
    seen.calls++;
    seen.ms += Math.min(took, 30_000);
    if (took <= 30_000) {
      for (let i = 0; i < batch.length; i++) seen.answered.push(first + i);
      first += batch.length;
      pace = afterAnswer(pace, first, batch.length, took);
    } else if (batch.length > 1) {
      seen.failures++;
      pace = afterFailure(first, batch.length);
    } else {
      seen.failures++;
      seen.givenUp.push(first);
      first++;
      pace = afterAnswer(pace, first, 1, 0);
    }
  }
  return seen;
}

const many = (length: number, ms: number): number[] => Array.from({ length }, () => ms);

describe("tables are asked about together", () => {
  it.each<[string, readonly number[], number | null, number]>([
    ["1,200 small ones in 12 calls", many(1_200, 3), 40 * 1024 ** 2, 12],
    ["the same when nobody knows how big the database is", many(1_200, 3), null, 12],
    ["40 of half a second each in calls of a few seconds", many(40, 500), GB, 3],
    ["8 of 12 seconds each one by one", many(8, 12_000), 8 * GB, 8],
    ["a single one in one call", [20_000], 9 * GB, 1],
    ["none in none", [], null, 0],
  ])("%s", (_, tables, fileSize, calls) => {
    expect(examine(tables, fileSize)).toMatchObject({ calls, failures: 0, givenUp: [] });
  });

  it("and a big one among 1,200 small ones costs a few calls more, and no other table", () => {
    const tables = many(1_200, 3);
    tables[777] = 60_000;
    const seen = examine(tables);
    expect(seen.givenUp).toEqual([777]);
    expect(seen.answered).toHaveLength(1_199);
    expect(seen.calls).toBeLessThan(30);
    expect(seen.failures).toBeLessThanOrEqual(8);
  });

  it("and whichever are too big, those alone are given up, and each other one is answered once", () => {
    const table = fc.oneof(
      { weight: 20, arbitrary: fc.nat(2_000) },
      { weight: 1, arbitrary: fc.integer({ min: 30_001, max: 90_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 10_000, max: 30_000 }) },
    );
    fc.assert(
      fc.property(
        fc.array(table, { maxLength: 400 }),
        fc.option(fc.nat(10 * GB), { nil: null }),
        (tables, fileSize) => {
          const seen = examine(tables, fileSize);
          const tooBig = [...tables.keys()].filter((i) => (tables[i] ?? 0) > 30_000);
          expect(seen.givenUp).toEqual(tooBig);
          expect([...seen.answered, ...tooBig].sort((a, b) => a - b)).toEqual([...tables.keys()]);
          // A table costs a halving of the call that it spoils, and no more.
          const slow = tables.filter((ms) => ms >= 10_000).length;
          expect(seen.failures).toBeLessThanOrEqual(10 * (slow + seen.ms / 30_000 + 1));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a call holds no more than D1 takes", () => {
  const columnsOf = (tables: readonly string[], columns: readonly string[]) =>
    new Map(
      tables.map((name): [string, ExaminedTable] => [
        name,
        { name, columns: columns.map(untyped), rowid: "rowid" },
      ]),
    );
  const untyped = (name: string) => ({ name, affinity: "BLOB" as const });

  it("of names", () => {
    const tables = Array.from({ length: MOST_TABLES }, (_, i) => `${"t".repeat(5_000)}${i}`);
    const described = describable(tables);
    expect(described.length).toBeGreaterThan(5);
    expect(described).toEqual(tables.slice(0, described.length));
    expect(columnsQuestion(described).length).toBeLessThanOrEqual(100_000);
    expect(describable(["t".repeat(100_000)])).toEqual([]);
  });

  it("of questions: wide tables are asked about in smaller batches, and one with a question that is too long in none", () => {
    const wide = Array.from({ length: 100 }, (_, i) => `column_${i}`);
    const tables = Array.from({ length: 50 }, (_, i) => `table_${i}`);
    const batch = questionsOf(tables, columnsOf(tables, wide));
    expect(batch.tables).toBeGreaterThan(3);
    expect(batch.tables).toBeLessThan(50);
    expect(batch.questions.map(({ table }) => table.name)).toEqual(tables.slice(0, batch.tables));
    expect(batch.questions.reduce((sum, { sql }) => sum + sql.length, 0)).toBeLessThanOrEqual(400_000);
    const long = wide.map((name) => name.repeat(100));
    const mixed = new Map([
      ...columnsOf(["a"], ["c"]),
      ...columnsOf(["b"], long),
      ...columnsOf(["c"], ["c"]),
    ]);
    expect(questionsOf(["a", "b", "c"], mixed)).toMatchObject({
      tables: 1,
      questions: [{ table: { name: "a" } }],
    });
    expect(questionsOf(["b", "c"], mixed)).toEqual({ tables: 0, questions: [] });
  });

  it("and a table without columns was dropped: it is passed over", () => {
    const columns = columnsOf(["a", "c"], ["x"]);
    expect(questionsOf(["a", "b", "c"], columns)).toMatchObject({
      tables: 3,
      questions: [{ table: { name: "a" } }, { table: { name: "c" } }],
    });
    expect(questionsOf(["b"], columns)).toEqual({ tables: 1, questions: [] });
  });
});
