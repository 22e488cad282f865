import { expect, it } from "vitest";
import { backUp } from "../e2e/behind-the-front.ts";

// Patience takes its time: the run tries again and again before it gives up.

it("a run fails, and stores nothing, when the dump is always announced longer than it is", async () => {
  const { run } = await backUp([
    { on: "download", fault: "ignore-range" },
    { on: "download", fault: "wrong-length", value: 1_000 },
  ]);
  expect(run).toMatchObject({ state: "failed", backupId: null });
  expect(run.error?.code).toMatch(/dump-(truncated|changed|unreachable)/);
}, 120_000);

it("a run completes when a connection stalls once: it is dropped after 30 seconds and taken up again", async () => {
  const { run } = await backUp([{ on: "download", fault: "stall", value: 60, times: 1 }]);
  expect(run).toMatchObject({ state: "complete" });
}, 120_000);
