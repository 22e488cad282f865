import { createScheduledController, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { vi } from "vitest";
import { z } from "zod";
import { type Manifest, manifestSchema } from "../../../src/core/backup/manifest.ts";
import type { RunView } from "../../../src/core/run/run-view.ts";
import { isOver, type Run, runSchema } from "../../../src/core/run/run.ts";
import { advanceEmulatorClock, type Fault, setFaults } from "./emulated-account.ts";
import { lookAtRun } from "./worker-log.ts";
import worker from "../../../src/index.ts";

export const ADMIN = { Authorization: "Bearer admin-token-for-tests" };

/** Calls the Worker's HTTP API. */
export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(
    new Request(`http://worker.test${path}`, { ...init, headers: { ...ADMIN, ...init.headers } }),
  );
}

const startedSchema = z.object({ run: z.object({ id: z.string() }) });

export async function startBackup(database: string, body: unknown = { force: true }): Promise<string> {
  const response = await call(`/api/databases/${database}/backups`, {
    method: "POST",
    body: JSON.stringify(body),
  });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  return startedSchema.parse(await response.json()).run.id;
}

/** Sets a database's own policy, as a user does. */
export async function setPolicy(database: string, policy: unknown): Promise<void> {
  const path = `/api/databases/${database}/policy`;
  const response = await call(path, { method: "PUT", body: JSON.stringify(policy) });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
}

/** The run as the object has stored it. */
export async function storedRun(databaseId: string): Promise<Run> {
  const stub = env.DATABASE_BACKUPS.getByName(databaseId);
  return runInDurableObject(stub, (_, state) => runSchema.parse(state.storage.kv.get("run")));
}

/** Fires the object's alarm now, with the clock moved to when it is due. */
export async function nextStep(databaseId: string): Promise<Run> {
  const stub = env.DATABASE_BACKUPS.getByName(databaseId);
  const { wakeAt } = await storedRun(databaseId);
  const ahead = wakeAt - Date.now();
  if (ahead > 0) {
    // The emulator lives in another isolate and has a clock of its own: it comes along.
    vi.setSystemTime(wakeAt);
    await advanceEmulatorClock(ahead);
  }
  await runDurableObjectAlarm(stub);
  return storedRun(databaseId);
}

/** Drives the run's alarms, without waiting, until `until` holds of the stored run. */
export async function drive(databaseId: string, until: (run: Run) => boolean): Promise<Run> {
  for (let steps = 0; steps < 400; steps++) {
    const run = await storedRun(databaseId);
    if (until(run)) return run;
    await nextStep(databaseId);
  }
  throw new Error(`still ${JSON.stringify((await storedRun(databaseId)).phase.at)} after 400 alarms`);
}

export { isOver };

/** Runs a backup to its end and returns how it went, as the API tells it. Faults are switched on once it has begun. */
export async function backUp(
  database: { id: string },
  body: unknown = { force: true },
  faults: readonly Fault[] = [],
): Promise<RunView> {
  const id = await startBackup(database.id, body);
  await setFaults(database.id, faults);
  await drive(database.id, isOver);
  // One more alarm for what follows the end: catalogue and leftovers.
  await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
  return viewOf(id);
}

export async function viewOf(runId: string): Promise<RunView> {
  lookAtRun(runId);
  const response = await call(`/api/runs/${runId}`);
  // the product's own answer, whose shape test/worker/http/api.test.ts checks
  return (await response.json()) as RunView;
}

export async function manifestOf(backupId: string | null): Promise<Manifest> {
  const response = await call(`/api/backups/${backupId ?? "none"}`);
  return z.object({ manifest: manifestSchema }).parse(await response.json()).manifest;
}

export async function dumpSql(backupId: string | null): Promise<string> {
  // text() warns of a type that is not text's.
  return new TextDecoder().decode(
    await (await call(`/api/backups/${backupId ?? "none"}/dump.sql`)).arrayBuffer(),
  );
}

export const NIGHTLY = "0 3 * * *";
export const HEARTBEAT = "*/5 * * * *";

