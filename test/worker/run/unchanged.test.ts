import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, runSql, setFaults, stateOf } from "../kit/emulated-account.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  driveAccount,
  holdTheClock,
  isOver,
  manifestOf,
  nextStep,
  setPolicy,
  startBackup,
} from "../kit/run-driver.ts";

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('7 and more'), ('three');";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

async function status(id: string): Promise<Record<string, unknown>> {
  return (await call(`/api/databases/${id}`)).json();
}

/** The key of an object of a backup: its id with the last dot turned into a slash. */
function keyIn(backupId: string | null, name: string): string {
  return `d1/${backupId?.replace(/\.(\w+)$/, "/$1") ?? ""}/${name}`;
}

describe("a database that was not written to since its last backup", () => {
  it("is not exported: the run ends as unchanged and names the backup that stands", async () => {
    const database = await createDatabase(TABLE);
    const first = await backUp(database, {});
    await advanceDays(1 / 24);
    const second = await backUp(database, {});
    expect(second).toMatchObject({ state: "unchanged", backupId: first.backupId, error: null });
    expect(second.finishedAt).not.toBeNull();
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 1 });
    const unchanged = { backupId: first.backupId, checkedAt: second.finishedAt };
    expect(await status(database.id)).toMatchObject({ unchanged, unchangedOff: null });
    // The bucket knows it too, so that the catalogue can be thrown away.
    await driveAccount();
    const record = await env.BACKUPS.get(`d1/_d1-nightly/${database.id}.json`);
    expect(await record?.json()).toMatchObject({ databaseId: database.id, unchanged });
    const listed = await (await call(`/api/runs?database=${database.id}&state=unchanged`)).json();
    expect(listed).toMatchObject({ items: [{ id: second.id }] });
  });

  it.each<[string, unknown]>([
    ["labelled", { label: "before migration 12" }],
    ["pinned", { pinned: true }],
    ["forced", { force: true }],
    ["to be examined", { examine: true }],
  ])("is backed up in full when the request is %s", async (_, body) => {
    const database = await createDatabase(TABLE);
    await backUp(database, {});
    expect(await backUp(database, body)).toMatchObject({ state: "complete" });
  });

  it.each<[string, (database: { id: string }, backupId: string | null) => Promise<void>]>([
    ["it was written to", ({ id }) => runSql(id, "INSERT INTO t VALUES ('four')")],
    ["its compression is another one", ({ id }) => setPolicy(id, { compression: "none" })],
    ["its policy wants every backup in full", ({ id }) => setPolicy(id, { maxUnchangedDays: 0 })],
    ["the backup's manifest is gone", (_, backupId) => env.BACKUPS.delete(keyIn(backupId, "manifest.json"))],
    [
      "the backup's manifest is another one",
      async (_, backupId) => {
        const key = keyIn(backupId, "manifest.json");
        const text = (await (await env.BACKUPS.get(key))?.text()) ?? "";
        await env.BACKUPS.put(key, text.replace('"label": null', '"label": "mine"'));
      },
    ],
    [
      "the backup's volume is gone",
      async (_, backupId) => {
        const { volumes } = await manifestOf(backupId);
        await env.BACKUPS.delete(keyIn(backupId, volumes[0]?.name ?? ""));
      },
    ],
    ["the last full backup is a week old", () => advanceDays(7)],
  ])("is backed up in full when %s", async (_, change) => {
    const database = await createDatabase(TABLE);
    const first = await backUp(database, {});
    await change(database, first.backupId);
    const second = await backUp(database, {});
    expect(second).toMatchObject({ state: "complete" });
    expect(second.backupId).not.toBe(first.backupId);
  });

  it("is backed up in full when D1 does not tell its bookmark", async () => {
    const database = await createDatabase(TABLE);
    await backUp(database, {});
    const silent = [{ on: "bookmark", fault: "status", value: 500 }];
    expect(await backUp(database, {}, silent)).toMatchObject({ state: "complete" });
  });
});

describe("a full backup of an unchanged database", () => {
  it("is compared with the one before, and confirms it", async () => {
    const database = await createDatabase(TABLE);
    await backUp(database, {});
    await backUp(database, { force: true });
    expect(await status(database.id)).toMatchObject({ unchangedOff: null });
    expect(await backUp(database, {})).toMatchObject({ state: "unchanged" });
  });

  it("that differs switches the feature off, says so, and is kept", async () => {
    const database = await createDatabase(TABLE);
    await backUp(database, {});
    // other bytes under the same bookmark
    const second = await backUp(database, { force: true }, [{ on: "download", fault: "change" }]);
    expect(second).toMatchObject({ state: "complete" });
    expect(await status(database.id)).toMatchObject({
      unchangedOff: { detail: expect.stringContaining("another SHA-256") },
    });
    expect(await backUp(database, {})).toMatchObject({ state: "complete" });
    // until somebody who has looked at it sets the policy anew
    await setPolicy(database.id, {});
    expect(await backUp(database, {})).toMatchObject({ state: "unchanged" });
  });

  it("that differs is told also when the run dies between its manifest and the record of it", async () => {
    const database = await createDatabase(TABLE);
    await backUp(database, {});
    await setFaults(database.id, [{ on: "download", fault: "change" }]);
    await startBackup(database.id);
    await drive(database.id, (run) => run.phase.at === "committing");
    const stub = env.DATABASE_BACKUPS.getByName(database.id);
    const before = await runInDurableObject(stub, (_, { storage }) => new Map(storage.kv.list()));
    await nextStep(database.id);
    await runInDurableObject(stub, async (_, { storage }) => {
      // The watchdog's alarm, which a dead object leaves behind.
      await storage.setAlarm(Date.now());
      for (const [key] of storage.kv.list()) storage.kv.delete(key);
      for (const [key, value] of before) storage.kv.put(key, value);
    });
    const record = await runInDurableObject(stub, (_, { storage }) => storage.kv.get("record"));
    expect(record).not.toMatchObject({ unchangedOff: { detail: expect.any(String) } });
    await drive(database.id, isOver);
    expect(await status(database.id)).toMatchObject({
      unchangedOff: { detail: expect.stringContaining("another SHA-256") },
    });
  });

  it("is not held against the one before when the data had moved on (failure mode 38)", async () => {
    const database = await createDatabase(TABLE);
    await backUp(database, {});
    await runSql(database.id, "DELETE FROM t WHERE a = 'one'");
    await backUp(database, { force: true });
    expect(await status(database.id)).toMatchObject({ unchangedOff: null });
    expect(await backUp(database, {})).toMatchObject({ state: "unchanged" });
  });
});
