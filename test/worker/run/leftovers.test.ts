import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, setFaults } from "../kit/emulated-account.ts";
import { drive, holdTheClock, isOver, keysOf, startBackup, storedRun } from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

const STAMP = "21261121T030000Z";

async function failWhileVerifying(prepare: (folder: string) => Promise<void>): Promise<string> {
  expectLog("run-failed");
  const database = await createDatabase("CREATE TABLE t (a);");
  await startBackup(database.id);
  await drive(database.id, ({ phase }) => phase.at === "verifying");
  const folder = `d1/${database.name}/${STAMP}/`;
  await prepare(folder);
  // The volume is gone, and with it the database: the run cannot but fail.
  await env.BACKUPS.delete(`${folder}${database.name}.0001.sql.gz`);
  await setFaults(database.id, [{ on: "any", fault: "vanish" }]);
  await drive(database.id, isOver);
  await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
  expect(await storedRun(database.id)).toMatchObject({
    phase: { at: "failed", failure: { code: "database-not-found" } },
  });
  return database.name;
}

describe("what a failed run leaves behind", () => {
  it("is deleted, its claim included", async () => {
    const name = await failWhileVerifying(async () => undefined);
    expect(await keysOf(name)).toEqual([]);
  });

  it("is a backup, and stays, when a manifest lies there after all", async () => {
    const name = await failWhileVerifying(async (folder) => {
      await env.BACKUPS.put(`${folder}manifest.json`, "{}");
    });
    expect(await keysOf(name)).toEqual([`${STAMP}/RUN.json`, `${STAMP}/manifest.json`]);
  });

  it("does not include what others put into the folder", async () => {
    const name = await failWhileVerifying(async (folder) => {
      await env.BACKUPS.put(`${folder}notes.txt`, "mine");
    });
    expect(await keysOf(name)).toEqual([`${STAMP}/notes.txt`]);
  });
});
