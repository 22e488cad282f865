import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DueQueue } from "../../../src/jobs/registry/due-queue.ts";
import {
  createDatabase,
  resetAccount,
  runSql,
  setFaults,
  settings,
  stateOf,
} from "../kit/emulated-account.ts";
import {
  account,
  backUp,
  call,
  drive,
  driveAccount,
  fire,
  forgetAccount,
  HEARTBEAT,
  isOver,
  moveTo,
  NIGHTLY,
  setPolicy,
  settle,
  startBackup,
  storedRun,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MINUTE = 60_000;

/** Each test has weeks of its own, and an account of which nothing is known. */
let night = Date.UTC(2126, 0, 1, 3);

beforeEach(async () => {
  night += 28 * DAY;
  vi.useFakeTimers({ toFake: ["Date"], now: night - 12 * HOUR });
  await forgetAccount();
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one');";

/** The account has seen its databases and its triggers the night before. */
async function installed(databases: readonly { id: string }[]): Promise<void> {
  await moveTo(night - DAY);
  await fire(HEARTBEAT);
  await fire(NIGHTLY);
  await settle(databases);
}

async function beat(at: number): Promise<void> {
  await moveTo(at);
  await fire(HEARTBEAT, at);
  await driveAccount(1_000);
}

async function runsOf(id: string): Promise<{ state: string; trigger: string; createdAt: string }[]> {
  const response = await call(`/api/runs?database=${id}&limit=100`);
  return (await response.json<{ items: { state: string; trigger: string; createdAt: string }[] }>()).items;
}

async function known(id: string): Promise<Record<string, unknown>> {
  return (await call(`/api/databases/${id}`)).json();
}

describe("the nightly trigger", () => {
  it("starts every database but the catalogue once, within ten minutes and not all at once (failure mode 19)", async () => {
    const databases = [];
    for (let i = 0; i < 12; i++) databases.push(await createDatabase(TABLE));
    await moveTo(night);
    await fire(NIGHTLY, night);
    await settle(databases);
    const starts = [];
    for (const { id } of databases) {
      const runs = await runsOf(id);
      expect(runs).toMatchObject([{ state: "complete", trigger: "scheduled" }]);
      starts.push(Date.parse(runs[0]?.createdAt ?? ""));
    }
    expect(new Set(starts).size).toBeGreaterThan(8);
    expect(await runsOf("d1-nightly-catalog")).toEqual([]);
  }, 60_000);

  it("told twice, and told again late, starts one run", async () => {
    const database = await createDatabase(TABLE);
    await moveTo(night);
    await fire(NIGHTLY, night);
    await fire(NIGHTLY, night);
    await settle([database]);
    await moveTo(night + HOUR);
    await fire(NIGHTLY, night);
    await settle([database]);
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 1 });
    expect(await runsOf(database.id)).toHaveLength(1);
  });

  it("that Cloudflare has missed for days is made up for once, at the next heartbeat (failure mode 17)", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await beat(night + 3 * DAY + 2 * HOUR);
    await settle([database]);
    expect(await runsOf(database.id)).toMatchObject([{ trigger: "scheduled" }, { trigger: "scheduled" }]);
    await beat(night + 3 * DAY + 3 * HOUR);
    await settle([database]);
    expect(await runsOf(database.id)).toHaveLength(2);
  });

  it("starts nothing while the list of databases cannot be had but those that are known", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await setFaults("*", [{ on: "list", fault: "status", value: 503, times: 3 }]);
    await moveTo(night);
    await fire(NIGHTLY, night);
    await settle([database]);
    expect(await runsOf(database.id)).toHaveLength(2);
  });

  it("keeps one of two runs off a database that is being exported (failure modes 15 and 35)", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await settings({ exportMs: 40 * MINUTE });
    await moveTo(night - 20 * MINUTE);
    await startBackup(database.id);
    await drive(database.id, ({ phase }) => phase.at === "exporting");
    await moveTo(night);
    await fire(NIGHTLY, night);
    await driveAccount(12 * MINUTE);
    expect(await runsOf(database.id)).toMatchObject([{ trigger: "manual", state: "exporting" }, {}]);
    await settings({ exportMs: 0 });
    await settle([database]);
    // The slot is served after it, by a look: nothing was written since.
    expect((await runsOf(database.id)).map(({ trigger }) => trigger)).toEqual([
      "scheduled",
      "manual",
      "scheduled",
    ]);
  });
});

