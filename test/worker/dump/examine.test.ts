import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Manifest } from "../../../src/core/backup/manifest.ts";
import type { Hazard } from "../../../src/core/dump/hazards.ts";
import { type DatabaseRecord, RecordStore } from "../../../src/jobs/database/database-record.ts";
import { createDatabase, type Fault, runSql, setFaults, stateOf } from "../kit/emulated-account.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  manifestOf,
  setPolicy,
  startBackup,
  viewOf,
} from "../kit/run-driver.ts";

const ALTERED_NOTES = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, big INTEGER);
  INSERT INTO notes (text, big) VALUES ('a' || char(10) || 'b\\n', 1), ('fine', 9007199254740993), ('fine', 2);
`;
const ALTERED = `${ALTERED_NOTES} CREATE TABLE plain (a); INSERT INTO plain VALUES (1);`;

const ALTERED_KINDS = [
  ["altered-text", "notes", 1],
  ["altered-integers", "notes", 1],
];

/** So many tables of a row each. */
function tablesOf(many: number, name = "t"): string {
  const tables = Array.from({ length: many }, (_, i) => `"${name} ${i}'s"`);
  return tables.map((table) => `CREATE TABLE ${table} (a); INSERT INTO ${table} VALUES (1);`).join("");
}

/** What the database's object knows of it. */
async function recordOf(id: string): Promise<DatabaseRecord> {
  const stub = env.DATABASE_BACKUPS.getByName(id);
  return runInDurableObject(stub, (_, { storage }) => new RecordStore(storage).read({ id, name: "" }));
}

async function forgetRecord(id: string): Promise<void> {
  await runInDurableObject(env.DATABASE_BACKUPS.getByName(id), (_, { storage }) =>
    storage.kv.delete("record"),
  );
}

async function restoreGuide(backupId: string): Promise<string> {
  return (await call(`/api/backups/${backupId}/files/RESTORE.md`)).text();
}

/** The manifest of a backup that is examined while these faults strike. */
async function examinedUnder(database: { id: string }, faults: readonly Fault[]): Promise<Manifest> {
  const id = await startBackup(database.id, { examine: true });
  await drive(database.id, (run) => run.phase.at === "examining");
  await setFaults(database.id, faults);
  await drive(database.id, isOver);
  return manifestOf((await viewOf(id)).backupId);
}

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const kinds = (hazards: readonly Hazard[]) => hazards.map(({ kind, table, count }) => [kind, table, count]);

/** Hazards that the database itself was asked for, and not the dump. */
const examinedKinds = (hazards: readonly Hazard[]) =>
  kinds(hazards.filter(({ kind }) => kind.startsWith("altered-") || kind === "not-examined"));

describe("values that D1's dump alters without a trace", () => {
  it("are counted by asking the database, and stand in the manifest with what that read", async () => {
    const database = await createDatabase(ALTERED);
    const run = await backUp(database, { examine: true });
    expect(run.progress.message).toContain("altered-text");
    const manifest = await manifestOf(run.backupId);
    expect(examinedKinds(manifest.hazards)).toEqual([
      ["altered-text", "notes", 1],
      ["altered-integers", "notes", 1],
    ]);
    expect(manifest.examined).toMatchObject({ tables: 2 });
    expect(manifest.examined?.rowsRead).toBeGreaterThanOrEqual(4);
  });

  it("are told by kind, each with the rows that really come back as something else", async () => {
    const database = await createDatabase(`
      CREATE TABLE parties (name TEXT UNIQUE);
      INSERT INTO parties VALUES (CAST(X'706172747920EDA0BC' AS TEXT)), (CAST(X'706172747920EDA0BD' AS TEXT)), ('fine');
      CREATE TABLE amounts (amount CHECK (typeof(amount) = 'real')); INSERT INTO amounts VALUES (4.0), (4.5);
      CREATE TABLE "sparse" (v TEXT PRIMARY KEY); INSERT INTO "sparse" (rowid, v) VALUES (5, 'a'), (9, 'b'), (12, 'c');
      CREATE TABLE ids (id INTEGER PRIMARY KEY, f REAL);
      INSERT INTO ids VALUES (9007199254740992, 9007199254740993.0), (9007199254740993, 1e17), (1234567890123456800, 0);
      CREATE TABLE genuine (t TEXT); INSERT INTO genuine VALUES ('it was \uFFFD all along');`);
    const expected = [
      ["invalid-text", "parties", 2],
      ["altered-reals", "amounts", 1],
      ["renumbered-rows", "sparse", 3],
      ["altered-integers", "ids", 1],
    ];
    const { hazards } = await manifestOf((await backUp(database, { examine: true })).backupId);
    expect(kinds(hazards).toSorted()).toEqual(expected.toSorted());
    expect(hazards.find(({ kind }) => kind === "altered-reals")?.detail).toContain("CHECK");
  });

  it("may be behind marks of the dump, when the database was not asked", async () => {
    const database = await createDatabase(
      `CREATE TABLE t (a REAL, b TEXT); INSERT INTO t VALUES (9007199254740993.0, 'it was \uFFFD all along')`,
    );
    await setPolicy(database.id, { examineDays: 0 });
    const { hazards } = await manifestOf((await backUp(database)).backupId);
    expect(kinds(hazards).toSorted()).toEqual([
      ["not-examined", null, null],
      ["replaced", "t", 1],
      ["rounded", "t", 1],
    ]);
  });

  it("are found in a table of as many columns as D1 allows", async () => {
    const columns = Array.from({ length: 100 }, (_, i) => `a_column_with_a_long_name_${i}`);
    const database = await createDatabase(
      `CREATE TABLE wide (${columns.join(", ")}); INSERT INTO wide (${columns[99]}) VALUES (9007199254740993);`,
    );
    const { hazards } = await manifestOf((await backUp(database, { examine: true })).backupId);
    expect(kinds(hazards)).toEqual([["altered-integers", "wide", 1]]);
  });

  it("are not counted for this backup when the database was written to meanwhile", async () => {
    const database = await createDatabase(ALTERED);
    const id = await startBackup(database.id, { examine: true });
    await drive(database.id, (run) => run.phase.at === "examining");
    await runSql(database.id, "INSERT INTO plain VALUES (2)");
    await drive(database.id, isOver);
    const { hazards } = await manifestOf((await viewOf(id)).backupId);
    expect(examinedKinds(hazards)).toEqual([
      ["altered-text", "notes", null],
      ["altered-integers", "notes", null],
    ]);
  });

  it("cost the backup nothing when the database does not answer", async () => {
    const database = await createDatabase(ALTERED);
    const id = await startBackup(database.id, { examine: true });
    await drive(database.id, (run) => run.phase.at === "examining");
    await setFaults(database.id, [{ on: "query", fault: "status", value: 500 }]);
    await drive(database.id, isOver);
    const run = await viewOf(id);
    expect(run.state).toBe("complete");
    const manifest = await manifestOf(run.backupId);
    expect(examinedKinds(manifest.hazards)).toEqual([["not-examined", null, null]]);
    expect(manifest.examined).toBeNull();
  });

  it("are asked for again when the database fails to answer once", async () => {
    const database = await createDatabase(ALTERED + tablesOf(23));
    const manifest = await examinedUnder(database, [
      { on: "query", fault: "status", value: 500, times: 1, skip: 1 },
    ]);
    expect(examinedKinds(manifest.hazards)).toEqual(ALTERED_KINDS);
    expect(manifest.examined).toMatchObject({ tables: 25 });
  });

  it("are asked for in two dozen calls, of 1,200 tables", async () => {
    const database = await createDatabase(tablesOf(1_199) + ALTERED_NOTES);
    await startBackup(database.id, { examine: true });
    await drive(database.id, ({ phase }) => phase.at === "examining");
    const before = await stateOf(database.id);
    const run = await drive(database.id, ({ phase }) => phase.at === "copying");
    const { queries } = await stateOf(database.id);
    expect(queries - before.queries).toBe(24);
    expect(run.examined?.tables).toBe(1_200);
    expect(examinedKinds((await recordOf(database.id)).examination?.findings ?? [])).toEqual(ALTERED_KINDS);
  }, 60_000);

  it("are told to be unknown of a table that takes too long to be read, by its name, and counted in all others", async () => {
    const database = await createDatabase(tablesOf(40) + ALTERED_NOTES + tablesOf(40, "u"));
    const before = await stateOf(database.id);
    const manifest = await examinedUnder(database, [
      { on: "query", fault: "too-slow", text: `FROM "t 33's"` },
      { on: "query", fault: "too-slow", text: `FROM "u 7's"` },
    ]);
    expect(examinedKinds(manifest.hazards)).toEqual([
      ["not-examined", "t 33's", null],
      ...ALTERED_KINDS,
      ["not-examined", "u 7's", null],
    ]);
    expect(manifest.hazards[0]?.detail).toContain("exceeded timeout");
    expect(manifest.examined).toMatchObject({ tables: 79 });
    const { queries } = await stateOf(database.id);
    expect(queries - before.queries).toBeLessThan(60);
  }, 30_000);

  it("are told to be unknown of a table whose question would be longer than D1 takes", async () => {
    const columns = Array.from({ length: 100 }, (_, i) => `"${"c".repeat(150)}${i}"`);
    const database = await createDatabase(`CREATE TABLE wide (${columns.join(", ")});${ALTERED_NOTES}`);
    const manifest = await examinedUnder(database, []);
    expect(examinedKinds(manifest.hazards)).toEqual([["not-examined", "wide", null], ...ALTERED_KINDS]);
    expect(manifest.hazards[0]?.detail).toContain("longer than D1 takes");
  });

  it("do not stop the examination at a table that is gone", async () => {
    const database = await createDatabase(`CREATE TABLE gone (a);${tablesOf(3)}`);
    await startBackup(database.id, { examine: true });
    await drive(database.id, ({ phase }) => phase.at === "examining");
    await runSql(database.id, "DROP TABLE gone");
    const run = await drive(database.id, ({ phase }) => phase.at === "copying");
    expect(run.examined).toMatchObject({ tables: 3 });
    expect((await recordOf(database.id)).examination?.findings).toEqual([]);
  });

  it("are asked for with a database's first backup, then once a week on its day, and never every night", async () => {
    const database = await createDatabase(ALTERED);
    const asked: number[] = [];
    for (let night = 0; night < 21; night++) {
      const { backupId } = await backUp(database, { force: true });
      if ((await manifestOf(backupId)).examined !== null) asked.push(night);
      await advanceDays(1);
    }
    const [first, second = 0, ...later] = asked;
    expect(first).toBe(0);
    expect(second).toBeLessThanOrEqual(7);
    expect(later).toEqual([7, 14].map((days) => second + days).filter((night) => night < 21));
  }, 30_000);

  it("are never asked for when the policy says so", async () => {
    const database = await createDatabase(ALTERED);
    await setPolicy(database.id, { examineDays: 0 });
    for (let night = 0; night < 8; night++) {
      const { backupId } = await backUp(database, { force: true });
      const { examined, hazards } = await manifestOf(backupId);
      expect(examined).toBeNull();
      expect(examinedKinds(hazards)).toEqual([["not-examined", null, null]]);
      await advanceDays(1);
    }
    const status = await (await call(`/api/databases/${database.id}`)).json();
    expect(status).toMatchObject({
      examinedAt: null,
      policy: { examineDays: 0 },
      ownPolicy: { examineDays: 0 },
    });
  }, 30_000);
});

describe("what an examination has found", () => {
  it("stands in each later backup, with its date, until the next one says otherwise", async () => {
    const database = await createDatabase(ALTERED);
    const first = await manifestOf((await backUp(database)).backupId);
    expect(first.hazards.map(({ kind, count, examinedAt }) => [kind, count, examinedAt])).toEqual([
      ["altered-text", 1, first.examined?.at],
      ["altered-integers", 1, first.examined?.at],
    ]);
    const again = await manifestOf((await backUp(database)).backupId);
    expect(again.examined).toBeNull();
    expect(again.hazards).toEqual(first.hazards);

    await runSql(database.id, "DELETE FROM notes WHERE id = 1");
    const later = await manifestOf((await backUp(database)).backupId);
    expect(later.hazards).toMatchObject([
      { kind: "altered-text", table: "notes", count: null, examinedAt: first.examined?.at },
      { kind: "altered-integers", table: "notes", count: null, examinedAt: first.examined?.at },
      { kind: "rounded" },
    ]);
    expect(later.hazards[0]?.detail).toContain(`the examination of ${first.examined?.at}: 1 then`);
    expect(await restoreGuide(later.backupId)).toContain(`the examination of ${first.examined?.at}`);

    await advanceDays(1);
    const next = await manifestOf((await backUp(database, { examine: true })).backupId);
    expect(next.hazards.map(({ kind, count, examinedAt }) => [kind, count, examinedAt])).toEqual([
      ["altered-integers", 1, next.examined?.at],
    ]);
  }, 30_000);

  it("outlasts a run that was unchanged, and is gone with its table", async () => {
    const database = await createDatabase(ALTERED);
    await backUp(database);
    expect(await backUp(database, {})).toMatchObject({ state: "unchanged" });
    expect(examinedKinds((await backUp(database)).hazards)).toEqual(ALTERED_KINDS);
    await runSql(database.id, "DROP TABLE notes");
    expect((await backUp(database)).hazards).toEqual([]);
  });

  it("stands for a table of which the next examination gets no answer", async () => {
    const database = await createDatabase(ALTERED);
    await backUp(database);
    await runSql(database.id, "INSERT INTO plain VALUES (9007199254740993)");
    const manifest = await examinedUnder(database, [
      { on: "query", fault: "too-slow", text: 'FROM "notes"' },
    ]);
    expect(examinedKinds(manifest.hazards)).toEqual([
      ["not-examined", "notes", null],
      ["altered-integers", "plain", 1],
      ["altered-text", "notes", null],
      ["altered-integers", "notes", null],
    ]);
  });

  it("stands in lean backups too, which are examined as others are", async () => {
    const database = await createDatabase(ALTERED);
    await setPolicy(database.id, { lean: true });
    const expected = [...ALTERED_KINDS, ["not-scanned", null, null]];
    expect(kinds((await backUp(database)).hazards)).toEqual(expected);
    expect(kinds((await backUp(database)).hazards)).toEqual(expected);
  });

  it("is asked for anew when the object has lost what it knew, and when the policy names other tables", async () => {
    const database = await createDatabase(ALTERED);
    const examined = async () => (await manifestOf((await backUp(database)).backupId)).examined?.tables;
    expect(await examined()).toBe(2);
    expect(await examined()).toBeUndefined();
    await forgetRecord(database.id);
    expect(await examined()).toBe(2);
    await setPolicy(database.id, { exportOptions: { tables: ["plain"] } });
    expect(await examined()).toBe(1);
    expect(await examined()).toBeUndefined();
    await setPolicy(database.id, {});
    expect(await examined()).toBe(2);
  }, 30_000);

  it("is asked for with the next backup when the database did not answer, but not night after night", async () => {
    const database = await createDatabase(ALTERED);
    const asked: boolean[] = [];
    for (let night = 0; night < 6; night++) {
      const before = (await recordOf(database.id)).examination?.triedAt;
      const id = await startBackup(database.id);
      await drive(database.id, ({ phase }) => ["examining", "copying"].includes(phase.at));
      await setFaults(database.id, [{ on: "query", fault: "status", value: 500 }]);
      await drive(database.id, isOver);
      await setFaults(database.id, []);
      const manifest = await manifestOf((await viewOf(id)).backupId);
      expect(examinedKinds(manifest.hazards)).toEqual([["not-examined", null, null]]);
      asked.push((await recordOf(database.id)).examination?.triedAt !== before);
      await advanceDays(1);
    }
    expect(asked.slice(0, 3)).toEqual([true, true, true]);
    expect(asked.slice(3).filter(Boolean).length).toBeLessThanOrEqual(1);
  }, 30_000);
});
