import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { failed, ok, type Result } from "../../../src/core/failure.ts";
import { AlarmShell } from "../../../src/jobs/object/alarm-shell.ts";
import { holdTheClock } from "../kit/run-driver.ts";

beforeEach(() => holdTheClock());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const BROKEN = failed({ code: "configuration", detail: "no token", hint: "set it", retryable: true });

interface Case {
  readonly connect?: Result<string>;
  readonly work?: (storage: DurableObjectStorage) => Promise<void>;
  readonly next: number | null;
}

/** Rings once in an object of its own, and says when the next alarm comes, from now. */
async function ring({ connect = ok("platform"), work = async () => undefined, next }: Case) {
  const stub = env.VERIFICATIONS.getByName(crypto.randomUUID());
  return runInDurableObject(stub, async (_, { storage }) => {
    const now = Date.now();
    const shell = new AlarmShell(storage, {
      watchdogMs: 5_000,
      connect: () => connect,
      work: () => work(storage),
      nextAt: () => (next === null ? null : now + next),
    });
    await shell.ring();
    const alarm = await storage.getAlarm();
    await storage.deleteAlarm();
    return alarm === null ? null : alarm - now;
  });
}

describe("an alarm", () => {
  it.each<[name: string, given: Case, next: number | null]>([
    ["comes again when something is due next", { next: 4_000 }, 4_000],
    ["comes again at once for what is due already", { next: -9_000 }, 0],
    ["does not come again when nothing is left", { next: null }, null],
    ["rests a minute while the configuration is broken", { connect: BROKEN, next: 1_000 }, 60_000],
    ["sleeps longer than that when nothing is due before", { connect: BROKEN, next: 90_000 }, 90_000],
  ])("%s", async (_name, given, next) => {
    expect(await ring(given)).toBe(next);
  });

  it("that throws is reported, throws no further, and rests a minute", async () => {
    const reported = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const work = () => Promise.reject(new Error("a defect"));
    expect(await ring({ work, next: 0 })).toBe(60_000);
    expect(reported.mock.calls.flat()).toMatchObject([{ event: "alarm-exception" }]);
  });

  it("has set the watchdog before it works, in case that the object dies", async () => {
    let watchdog: number | null = null;
    await ring({
      work: async (storage) => {
        watchdog = (await storage.getAlarm()) ?? 0;
      },
      next: null,
    });
    expect(watchdog).toBe(Date.now() + 5_000);
  });
});

describe("waking by a time", () => {
  it.each<[name: string, standing: number | null, wanted: number, then: number]>([
    ["sets an alarm when there is none", null, 3_000, 3_000],
    ["brings a later one forward", 9_000, 3_000, 3_000],
    ["leaves an earlier one", 1_000, 3_000, 1_000],
  ])("%s", async (_name, standing, wanted, then) => {
    const stub = env.VERIFICATIONS.getByName(crypto.randomUUID());
    const alarm = await runInDurableObject(stub, async (_, { storage }) => {
      const now = Date.now();
      const idle = { watchdogMs: 1, connect: () => ok(0), work: async () => undefined, nextAt: () => null };
      const shell = new AlarmShell(storage, idle);
      if (standing !== null) await storage.setAlarm(now + standing);
      await shell.wakeBy(now + wanted);
      const set = await storage.getAlarm();
      await storage.deleteAlarm();
      return (set ?? 0) - now;
    });
    expect(alarm).toBe(then);
  });
});