export const account = () => env.ACCOUNT_COORDINATOR.getByName("emulated-account");

/** The account's object as in a new installation; whose keys were shown is remembered. */
export async function forgetAccount(): Promise<void> {
  const gone = runInDurableObject(account(), async (_, state) => {
    const { storage } = state;
    for (const [key] of storage.kv.list()) storage.kv.delete(key);
    for (const table of ["database", "due", "listed", "lease", "policy_change", "pending_run", "waiting"])
      storage.sql.exec(`DELETE FROM ${table}`);
    await storage.deleteAlarm();
    await storage.sync();
    state.abort(FORGOTTEN);
  });
  await gone.catch((error: unknown) => {
    if (!String(error).includes(FORGOTTEN)) throw error;
  });
}

/** What an object remembers in memory goes with it. */
const FORGOTTEN = "the account is forgotten (by the test)";

/** A Cron Trigger of the Worker fires. */
export async function fire(cron: string, scheduledTime = Date.now()): Promise<void> {
  await worker.scheduled(createScheduledController({ scheduledTime: new Date(scheduledTime), cron }), env);
}

/** Moves both clocks on to a moment, if it lies ahead. */
export async function moveTo(moment: number): Promise<void> {
  const ahead = moment - Date.now();
  if (ahead <= 0) return;
  vi.setSystemTime(moment);
  await advanceEmulatorClock(ahead);
}

/** Fires the account's alarms that are due within so many milliseconds, with the clock moved along. */
export async function driveAccount(forMs = 15 * 60_000): Promise<void> {
  const until = Date.now() + forMs;
  for (let alarms = 0; alarms < 300; alarms++) {
    const next = await runInDurableObject(account(), (_, state) => state.storage.getAlarm());
    if (next === null || next > until) return;
    await moveTo(next);
    await runDurableObjectAlarm(account());
  }
  throw new Error("the account's object goes on and on");
}

/** Drives the account and the runs of these databases until nothing is left to do. */
export async function settle(databases: readonly { id: string }[], forMs = 15 * 60_000): Promise<void> {
  for (let rounds = 0; rounds < 50; rounds++) {
    await driveAccount(forMs);
    const runs = await Promise.all(databases.map(({ id }) => storedRunOrNull(id)));
    const busy = runs.filter((run) => run !== null && !isOver(run));
    if (busy.length === 0) return;
    for (const run of busy) {
      if (run === null) continue;
      await drive(run.databaseId, isOver);
      await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(run.databaseId));
    }
  }
  throw new Error("runs go on and on");
}

/** The run as the object has stored it; null when it never had one. */
export async function storedRunOrNull(databaseId: string): Promise<Run | null> {
  const stub = env.DATABASE_BACKUPS.getByName(databaseId);
  return runInDurableObject(stub, (_, state) => {
    const stored = state.storage.kv.get("run");
    return stored === undefined ? null : runSchema.parse(stored);
  });
}

/** All keys of the bucket that belong to a database of this name. */
export async function keysOf(databaseName: string): Promise<string[]> {
  const prefix = `d1/${databaseName}/`;
  return (await env.BACKUPS.list({ prefix })).objects.map(({ key }) => key.slice(prefix.length));
}

/** The folders in which a database of this name has a manifest. */
export async function stampsOf(databaseName: string): Promise<string[]> {
  const keys = await keysOf(databaseName);
  return keys.filter((key) => key.endsWith("/manifest.json")).map((key) => key.slice(0, key.indexOf("/")));
}

/** Both clocks: the Worker's and the emulator's. */
export async function advanceDays(days: number): Promise<void> {
  vi.setSystemTime(Date.now() + days * 86_400_000);
  await advanceEmulatorClock(days * 86_400_000);
}

/**
 * Only Date is faked: streams need real timers. Alarms are fired by hand; the clock stands far ahead, so that none that
 * is set by it fires by itself, beside the one that a test has fired.
 */
export function holdTheClock(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2126, 10, 21, 3, 0, 0) });
}