describe("databases that were not written to", () => {
  it("are told by their bookmark, without waking their objects", async () => {
    const databases = [await createDatabase(TABLE), await createDatabase(TABLE)];
    const [changed, same] = databases;
    await installed(databases);
    await runSql(changed?.id ?? "", "INSERT INTO t VALUES ('two');");
    const before = await storedRun(same?.id ?? "");
    await moveTo(night);
    await fire(NIGHTLY, night);
    await settle(databases);
    expect(await storedRun(same?.id ?? "")).toEqual(before);
    expect(await runsOf(same?.id ?? "")).toMatchObject([
      { state: "unchanged", trigger: "scheduled" },
      { state: "complete" },
    ]);
    expect(await runsOf(changed?.id ?? "")).toMatchObject([{ state: "complete" }, { state: "complete" }]);
    expect(await stateOf(same?.id ?? "")).toMatchObject({ exportsStarted: 1 });
    const copy = await env.BACKUPS.get(`d1/_d1-nightly/${same?.id}.json`);
    expect(await copy?.json()).toMatchObject({
      databaseId: same?.id,
      unchanged: {
        checkedAt: expect.stringMatching(new RegExp(`^${new Date(night).toISOString().slice(0, 14)}`)),
      },
    });
  });

  it("are backed up all the same when their last backup is gone from the bucket", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    for (const { key } of (await env.BACKUPS.list({ prefix: `d1/${database.name}/` })).objects)
      await env.BACKUPS.delete(key);
    await moveTo(night);
    await fire(NIGHTLY, night);
    await settle([database]);
    expect(await runsOf(database.id)).toMatchObject([{ state: "complete" }, { state: "complete" }]);
  });
});

describe("a schedule of its own", () => {
  it("starts the database at its own time, in its own zone, and not with the others", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await setPolicy(database.id, { schedule: { cron: "30 12 * * *", timeZone: "Europe/Berlin" } });
    await moveTo(night);
    await fire(NIGHTLY, night);
    await settle([database]);
    expect(await runsOf(database.id)).toHaveLength(1);
    const next = Date.parse(String((await known(database.id))["nextAt"]));
    const noon = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", timeStyle: "short" });
    expect(noon.format(next)).toMatch(/^12:3\d$/);
    // No trigger fires at that time: the account's own alarm does.
    await driveAccount(DAY);
    await settle([database]);
    expect(await runsOf(database.id)).toMatchObject([{ trigger: "scheduled" }, {}]);
  });

  it("fires nothing because it was made, or goes on after a pause (failure mode 16)", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await setPolicy(database.id, { schedule: { cron: "0 * * * *", timeZone: "UTC" }, paused: true });
    await beat(night + 10 * HOUR + MINUTE);
    expect((await known(database.id))["nextAt"]).toBeNull();
    await setPolicy(database.id, { schedule: { cron: "0 * * * *", timeZone: "UTC" } });
    await beat(night + 10 * HOUR + 5 * MINUTE);
    expect(await runsOf(database.id)).toHaveLength(1);
    await beat(night + 11 * HOUR + 15 * MINUTE);
    await settle([database], MINUTE);
    expect(await runsOf(database.id)).toHaveLength(2);
  });

  it("that is paused does not touch what was asked for by hand (failure mode 20)", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await setPolicy(database.id, { paused: true });
    expect(await backUp(database)).toMatchObject({ state: "complete", trigger: "manual" });
    await startBackup(database.id);
    await setPolicy(database.id, { paused: true, compression: "zstd" });
    await beat(night + HOUR);
    expect(await drive(database.id, isOver)).toMatchObject({ phase: { at: "complete" } });
    await fire(NIGHTLY, night);
    await settle([database]);
    expect((await runsOf(database.id)).filter(({ trigger }) => trigger === "scheduled")).toHaveLength(1);
  });
});

