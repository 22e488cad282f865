import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import {
  createDatabase,
  setFaults,
  settings,
  stateOf,
  syntheticDump,
} from "../worker/kit/emulated-account.ts";
import { manifestOf, startBackup, viewOf } from "../worker/kit/run-driver.ts";

// The real clock and the object's own alarms, as nobody but the platform drives them.
it("a running export is polled often enough", async () => {
  const database = await createDatabase("CREATE TABLE t (a);");
  await settings({ exportMs: 9_000 });
  const id = await startBackup(database.id);
  await vi.waitUntil(async () => (await viewOf(id)).state === "complete", { timeout: 30_000, interval: 200 });
  const { longestPollGapMs, pollsSeen } = await stateOf(database.id);
  expect(pollsSeen).toBeGreaterThanOrEqual(3);
  expect(longestPollGapMs).toBeLessThan(10_000);
}, 40_000);

it("a step that takes longer than the watchdog is not begun a second time", async () => {
  await settings({ exportMs: 0 });
  const database = await createDatabase("");
  await syntheticDump(database.id, 900_000);
  await setFaults(database.id, [{ on: "download", fault: "throttle", value: 120_000 }]);
  const id = await startBackup(database.id);
  // Were the object to die in the middle, this alarm would go on: an export is lost after 15 s without a poll.
  await vi.waitUntil(async () => ((await viewOf(id)).progress.bytesDone ?? 0) > 0, { timeout: 10_000 });
  const stub = env.DATABASE_BACKUPS.getByName(database.id);
  const alarm = await runInDurableObject(stub, (_, state) => state.storage.getAlarm());
  expect(alarm).toBeGreaterThan(Date.now() - 10_000);
  await vi.waitUntil(async () => (await viewOf(id)).state === "complete", { timeout: 30_000, interval: 200 });
  const { copyMs } = (await manifestOf((await viewOf(id)).backupId)).timings;
  expect(copyMs).toBeGreaterThan(6_000);
  expect((await stateOf(database.id)).downloads).toBe(1);
}, 40_000);
