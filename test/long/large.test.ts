import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, setFaults, stateOf, syntheticDump } from "../worker/kit/emulated-account.ts";
import {
  backUp,
  holdTheClock,
  isOver,
  manifestOf,
  nextStep,
  startBackup,
  storedRun,
  viewOf,
} from "../worker/kit/run-driver.ts";

const MIB = 1024 * 1024;
const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two');";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

describe("large databases", () => {
  it("a dump of 32 MiB takes no more memory, and no longer a step, than one of 8 (failure mode 36)", async () => {
    const peaks: number[] = [];
    for (const bytes of [8 * MIB, 32 * MIB]) {
      const database = await createDatabase("");
      await syntheticDump(database.id, bytes);
      const run = await backUp(database);
      expect(run.state).toBe("complete");
      for (const { dumpBytes } of (await manifestOf(run.backupId)).volumes)
        expect(dumpBytes).toBeLessThan(1.1 * MIB);
      peaks.push(await env.DATABASE_BACKUPS.getByName(database.id).peakBytes());
    }
    const [small = 0, large = 0] = peaks;
    expect(small).toBeGreaterThan(0);
    expect(large - small).toBeLessThan(MIB);
  }, 60_000);

  it("an export of more than an hour is polled to its end (failure mode 39)", async () => {
    const database = await createDatabase(TABLE);
    const hourAndMore = 70 * 60_000;
    await setFaults(database.id, [{ on: "export.start", fault: "slow", value: hourAndMore }]);
    await startBackup(database.id);
    let run = await storedRun(database.id);
    for (let steps = 0; !isOver(run) && steps < 2_000; steps++) run = await nextStep(database.id);
    expect(run.phase.at).toBe("complete");
    const { exportsStarted, pollsSeen, longestPollGapMs } = await stateOf(database.id);
    expect(exportsStarted).toBe(1);
    expect(pollsSeen).toBeGreaterThan(1_000);
    expect(longestPollGapMs).toBeLessThan(10_000);
    expect((await manifestOf((await viewOf(run.id)).backupId)).timings.exportMs).toBeGreaterThan(3_600_000);
  }, 60_000);
});
