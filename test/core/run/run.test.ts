import { describe, expect, it } from "vitest";
import { RUN_DEADLINE_MS } from "../../../src/core/backoff.ts";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import { backupOptionsSchema } from "../../../src/core/policy/backup-options.ts";
import { viewRun } from "../../../src/core/run/run-view.ts";
import { isDead, isOver, newRun, type Phase, type Run, runSchema } from "../../../src/core/run/run.ts";
import {
  advance,
  cancel,
  exportAnew,
  fail,
  freshExport,
  newCopy,
  retry,
  waitForBudget,
} from "../../../src/core/run/transitions.ts";

const MINUTE_MS = 60_000;
const startedAt = Date.UTC(2026, 10, 21, 3);

const request = {
  trigger: "scheduled",
  label: null,
  pinned: false,
  force: false,
  examine: false,
  key: "night",
} as const;
const begun: Run = {
  ...newRun("r", { id: "d", name: "shop", accountId: "a" }, request, startedAt),
  startedAt,
};
const failure = { code: "api-unavailable", detail: "down", hint: "wait", retryable: true } as const;
const at = (phase: Phase): Run => ({ ...begun, phase });

describe("a run is dead", () => {
  const late = startedAt + RUN_DEADLINE_MS + 16 * MINUTE_MS;
  it.each<[string, Run, number, boolean]>([
    ["a quarter of an hour after its deadline, when nothing has happened since", begun, late, true],
    ["not before that", begun, startedAt + RUN_DEADLINE_MS + 14 * MINUTE_MS, false],
    ["not while something happens", { ...begun, progressedAt: late - MINUTE_MS }, late, false],
    ["not while it waits in the queue, however long", { ...begun, startedAt: null }, late, false],
    ["not when it is over", fail(begun, failure, startedAt), late, false],
  ])("%s", (_, run, now, dead) => {
    expect(isDead(run, now)).toBe(dead);
  });
});

describe("progress is noted", () => {
  const later = startedAt + MINUTE_MS;
  it.each<[string, Run, number]>([
    ["when the run moves on", advance(begun, { at: "preflight" }, later), later],
    ["when an export is made anew", exportAnew(begun, failure, later, 0), later],
    ["and not when a step is tried again", retry(begun, failure, later, 0), startedAt],
    ["and not when a call was not admitted", waitForBudget(begun, failure, later), startedAt],
  ])("%s", (_, run, progressedAt) => {
    expect(run.progressedAt).toBe(progressedAt);
  });
});

it("a call that was not admitted costs no attempt, and is made again when there is room", () => {
  const spent = { ...failure, code: "api-budget-spent", retryAfterMs: 7_000 } as const;
  const tried = retry(at({ at: "preflight" }), failure, startedAt, 0);
  const waiting = waitForBudget(tried, spent, startedAt);
  expect(waiting).toMatchObject({ attempt: 1, wakeAt: startedAt + 7_000, phase: { at: "preflight" } });
  expect(viewRun(waiting).progress.message).toBe("Waiting for the account's API budget.");
});

describe("a cancelled run", () => {
  const { startedAt: since } = { startedAt };
  const exporting = freshExport(since);
  const polled = { ...exporting, bookmark: "b" };
  const copy = newCopy(begun, since);

  it("is over, says so, and is nobody's failure", () => {
    const run = cancel(at({ at: "preflight" }), false, since + MINUTE_MS);
    expect(isOver(run)).toBe(true);
    expect(runSchema.parse(run)).toEqual(run);
    expect(viewRun(run)).toMatchObject({
      state: "cancelled",
      error: null,
      backupId: null,
      finishedAt: "2026-11-21T03:01:00.000Z",
      progress: { step: "cancelled", message: "Cancelled while preflight." },
    });
  });

  it.each<[string, Phase, boolean, boolean]>([
    ["is under way", polled, false, true],
    ["may just have been started", exporting, true, true],
    ["was not started yet", exporting, false, false],
    [
      "has ended, and is asked for a fresh address",
      { ...polled, copy: { ...copy, renewals: 1 } },
      true,
      false,
    ],
    ["was followed by a second one", { ...polled, copy }, false, true],
    ["is none: it is in the queue", { at: "queued" }, true, false],
  ])(
    "tells of an export on Cloudflare's side that cannot be cancelled, if it %s",
    (_, phase, stepping, told) => {
      const { message } = viewRun(cancel(at(phase), stepping, since)).progress;
      expect(message?.includes("cannot be cancelled")).toBe(told);
    },
  );
});

it("a run that an earlier release has stored is read as one of everything", () => {
  const { progressedAt: _progressed, notExported: _left, ...older } = begun;
  expect(runSchema.parse(older)).toEqual({ ...begun, progressedAt: 0 });
  const options = { compression: "gzip", volumeBytes: 1, lean: false, recipients: [] };
  expect(backupOptionsSchema.parse(options)).toEqual({ ...options, exportOptions: EVERYTHING });
});
