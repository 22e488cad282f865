import { createScheduledController, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import worker from "../../src/index.ts";
import { createDatabase, resetAccount, runSql, setFaults, stateOf } from "./emulated-account.ts";
import { call, drive, holdTheClock, isOver, nextStep, startBackup, storedRun } from "./run-driver.ts";

beforeEach(async () => {
  holdTheClock();
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

const account = () => env.ACCOUNT_QUEUE.getByName("emulated-account");
const sweepSchema = z.object({
  sweep: z
    .object({
      state: z.string(),
      databases: z.number(),
      started: z.number(),
      error: z.object({ code: z.string() }).nullable(),
    })
    .nullable(),
});

async function latestSweep(): Promise<z.infer<typeof sweepSchema>["sweep"]> {
  return sweepSchema.parse(await (await call("/api/sweeps/latest")).json()).sweep;
}

async function sweepToEnd(): Promise<void> {
  for (let alarms = 0; alarms < 50; alarms++) {
    const sweep = await latestSweep();
    if (sweep?.state === "done" || sweep?.state === "failed") return;
    vi.setSystemTime(Date.now() + 60_000);
    await runDurableObjectAlarm(account());
  }
  throw new Error("the sweep does not end");
}

async function fireCron(scheduledTime: Date): Promise<void> {
  const controller = createScheduledController({ scheduledTime, cron: "0 3 * * *" });
  await worker.scheduled(controller, env);
}

async function createDatabases(count: number): Promise<{ id: string; name: string }[]> {
  const databases = [];
  for (let i = 0; i < count; i++) databases.push(await createDatabase(""));
  return databases;
}

describe("the nightly trigger", () => {
  it("starts a backup of every database but the catalogue, page by page, from its own alarms", async () => {
    const databases = await createDatabases(130);
    await fireCron(new Date("2126-11-21T03:00:00Z"));
    // One call and no more: the rest comes from alarms.
    await sweepToEnd();
    expect(await latestSweep()).toMatchObject({ state: "done", databases: 130, started: 130 });
    for (const { id } of databases) expect(await storedRun(id)).toMatchObject({ trigger: "scheduled" });
    const runs = await (await call("/api/runs?database=d1-nightly-catalog")).json<{ items: unknown[] }>();
    expect(runs.items).toEqual([]);
  }, 60_000);

  it("delivered twice starts one run of each database", async () => {
    const [database] = await createDatabases(1);
    const id = database?.id ?? "";
    await fireCron(new Date("2126-11-22T03:00:00Z"));
    await sweepToEnd();
    const first = await drive(id, isOver);
    await fireCron(new Date("2126-11-22T03:00:00Z"));
    await sweepToEnd();
    expect((await drive(id, isOver)).id).toBe(first.id);
    expect(await stateOf(id)).toMatchObject({ exportsStarted: 1 });
    await runSql(id, "CREATE TABLE t (a);");
    await fireCron(new Date("2126-11-23T03:00:00Z"));
    await sweepToEnd();
    await drive(id, isOver);
    expect(await stateOf(id)).toMatchObject({ exportsStarted: 2 });
  });

  it("goes on when the list fails for a while", async () => {
    await createDatabases(2);
    await setFaults("*", [{ on: "list", fault: "status", value: 503, times: 3 }]);
    await fireCron(new Date("2126-11-24T03:00:00Z"));
    await sweepToEnd();
    expect(await latestSweep()).toMatchObject({ state: "done", started: 2 });
  });

  it("says so when the list cannot be had", async () => {
    await setFaults("*", [{ on: "list", fault: "status", value: 403 }]);
    await fireCron(new Date("2126-11-25T03:00:00Z"));
    await sweepToEnd();
    expect(await latestSweep()).toMatchObject({ state: "failed", error: { code: "api-token-refused" } });
  });
});

describe("POST /api/backups", () => {
  it("answers with the runs, those under way already included", async () => {
    const databases = await createDatabases(3);
    await call(`/api/databases/${databases[0]?.id}/backups`, { method: "POST" });
    const response = await call("/api/backups", { method: "POST", body: "{}" });
    expect(response.status).toBe(202);
    const { runs } = await response.json<{ runs: { databaseId: string }[] }>();
    expect(runs.map(({ databaseId }) => databaseId).sort()).toEqual(databases.map(({ id }) => id).sort());
  });

  it("says what is wrong when the databases cannot be listed", async () => {
    await setFaults("*", [{ on: "list", fault: "status", value: 403 }]);
    const response = await call("/api/backups", { method: "POST" });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      code: "api-token-refused",
      hint: expect.stringContaining("D1 · Edit"),
    });
  });
});

describe("many databases at once", () => {
  it("export six at a time, the others wait for their turn", async () => {
    const databases = await createDatabases(9);
    await setFaults("*", [{ on: "export.start", fault: "slow", value: 3_600_000 }]);
    await call("/api/backups", { method: "POST" });
    for (const { id } of databases) await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(id));
    const states = await Promise.all(databases.map(async ({ id }) => (await storedRun(id)).phase.at));
    expect(states.filter((state) => state === "queued")).toHaveLength(3);
  });

  it("one that waits to copy again after a failure keeps its position in the queue", async () => {
    const [database] = await createDatabases(1);
    const id = database?.id ?? "";
    await startBackup(id);
    await drive(id, ({ phase }) => phase.at === "copying");
    await setFaults(id, [{ on: "download", fault: "status", value: 500, times: 1 }]);
    expect(await nextStep(id)).toMatchObject({ phase: { at: "copying" }, attempt: 1 });
    for (const other of ["x", "y"]) expect(await account().take("copy", other)).toBe(true);
    expect(await nextStep(id)).toMatchObject({ phase: { at: "copying", waiting: true }, attempt: 1 });
    vi.setSystemTime(Date.now() + 1_000);
    expect(await account().take("copy", "later")).toBe(false);
    await account().release("copy", "x");
    // One place is free, and it is not the later one's.
    expect(await account().take("copy", "later")).toBe(false);
    await drive(id, isOver);
    expect(await storedRun(id)).toMatchObject({ phase: { at: "complete" } });
    for (const other of ["y", "later"]) await account().release("copy", other);
  });

  it("a place that is never given back ends by itself", async () => {
    const queue = env.ACCOUNT_QUEUE.getByName("leases");
    const taken = [];
    for (let i = 0; i < 7; i++) taken.push(await queue.take("export", `dead-${i}`));
    expect(taken).toEqual([true, true, true, true, true, true, false]);
    vi.setSystemTime(Date.now() + 3 * 60_000);
    expect(await queue.take("export", "alive")).toBe(true);
  });

  it("whose turn it is gets the place, not who asks first after it became free", async () => {
    const queue = env.ACCOUNT_QUEUE.getByName("fairness");
    for (const id of ["a", "b"]) await queue.take("copy", id);
    expect(await queue.take("copy", "first in line")).toBe(false);
    vi.setSystemTime(Date.now() + 1_000);
    expect(await queue.take("copy", "second in line")).toBe(false);
    await queue.release("copy", "a");
    expect(await queue.take("copy", "second in line")).toBe(false);
    expect(await queue.take("copy", "first in line")).toBe(true);
  });
});
