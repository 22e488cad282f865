import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, setFaults } from "../kit/emulated-account.ts";
import { noticesOf, refuse, rest } from "../kit/retention-driver.ts";
import { drive, holdTheClock, isOver, keysOf, startBackup, storedRun } from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(holdTheClock);
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const STAMP = "21261121T030000Z";

/** As the catalogue knows it. */
async function databaseNamed(name: string): Promise<{ id: string }> {
  const id = await env.CATALOG.prepare("SELECT id FROM databases WHERE name = ?").bind(name).first("id");
  return { id: String(id) };
}

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

  it.each([
    ["fails", "delete: We encountered an internal error. (10001)", 3 * HOUR_MS, 1.5 * DAY_MS],
    [
      "is refused by a lock rule",
      "delete: The object is locked by the bucket policy. (10069)",
      4 * DAY_MS,
      25 * DAY_MS,
    ],
  ])(
    "is told while its deletion %s, and deleted as soon as the bucket does it",
    async (_, says, forMs, twentyTriesMs) => {
      const end = refuse((key) => key.endsWith("/SHA256SUMS"), says);
      const name = await failWhileVerifying(async () => undefined);
      const { id } = await databaseNamed(name);
      expect(await noticesOf(id)).toEqual([]);
      await rest(id, forMs);
      expect(await noticesOf(id)).toEqual([
        { kind: "leftovers-failing", detail: expect.stringContaining(`d1/${name}/${STAMP}/`) },
      ]);
      await rest(id, twentyTriesMs);
      expect(await keysOf(name)).toEqual([`${STAMP}/RUN.json`]);
      end();
      await rest(id, 2 * DAY_MS);
      expect(await keysOf(name)).toEqual([]);
      expect(await noticesOf(id)).toEqual([]);
    },
  );

  it("does not include what others put into the folder", async () => {
    const name = await failWhileVerifying(async (folder) => {
      await env.BACKUPS.put(`${folder}notes.txt`, "mine");
    });
    expect(await keysOf(name)).toEqual([`${STAMP}/notes.txt`]);
  });
});
