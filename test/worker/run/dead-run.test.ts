import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "../../../src/connect.ts";
import type { Coordinator } from "../../../src/core/account/coordinator.ts";
import { RUN_DEADLINE_MS } from "../../../src/core/backoff.ts";
import { failed, ok } from "../../../src/core/failure.ts";
import { effectivePolicy } from "../../../src/core/policy/effective-policy.ts";
import type { Run } from "../../../src/core/run/run.ts";
import { RecordStore } from "../../../src/jobs/database/database-record.ts";
import { RunStore } from "../../../src/jobs/database/run-store.ts";
import { RunSteps } from "../../../src/jobs/run/run-steps.ts";
import { createDatabase, setFaults, stateOf } from "../kit/emulated-account.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  startBackup,
  storedRun,
  viewOf,
} from "../kit/run-driver.ts";

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two'), ('three');";
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

beforeEach(holdTheClock);
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const object = (id: string) => env.DATABASE_BACKUPS.getByName(id);
const alarmOf = (id: string) => runInDurableObject(object(id), (_, { storage }) => storage.getAlarm());

/** What a crash at a bad moment, or a defect, leaves behind: a run in the middle, and nothing that would go on with it. */
async function loseAlarm(id: string): Promise<void> {
  await runInDurableObject(object(id), (_, { storage }) => storage.deleteAlarm());
}

async function passTime(ms: number): Promise<void> {
  await advanceDays(ms / DAY_MS);
}

const exporting = ({ phase }: Run) => phase.at === "exporting";

/** What the Worker's log says of failed runs while `work` goes on. */
async function failuresLogged(work: () => Promise<void>): Promise<unknown[]> {
  const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
  await work();
  return log.mock.calls.flat().filter((entry) => JSON.stringify(entry).includes("run-failed"));
}

describe("a run that nothing goes on with", () => {
  it("is taken up again when it is revived, and when the next one is asked for (failure mode 13)", async () => {
    for (const ask of [
      ({ id }: { id: string }) =>
        object(id)
          .revive()
          .then((run) => run?.state),
      ({ id }: { id: string }) =>
        call(`/api/databases/${id}/backups`, { method: "POST" }).then(({ status }) => status),
    ]) {
      const database = await createDatabase(TABLE);
      const id = await startBackup(database.id);
      await drive(database.id, exporting);
      await loseAlarm(database.id);
      expect(["exporting", 409]).toContain(await ask(database));
      expect(await alarmOf(database.id)).not.toBeNull();
      await drive(database.id, isOver);
      expect(await viewOf(id)).toMatchObject({ state: "complete" });
    }
  });

  it("is taken up again when its alarm is late, or far ahead because the clock was turned back", async () => {
    const database = await createDatabase(TABLE);
    await startBackup(database.id);
    await drive(database.id, exporting);
    for (const [alarm, wakeAt] of [
      [-2 * MINUTE_MS, -2 * MINUTE_MS],
      [DAY_MS, DAY_MS],
    ] as const) {
      await runInDurableObject(object(database.id), async (_, { storage }) => {
        const run = storage.kv.get<Run>("run");
        storage.kv.put("run", { ...run, wakeAt: Date.now() + wakeAt });
        await storage.setAlarm(Date.now() + alarm);
      });
      await object(database.id).revive();
      expect(await alarmOf(database.id)).toBe(Date.now());
      expect((await storedRun(database.id)).wakeAt).toBeLessThanOrEqual(Date.now());
    }
    await drive(database.id, isOver);
    expect(await storedRun(database.id)).toMatchObject({ phase: { at: "complete" } });
  });

  it("is left alone while it waits for its turn, and once it is over", async () => {
    const database = await createDatabase(TABLE);
    expect(await object(database.id).revive()).toBeNull();
    await setFaults(database.id, [{ on: "export.start", fault: "busy", times: 1 }]);
    await startBackup(database.id);
    const waiting = await drive(
      database.id,
      ({ phase }) => phase.at === "exporting" && phase.busySince !== null,
    );
    await object(database.id).revive();
    expect(await storedRun(database.id)).toEqual(waiting);
    expect(await alarmOf(database.id)).toBe(waiting.wakeAt);
    await drive(database.id, isOver);
    expect(await object(database.id).revive()).toBeNull();
  });

  it("fails at its deadline at the latest when the next one is asked for, which then begins (failure mode 14)", async () => {
    const database = await createDatabase(TABLE);
    const dead = await startBackup(database.id);
    await drive(database.id, exporting);
    await loseAlarm(database.id);
    await passTime(RUN_DEADLINE_MS + 16 * MINUTE_MS);
    const logged = await failuresLogged(async () => {
      const next = await startBackup(database.id);
      expect(next).not.toBe(dead);
      await drive(database.id, isOver);
      expect(await viewOf(next)).toMatchObject({ state: "complete" });
    });
    expect(logged).toEqual([
      {
        event: "run-failed",
        runId: dead,
        databaseId: database.id,
        databaseName: database.name,
        code: "deadline-exceeded",
      },
    ]);
    expect(await viewOf(dead)).toMatchObject({
      state: "failed",
      error: { code: "deadline-exceeded", detail: expect.stringContaining("exporting") },
    });
  });

  it("fails at its deadline by itself when it is revived only then", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await drive(database.id, exporting);
    await loseAlarm(database.id);
    await passTime(RUN_DEADLINE_MS + MINUTE_MS);
    await object(database.id).revive();
    const logged = await failuresLogged(async () => void (await drive(database.id, isOver)));
    expect(logged).toHaveLength(1);
    expect(await viewOf(id)).toMatchObject({ state: "failed", error: { code: "deadline-exceeded" } });
  });
});

