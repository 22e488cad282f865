import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { createDatabase, resetAccount, setFaults } from "../kit/emulated-account.ts";
import {
  account,
  call,
  drive,
  driveAccount,
  holdTheClock,
  isOver,
  nextStep,
  settle,
  startBackup,
  storedRun,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(async () => {
  holdTheClock();
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

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

async function createDatabases(count: number): Promise<{ id: string; name: string }[]> {
  const databases = [];
  for (let i = 0; i < count; i++) databases.push(await createDatabase(""));
  return databases;
}

describe("POST /api/backups", () => {
  it("answers with the runs, those under way already included", async () => {
    const databases = await createDatabases(3);
    await call(`/api/databases/${databases[0]?.id}/backups`, { method: "POST" });
    const response = await call("/api/backups", { method: "POST", body: "{}" });
    expect(response.status).toBe(202);
    const { runs } = await response.json<{ runs: { databaseId: string }[] }>();
    expect(runs.map(({ databaseId }) => databaseId).sort()).toEqual(databases.map(({ id }) => id).sort());
  });

  it("starts the first 25 at once, and the others as slots become free; a second one is told to wait", async () => {
    const databases = await createDatabases(30);
    const response = await call("/api/backups", { method: "POST", body: "{}" });
    expect((await response.json<{ runs: unknown[] }>()).runs).toHaveLength(25);
    expect(await latestSweep()).toMatchObject({ state: "starting", databases: 30, started: 25 });
    const second = await call("/api/backups", { method: "POST", body: "{}" });
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ code: "sweep-under-way", sweep: { started: 25 } });
    await settle(databases);
    expect(await latestSweep()).toMatchObject({ state: "done", databases: 30, started: 30 });
    for (const { id } of databases) expect(await storedRun(id)).toMatchObject({ trigger: "manual" });
  }, 60_000);

  it("says what is wrong when the databases cannot be listed", async () => {
    expectLog("listing-failed");
    await setFaults("*", [{ on: "list", fault: "status", value: 403 }]);
    const response = await call("/api/backups", { method: "POST" });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      code: "api-token-refused",
      hint: expect.stringContaining("D1 · Edit"),
    });
    expect(await latestSweep()).toMatchObject({ state: "failed", error: { code: "api-token-refused" } });
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
    await driveAccount();
  });

  it("one that waits to copy again after a failure keeps its position in the queue", async () => {
    const [database] = await createDatabases(1);
    const id = database?.id ?? "";
    await startBackup(id);
    await drive(id, ({ phase }) => phase.at === "copying");
    await setFaults(id, [{ on: "download", fault: "status", value: 500, times: 1 }]);
    expect(await nextStep(id)).toMatchObject({ phase: { at: "copying" }, attempt: 1 });
    for (const other of ["x", "y"]) expect(await account().acquireLease("copy", other)).toBe(true);
    expect(await nextStep(id)).toMatchObject({ phase: { at: "copying", waiting: true }, attempt: 1 });
    vi.setSystemTime(Date.now() + 1_000);
    expect(await account().acquireLease("copy", "later")).toBe(false);
    await account().releaseLease("copy", "x");
    // One place is free, and it is not the later one's.
    expect(await account().acquireLease("copy", "later")).toBe(false);
    await drive(id, isOver);
    expect(await storedRun(id)).toMatchObject({ phase: { at: "complete" } });
    for (const other of ["y", "later"]) await account().releaseLease("copy", other);
  });

  it("a slot that is never given back ends by itself", async () => {
    const queue = env.ACCOUNT_COORDINATOR.getByName("leases");
    const taken = [];
    for (let i = 0; i < 7; i++) taken.push(await queue.acquireLease("export", `dead-${i}`));
    expect(taken).toEqual([true, true, true, true, true, true, false]);
    vi.setSystemTime(Date.now() + 3 * 60_000);
    expect(await queue.acquireLease("export", "alive")).toBe(true);
  });

  it("whose turn it is gets the slot, not who asks first after it became free", async () => {
    const queue = env.ACCOUNT_COORDINATOR.getByName("fairness");
    for (const id of ["a", "b"]) await queue.acquireLease("copy", id);
    expect(await queue.acquireLease("copy", "first in line")).toBe(false);
    vi.setSystemTime(Date.now() + 1_000);
    expect(await queue.acquireLease("copy", "second in line")).toBe(false);
    await queue.releaseLease("copy", "a");
    expect(await queue.acquireLease("copy", "second in line")).toBe(false);
    expect(await queue.acquireLease("copy", "first in line")).toBe(true);
  });
});
