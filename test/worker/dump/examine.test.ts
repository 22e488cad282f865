import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Hazard } from "../../../src/core/dump/hazards.ts";
import { createDatabase, runSql, setFaults } from "../kit/emulated-account.ts";
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

const ALTERED = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, big INTEGER);
  INSERT INTO notes (text, big) VALUES ('a' || char(10) || 'b\\n', 1), ('fine', 9007199254740993), ('fine', 2);
  CREATE TABLE plain (a); INSERT INTO plain VALUES (1);`;

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

  it("are asked for again when the database fails to answer once, and of many tables, some at a time", async () => {
    const tables = Array.from(
      { length: 23 },
      (_, i) => `CREATE TABLE "t ${i}'s" (a); INSERT INTO "t ${i}'s" VALUES (1);`,
    );
    const database = await createDatabase(ALTERED + tables.join(""));
    const id = await startBackup(database.id, { examine: true });
    await drive(database.id, (run) => run.phase.at === "examining");
    await setFaults(database.id, [{ on: "query", fault: "status", value: 500, times: 1, skip: 5 }]);
    await drive(database.id, isOver);
    const manifest = await manifestOf((await viewOf(id)).backupId);
    expect(examinedKinds(manifest.hazards)).toEqual([
      ["altered-text", "notes", 1],
      ["altered-integers", "notes", 1],
    ]);
    expect(manifest.examined).toMatchObject({ tables: 25 });
  });

  it("are asked for once a week, and never every night", async () => {
    const database = await createDatabase(ALTERED);
    const asked: boolean[] = [];
    for (let night = 0; night < 21; night++) {
      const { backupId } = await backUp(database, { force: true });
      asked.push((await manifestOf(backupId)).examined !== null);
      await advanceDays(1);
    }
    expect(asked.filter(Boolean)).toHaveLength(3);
    expect(asked.slice(0, 7).filter(Boolean)).toHaveLength(1);
  }, 30_000);

  it("are never asked for when the policy says so", async () => {
    const database = await createDatabase(ALTERED);
    await setPolicy(database.id, { examineDays: 0 });
    for (let night = 0; night < 8; night++) {
      const { backupId } = await backUp(database, { force: true });
      expect((await manifestOf(backupId)).examined).toBeNull();
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
