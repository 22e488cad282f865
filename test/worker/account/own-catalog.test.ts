import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { createDatabase, renameDatabase, resetAccount, runSql, stateOf } from "../kit/emulated-account.ts";
import {
  backUp,
  call,
  drive,
  driveAccount,
  fire,
  forgetAccount,
  HEARTBEAT,
  isOver,
  keysOf,
  moveTo,
  NIGHTLY,
  settle,
  startBackup,
  storedRun,
  viewOf,
} from "../kit/run-driver.ts";

// A binding does not say which database of the account it leads to, so the catalogue may bear another name than the
// settings say.

const DAY = 24 * 3_600_000;
const START = Date.UTC(2128, 0, 1, 2, 50);

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  await forgetAccount();
  await env.CATALOG.exec("DELETE FROM databases");
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

const LIKE_A_CATALOG = `
  CREATE TABLE runs (id TEXT PRIMARY KEY); CREATE TABLE backups (id TEXT); CREATE TABLE databases (id TEXT);
  INSERT INTO runs VALUES ('another');`;

const found = z.object({ result: z.array(z.object({ uuid: z.string(), name: z.string() })) });

async function idOf(name: string): Promise<string> {
  const url = `http://emulator.test/client/v4/accounts/emulated-account/d1/database?name=${name}`;
  const response = await fetch(url, { headers: { Authorization: "Bearer emulated-token" } });
  const database = found.parse(await response.json()).result.find((each) => each.name === name);
  if (database === undefined) throw new Error(`the emulated account has no database ${name}`);
  return database.uuid;
}

async function problems(): Promise<string[]> {
  const answer = z.object({ problems: z.array(z.object({ code: z.string() })) });
  return answer.parse(await (await call("/api/health")).json()).problems.map(({ code }) => code);
}

async function beat(): Promise<void> {
  await fire(HEARTBEAT);
  await driveAccount(1_000);
}

/** The catalogue under a name that the settings do not give, and a run of it that is asked for. */
async function runOfTheCatalog(): Promise<{ id: string; run: string }> {
  const id = await idOf("d1-nightly-catalog");
  await renameDatabase(id, "my-index");
  await runSql(id, LIKE_A_CATALOG);
  await beat();
  expect(await problems()).toContain("catalog-not-found");
  const run = await startBackup(id);
  // As the binding writes it there.
  await runSql(id, `INSERT INTO runs VALUES ('${run}')`);
  await drive(id, isOver);
  expect(await viewOf(run)).toMatchObject({ state: "failed" });
  return { id, run };
}

describe("the Worker's own catalogue under another name", () => {
  it("is found out by its first run, before any export", async () => {
    const { id, run } = await runOfTheCatalog();
    expect(await viewOf(run)).toMatchObject({
      state: "failed",
      error: { code: "own-catalog", hint: expect.stringContaining('CATALOG_DATABASE_NAME to "my-index"') },
    });
    expect(await stateOf(id)).toMatchObject({ exportsStarted: 0 });
    expect(await keysOf("my-index")).toEqual([]);
  });

  it("is left out from then on, and missed by nobody", async () => {
    const other = await createDatabase("CREATE TABLE t (a);");
    const { id, run } = await runOfTheCatalog();
    await settle([{ id }]);
    for (let night = 1; night <= 2; night++) {
      const at = START + night * DAY + 600_000;
      await moveTo(at);
      await beat();
      await fire(NIGHTLY, at);
      await settle([other]);
    }
    expect((await storedRun(other.id)).phase.at).toMatch(/complete|unchanged/);
    expect((await storedRun(id)).id).toBe(run);
    for (const code of ["catalog-not-found", "database-gone", "run-failed", "never-backed-up"])
      expect(await problems()).not.toContain(code);
  });
});

describe("a database that was the Worker's own catalogue once", () => {
  it("is backed up every night again, once a run has succeeded", async () => {
    const { id } = await runOfTheCatalog();
    await settle([{ id }]);
    await runSql(id, "DELETE FROM runs");
    const run = await startBackup(id);
    await settle([{ id }]);
    expect(await viewOf(run)).toMatchObject({ state: "complete" });
    await runSql(id, "INSERT INTO backups VALUES ('written since')");
    const at = START + DAY + 600_000;
    await moveTo(at);
    await beat();
    await fire(NIGHTLY, at);
    await settle([{ id }]);
    const { id: last, phase } = await storedRun(id);
    expect([last === run, phase.at]).toEqual([false, "complete"]);
  });
});

describe("a database whose tables are named as a catalogue's", () => {
  it.each([
    ["and that holds other runs", LIKE_A_CATALOG],
    ["and have other columns", LIKE_A_CATALOG.replace("runs (id", "runs (number")],
  ])("is backed up %s", async (_, sql) => {
    const database = await createDatabase(sql);
    expect(await backUp(database)).toMatchObject({ state: "complete", error: null });
  });
});