describe("a database that waits for its turn", () => {
  const waiting = (id: string): Promise<number> =>
    runInDurableObject(account(), (_, { storage }) => {
      const sql = "SELECT count(*) AS n FROM due WHERE database_id = ?";
      return storage.sql.exec<{ n: number }>(sql, id).one().n;
    });

  it("by its schedule does so no more when it is paused", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await moveTo(night);
    await fire(NIGHTLY, night);
    for (let minute = 0; minute <= 11; minute++) {
      for (let other = 0; other < 6; other++) await account().acquireLease("export", `busy-${other}`);
      await driveAccount(MINUTE);
      await moveTo(night + minute * MINUTE);
    }
    expect(await waiting(database.id)).toBe(1);
    await setPolicy(database.id, { paused: true });
    expect(await waiting(database.id)).toBe(0);
    for (let other = 0; other < 6; other++) await account().releaseLease("export", `busy-${other}`);
    await settle([database]);
    expect(await runsOf(database.id)).toHaveLength(1);
  });

  it("by hand is not forgotten when its slot comes and its schedule is paused after that (failure mode 20)", async () => {
    const by = (trigger: "manual" | "scheduled", key: string) => {
      return { trigger, label: null, pinned: false, force: false, examine: false, key } as const;
    };
    const waits = await runInDurableObject(account(), (_, { storage }) => {
      const queue = new DueQueue(storage.sql);
      queue.add({ id: "a", name: "a" }, by("manual", "sweep-1"), false, 0);
      queue.add({ id: "a", name: "a" }, by("scheduled", "slot-1"), false, 0);
      queue.dropSlot("a");
      const { request } = queue.toCompare(Number.MAX_SAFE_INTEGER, 1)[0] ?? {};
      queue.drop("a");
      return request;
    });
    expect(waits).toMatchObject({ trigger: "manual", key: "sweep-1" });
  });

  it("by hand is backed up although its schedule is paused meanwhile (failure mode 20)", async () => {
    const databases = [];
    for (let i = 0; i < 26; i++) databases.push(await createDatabase(""));
    await call("/api/backups", { method: "POST", body: "{}" });
    const counts = await Promise.all(databases.map(({ id }) => waiting(id)));
    const last = databases[counts.indexOf(1)];
    expect(last).toBeDefined();
    await setPolicy(last?.id ?? "", { paused: true });
    await settle(databases);
    expect(await runsOf(last?.id ?? "")).toMatchObject([{ trigger: "manual", state: "complete" }]);
  }, 60_000);
});

describe("the clock", () => {
  it.each([
    ["a day forward: one run makes up for it", DAY, 2],
    ["a day back: nothing is done twice", -DAY, 1],
  ])("jumping %s", async (_, jump, runs) => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    vi.setSystemTime(night - DAY + HOUR + jump);
    await fire(HEARTBEAT);
    await settle([database]);
    await fire(HEARTBEAT);
    await settle([database]);
    expect(await runsOf(database.id)).toHaveLength(runs);
  });

  it("that was wrong by a year does not silence the schedule when it is put right", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    vi.setSystemTime(night + 365 * DAY);
    await fire(HEARTBEAT);
    await settle([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('three');");
    vi.setSystemTime(night + HOUR);
    await fire(HEARTBEAT);
    vi.setSystemTime(night + DAY);
    await fire(NIGHTLY);
    await settle([database]);
    // The slot that the wrong clock has passed over is made up for, and the night that follows has nothing to add.
    const states = (await runsOf(database.id)).map(({ state }) => state);
    expect(states.toSorted()).toEqual(["complete", "complete", "complete", "unchanged"]);
  });
});

describe("a run that stands still", () => {
  it("is taken up again by the heartbeat after 15 minutes (failure mode 13)", async () => {
    const database = await createDatabase(TABLE);
    await installed([database]);
    const id = await startBackup(database.id);
    await drive(database.id, ({ phase }) => phase.at === "exporting");
    const stub = env.DATABASE_BACKUPS.getByName(database.id);
    await runInDurableObject(stub, (_, state) => state.storage.deleteAlarm());
    await beat(Date.now() + 20 * MINUTE);
    await driveAccount();
    expect(await runInDurableObject(stub, (_, state) => state.storage.getAlarm())).not.toBeNull();
    expect(await drive(database.id, isOver)).toMatchObject({ id, phase: { at: "complete" } });
  });

  it("does not keep the next night's from being made (failure mode 14)", async () => {
    expectLog("run-failed");
    const database = await createDatabase(TABLE);
    await installed([database]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await startBackup(database.id);
    await drive(database.id, ({ phase }) => phase.at === "exporting");
    const stub = env.DATABASE_BACKUPS.getByName(database.id);
    await runInDurableObject(stub, (_, state) => state.storage.deleteAlarm());
    await moveTo(night);
    await fire(NIGHTLY, night);
    await settle([database]);
    const states = (await runsOf(database.id)).map(({ state, trigger }) => `${trigger} ${state}`);
    expect(states).toEqual(["scheduled complete", "manual failed", "scheduled complete"]);
  });
});
