import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, resetAccount, runSql } from "../kit/emulated-account.ts";
import {
  account,
  backUp,
  call,
  driveAccount,
  fire,
  holdTheClock,
  moveTo,
  NIGHTLY,
  setPolicy,
  settle,
  stampsOf,
  storedRunOrNull,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(async () => {
  holdTheClock();
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

const TABLE = "CREATE TABLE t (a TEXT);";
const KEEP_ALL = { keepLast: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 };

/** As a Worker that was deployed anew, under another name, on the same bucket. */
async function newAccount(): Promise<void> {
  await driveAccount();
  const gone = runInDurableObject(account(), async (_, state) => {
    await state.storage.deleteAll();
    state.abort("a new object takes its place (by the test)");
  });
  await expect(gone).rejects.toThrow("takes its place");
}

describe("a new account's object on a bucket that is not new", () => {
  it("deletes nothing that the policy in the bucket keeps", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { retention: KEEP_ALL });
    for (let minute = 0; minute < 5; minute++) {
      await backUp(database);
      await moveTo(Date.now() + 60_000);
    }
    await newAccount();
    await backUp(database);
    await settle([database]);
    expect(await stampsOf(database.name)).toHaveLength(6);
    expect(await (await call(`/api/databases/${database.id}`)).json()).toMatchObject({
      ownPolicy: { retention: KEEP_ALL },
      policyChanges: [
        { who: "restored from the bucket" },
        { who: "ADMIN_TOKEN", policy: { retention: KEEP_ALL } },
      ],
    });
  });

  it("starts nothing that is paused or left out there", async () => {
    const databases = [];
    for (const name of ["paused", "tmp-1", "shop"]) databases.push(await createDatabase(TABLE, name));
    const [paused] = databases;
    await setPolicy(paused?.id ?? "", { paused: true });
    await call("/api/policy", { method: "PUT", body: '{"exclude":["tmp-*"]}' });
    await newAccount();
    await fire(NIGHTLY);
    await settle(databases);
    const runs = await Promise.all(databases.map(({ id }) => storedRunOrNull(id)));
    expect(runs.map((run) => run?.phase.at ?? null)).toEqual([null, null, "complete"]);
  });

  it("starts nothing that is left out there when all are asked for", async () => {
    const databases = [await createDatabase(TABLE, "tmp-2"), await createDatabase(TABLE, "forum")];
    await call("/api/policy", { method: "PUT", body: '{"exclude":["tmp-*"]}' });
    await newAccount();
    const response = await call("/api/backups", { method: "POST", body: "{}" });
    const { runs } = await response.json<{ runs: { databaseName: string }[] }>();
    expect(runs.map(({ databaseName }) => databaseName)).toEqual(["forum"]);
    await settle(databases);
  });

  it("does not write its own ignorance over what lies there", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { compression: "zstd" });
    await backUp(database, {});
    await newAccount();
    await backUp(database, {});
    await driveAccount();
    const stored = await env.BACKUPS.get(`d1/_d1-nightly/${database.id}.json`);
    expect(await stored?.json()).toMatchObject({
      policy: { compression: "zstd" },
      unchanged: { backupId: expect.stringContaining(database.name) },
    });
  });

  it("starts nothing, and asks a while later, while the policy of all cannot be read", async () => {
    expectLog("policy-not-loaded");
    const database = await createDatabase(TABLE);
    await call("/api/policy", { method: "PUT", body: '{"exclude":["tmp-*"]}' });
    await newAccount();
    await env.BACKUPS.put("d1/_d1-nightly/policy.json", "no policy");
    await fire(NIGHTLY);
    await driveAccount();
    expect(await storedRunOrNull(database.id)).toBeNull();
    await call("/api/policy", { method: "PUT", body: "{}" });
    await settle([database]);
    expect(await storedRunOrNull(database.id)).toMatchObject({ phase: { at: "complete" } });
  });

  it("deletes nothing and waits while the policy there cannot be read", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { retention: { ...KEEP_ALL, keepLast: 1 } });
    await backUp(database);
    await newAccount();
    await env.BACKUPS.put(`d1/_d1-nightly/${database.id}.json`, "no policy");
    expect((await call(`/api/databases/${database.id}`)).status).toBe(503);
    await setPolicy(database.id, {});
    expect((await call(`/api/databases/${database.id}`)).status).toBe(200);
    await runSql(database.id, "INSERT INTO t VALUES ('x')");
    expect(await backUp(database)).toMatchObject({ state: "complete" });
    await call("/api/policy", { method: "PUT", body: "{}" });
  });
});