it("one run of a database at a time: whoever asks meanwhile is told which, and nothing is exported twice (failure mode 15)", async () => {
  const database = await createDatabase(TABLE);
  await setFaults(database.id, [{ on: "export.start", fault: "slow", value: 60_000 }]);
  const id = await startBackup(database.id);
  await drive(database.id, exporting);
  const asked = Array.from({ length: 5 }, () =>
    call(`/api/databases/${database.id}/backups`, { method: "POST" }),
  );
  for (const response of await Promise.all(asked)) {
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ runId: id });
  }
  await drive(database.id, isOver);
  expect(await viewOf(id)).toMatchObject({ state: "complete" });
  expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 1 });
});

it("every failed run is told once to the Worker's log, without a word of what is secret", async () => {
  const database = await createDatabase(TABLE);
  const logged = await failuresLogged(async () => {
    const run = await backUp(database, { force: true }, [{ on: "download", fault: "empty" }]);
    expect(run.state).toBe("failed");
  });
  expect(logged).toMatchObject([{ code: "dump-empty", databaseName: database.name }]);
  expect(JSON.stringify(logged)).not.toMatch(/_signed|emulated-token/);
});

describe("a run that the account's budget turns away", () => {
  it("waits as long as it is told, costs itself no attempt, and goes on where it was", async () => {
    const database = await createDatabase(TABLE);
    await startBackup(database.id);
    await drive(database.id, ({ phase }) => phase.at === "preflight");
    const connected = connect(env);
    if (!connected.ok) throw new Error(connected.failure.detail);
    const platform = connected.value;
    const spent = failed({
      code: "api-budget-spent",
      detail: "",
      hint: "",
      retryable: true,
      retryAfterMs: 9_000,
    });
    let turnedAway = 0;
    const coordinator: Coordinator = {
      acquireLease: async () => true,
      releaseLease: async () => undefined,
      acquireCall: async () => 0,
      slowDown: async () => undefined,
      policy: async () => (turnedAway++ < 30 ? spent : ok(effectivePolicy({}, platform.settings))),
      report: async () => undefined,
    };
    await runInDurableObject(object(database.id), async (_, { storage }) => {
      const store = new RunStore(storage);
      const steps = new RunSteps(store, new RecordStore(storage), async () => undefined);
      // More often than any failure would be put up with.
      for (let times = 0; times < 30; times++) {
        const run = store.run(Date.now());
        if (run === null) throw new Error("there is no run");
        await steps.step(run, platform, coordinator);
        const waiting = store.run(Date.now());
        expect(waiting).toMatchObject({ phase: { at: "preflight" }, attempt: 0, wakeAt: Date.now() + 9_000 });
      }
    });
    expect(await viewOf((await storedRun(database.id)).id)).toMatchObject({
      state: "queued",
      progress: { message: "Waiting for the account's API budget." },
    });
    await drive(database.id, isOver);
    expect(await storedRun(database.id)).toMatchObject({ phase: { at: "complete" } });
  });
});
