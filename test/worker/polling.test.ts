import { expect, it, vi } from "vitest";
import { createDatabase, settings, stateOf } from "./emulated-account.ts";
import { startBackup, viewOf } from "./run-driver.ts";

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
