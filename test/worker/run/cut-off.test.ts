import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import type { Policy } from "../../../src/core/policy/policy.ts";
import { isOver, type Run } from "../../../src/core/run/run.ts";
import {
  createDatabase,
  dumpOf,
  type Fault,
  setFaults,
  stateOf,
  syntheticDump,
} from "../kit/emulated-account.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  driveAccount,
  dumpSql,
  fire,
  HEARTBEAT,
  holdTheClock,
  keysOf,
  manifestOf,
  moveTo,
  nextStep,
  setPolicy,
  startBackup,
  storedRun,
  viewOf,
} from "../kit/run-driver.ts";

// A plan's CPU limit ends a step without a word: the object is gone, and what it had saved is all that is known.

const MIB = 1024 * 1024;

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const object = (id: string) => env.DATABASE_BACKUPS.getByName(id);
const copyOf = ({ phase }: Run) => (phase.at === "copying" ? phase.copy : null);
const isCopying = (volumes: number) => (run: Run) => copyOf(run)?.volumes.length === volumes;

/** A database whose dump has three volumes, and a run of it that is about to copy. */
async function aboutToCopy(policy: Policy = {}): Promise<{ id: string; name: string; run: string }> {
  const database = await createDatabase("");
  await setPolicy(database.id, policy);
  await syntheticDump(database.id, 2.5 * MIB);
  const run = await startBackup(database.id);
  await drive(database.id, isCopying(0));
  return { ...database, run };
}

const CUT_OFF = "exceeded its CPU time limit (by the test)";

/** The step dies in the middle of a volume, so many times in a row. */
async function cutOff(id: string, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    await setFaults(id, [{ on: "download", fault: "stall", value: 100_000, times: 1 }]);
    const run = await storedRun(id);
    await moveTo(run.wakeAt);
    const { downloads } = await stateOf(id);
    const dying = runDurableObjectAlarm(object(id)).catch(() => false);
    await vi.waitUntil(async () => (await stateOf(id)).downloads > downloads);
    const killed = runInDurableObject(object(id), (_, state) => state.abort(CUT_OFF));
    await killed.catch(() => undefined);
    await dying;
  }
  await setFaults(id, []);
}

/** Drives the run to its end, and one alarm further: for catalogue and leftovers. */
async function end({ id, run }: { id: string; run: string }) {
  await drive(id, isOver);
  await runDurableObjectAlarm(object(id));
  return viewOf(run);
}

/** What health tells of a database. */
async function problems({ id }: { id: string }): Promise<string[]> {
  const problem = z.object({
    code: z.string(),
    databaseId: z.string().optional(),
    detail: z.string(),
    hint: z.string(),
  });
  const answer = z.object({ problems: z.array(problem) });
  const { problems: all } = answer.parse(await (await call("/api/health")).json());
  const own = all.filter(({ databaseId }) => databaseId === id);
  return own.map(({ code, detail, hint }) => `${code}: ${detail} ${hint}`);
}

/** A database whose first backup is lean because it was cut off. */
async function cutOffBefore() {
  const database = await aboutToCopy();
  await cutOff(database.id, 3);
  const { backupId } = await end(database);
  expect(await manifestOf(backupId)).toMatchObject({ lean: true });
  return database;
}

const kinds = (hazards: readonly { kind: string }[]) => hazards.map(({ kind }) => kind);

