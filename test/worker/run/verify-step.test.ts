import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, dumpOf, runSql, stateOf } from "../kit/emulated-account.ts";
import { backUp, holdTheClock, manifestOf } from "../kit/run-driver.ts";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const TABLES = `
  CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT);
  INSERT INTO orders (item) VALUES ('one'), ('two'), ('three');
  CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1), (2);
  CREATE INDEX orders_by_item ON orders (item);`;

/** Where the dump can be cut and still be a row of whole statements: behind each statement's line break. */
async function boundaries(id: string): Promise<number[]> {
  const dump = await dumpOf(id);
  return [...dump.matchAll(/\n/g)].map(({ index }) => index + 1);
}

describe("a dump that was written short and says so nowhere", () => {
  it("is found at whichever statement it was cut (failure mode 4)", async () => {
    const database = await createDatabase(TABLES);
    const cuts = await boundaries(database.id);
    expect(cuts.length).toBeGreaterThan(7);
    for (const value of cuts) {
      const run = await backUp(database, { force: true }, [{ on: "download", fault: "shorten", value }]);
      expect(run).toMatchObject({ state: "failed", error: { code: "dump-incomplete" } });
    }
    expect(await backUp(database, { force: true })).toMatchObject({ state: "complete" });
  }, 30_000);

  it("is exported once more, and no more than that", async () => {
    const database = await createDatabase(TABLES);
    const [cut = 0] = await boundaries(database.id);
    const { exportsStarted } = await stateOf(database.id);
    const faults = [{ on: "download", fault: "shorten", value: cut, times: 1 }];
    expect(await backUp(database, { force: true }, faults)).toMatchObject({ state: "complete" });
    expect((await stateOf(database.id)).exportsStarted).toBe(exportsStarted + 2);
  });
});

it("a dump without some rows of its last table is found when the database was asked in the same state", async () => {
  const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3);");
  const cut = (await boundaries(database.id)).at(-1) ?? 0;
  const short = [{ on: "download", fault: "shorten", value: cut }];
  expect(await backUp(database, { examine: true }, short)).toMatchObject({
    state: "failed",
    error: { code: "dump-incomplete", detail: expect.stringContaining("rows of t") },
  });
  expect(await backUp(database, { examine: true })).toMatchObject({ state: "complete" });
});

describe("compared with the backup before", () => {
  it("a table that lost all of its rows is a hazard of a complete run", async () => {
    const database = await createDatabase(TABLES);
    const before = await backUp(database);
    expect(before.hazards).toEqual([]);
    await runSql(database.id, "DELETE FROM users");
    const run = await backUp(database);
    expect(run.state).toBe("complete");
    expect((await manifestOf(run.backupId)).hazards).toMatchObject([
      { kind: "emptied-table", table: "users", count: 2 },
    ]);
    // It is told once: from now on an empty table is what the last backup has.
    expect((await backUp(database)).hazards).toEqual([]);
  });

  it("a table that was dropped is nobody's mistake", async () => {
    const database = await createDatabase(TABLES);
    await backUp(database);
    await runSql(database.id, "DROP TABLE users");
    expect(await backUp(database)).toMatchObject({ state: "complete", hazards: [] });
  });
});
