import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  advanceEmulatorClock,
  createDatabase,
  dumpOf,
  setFaults,
  stateOf,
  syntheticDump,
} from "../worker/kit/emulated-account.ts";
import {
  drive,
  dumpSql,
  holdTheClock,
  isOver,
  manifestOf,
  nextStep,
  setPolicy,
  startBackup,
  viewOf,
} from "../worker/kit/run-driver.ts";

const MIB = 1024 * 1024;

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

it.each([false, true])(
  "a volume of a slow source ends after four minutes, wherever it has come to (lean: %s)",
  async (lean) => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 2 * MIB);
    const dump = await dumpOf(database.id);
    const { exportsStarted } = await stateOf(database.id);
    await setPolicy(database.id, { lean, volumeBytes: 512 * MIB });
    const id = await startBackup(database.id);
    await drive(database.id, (run) => run.phase.at === "copying");
    await setFaults(database.id, [{ on: "download", fault: "throttle", value: MIB }]);
    const copying = nextStep(database.id);
    await vi.waitUntil(async () => ((await viewOf(id)).progress.bytesDone ?? 0) > 0);
    vi.setSystemTime(Date.now() + 4 * 60_000);
    await advanceEmulatorClock(4 * 60_000);
    const run = await copying;
    if (run.phase.at !== "copying") throw new Error("the first volume took the whole dump");
    expect(run.phase.copy.volumes).toHaveLength(1);
    await setFaults(database.id, []);
    await drive(database.id, isOver);
    const { backupId } = await viewOf(id);
    const { volumes } = await manifestOf(backupId);
    expect(volumes).toHaveLength(2);
    expect(volumes[0]?.dumpBytes).toBeLessThan(1.5 * MIB);
    expect(await dumpSql(backupId)).toBe(dump);
    expect((await stateOf(database.id)).exportsStarted).toBe(exportsStarted + 1);
  },
  20_000,
);