describe("a run that is cut off three times at one volume", () => {
  it("goes on lean with the same dump, and is complete", async () => {
    const database = await aboutToCopy();
    await drive(database.id, isCopying(1));
    await cutOff(database.id, 3);
    await nextStep(database.id);
    expect((await viewOf(database.run)).progress.message).toBe(
      "Copying volume 1, lean, because copying was cut off.",
    );
    const run = await end(database);
    expect(run).toMatchObject({ state: "complete", error: null });
    const manifest = await manifestOf(run.backupId);
    expect(manifest).toMatchObject({ lean: true, compression: "none", sections: null });
    for (const { hazards } of [run, manifest]) {
      expect(kinds(hazards)).toEqual(["copy-cut-off", "not-scanned"]);
      expect(hazards[0]?.detail).toContain("rows are not counted");
    }
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 1 });
    expect(await dumpSql(run.backupId)).toBe(await dumpOf(database.id));
    // Nothing of the volumes that were compressed is left.
    const kept = [...manifest.volumes, ...manifest.files].map(({ name }) => name).concat("manifest.json");
    expect((await keysOf(database.name)).map((key) => key.split("/").at(-1)).toSorted()).toEqual(
      kept.toSorted(),
    );
  });

  it("is told by health, with what lean leaves out and what to do, until the policy is set", async () => {
    const database = await cutOffBefore();
    await fire(HEARTBEAT);
    await driveAccount();
    expect(await problems(database)).toContainEqual(
      expect.stringMatching(/^copy-cut-off: .*not compressed.*not counted.*"lean": true.*paid plan/),
    );
    await setPolicy(database.id, { lean: true });
    await runDurableObjectAlarm(object(database.id));
    expect(await problems(database)).not.toContainEqual(expect.stringContaining("copy-cut-off"));
  });
});

describe("a run that is not cut off three times at one volume", () => {
  it.each<[string, (id: string) => Promise<void>]>([
    [
      "twice at each of two volumes",
      async (id) => {
        await cutOff(id, 2);
        await drive(id, isCopying(1));
        await cutOff(id, 2);
      },
    ],
    [
      "twice, with a failure in between",
      async (id) => {
        await cutOff(id, 2);
        const failing: Fault[] = [{ on: "download", fault: "status", value: 500 }];
        await setFaults(id, failing);
        await nextStep(id);
        await cutOff(id, 2);
      },
    ],
  ])("goes on as its policy says: %s", async (_, happens) => {
    const database = await aboutToCopy();
    await happens(database.id);
    const run = await end(database);
    expect(run).toMatchObject({ state: "complete", hazards: [] });
    expect(await manifestOf(run.backupId)).toMatchObject({ lean: false, compression: "gzip" });
  });

  it("goes on as its policy says when a download has failed often", async () => {
    const database = await aboutToCopy();
    await setFaults(database.id, [{ on: "download", fault: "status", value: 500, times: 5 }]);
    expect(await end(database)).toMatchObject({ state: "complete", hazards: [] });
  });
});

describe("later runs of a database that was cut off", () => {
  it("begin lean, say why, and are not made when nothing was written", async () => {
    const database = await cutOffBefore();
    expect(await backUp(database, {})).toMatchObject({ state: "unchanged" });
    await advanceDays(29);
    const { backupId, hazards } = await backUp(database, { force: true });
    expect(kinds(hazards)).toEqual(["copy-cut-off", "not-scanned"]);
    expect(hazards[0]?.detail).toContain("An earlier run (2126-11-21T03:");
    expect(await manifestOf(backupId)).toMatchObject({ lean: true });
  });

  it.each<[string, (id: string) => Promise<void>]>([
    ["a month has passed", () => advanceDays(30)],
    ["its policy was set, as it was", (id) => setPolicy(id, {})],
    [
      "the default policy asks for another compression",
      async () => {
        await call("/api/policy", { method: "PUT", body: JSON.stringify({ compression: "zstd" }) });
      },
    ],
  ])("are tried in full again when %s", async (_, happens) => {
    const database = await cutOffBefore();
    await happens(database.id);
    const run = await backUp(database, { force: true });
    await call("/api/policy", { method: "PUT", body: "{}" });
    expect(run).toMatchObject({ state: "complete", hazards: [] });
    expect(await manifestOf(run.backupId)).toMatchObject({ lean: false });
    expect(await problems(database)).not.toContainEqual(expect.stringContaining("copy-cut-off"));
  });
});

it("a lean run that is cut off ten times at one volume fails, and says what may help", async () => {
  const database = await aboutToCopy({ lean: true });
  await cutOff(database.id, 10);
  expect(await end(database)).toMatchObject({
    state: "failed",
    error: { code: "copy-cut-off", hint: expect.stringContaining("paid plan") },
  });
});
