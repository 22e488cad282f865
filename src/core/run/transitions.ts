import { RUN_DEADLINE_MS } from "../backoff.ts";
import { stampOf } from "../bucket/object-keys.ts";
import { NOTHING_SCANNED } from "../dump/tally.ts";
import type { Failure } from "../failure.ts";
import { leanOptions } from "../policy/backup-options.ts";
import { cutOffHazard } from "./cut-off.ts";
import { type Copy, copyOf, optionsOf, type Phase, type PhaseOf, type Run } from "./run.ts";

export function deadlineExceeded(run: Run): Failure {
  return {
    code: "deadline-exceeded",
    detail: `The run had not finished after ${RUN_DEADLINE_MS / 3_600_000} hours (it was ${run.phase.at}).`,
    hint: run.lastFailure?.hint ?? "The run's progress shows which step took so long.",
    retryable: false,
  };
}

/** Moves the run on to `phase`; its earlier failures no longer count. */
export function advance(run: Run, phase: Phase, now: number, delayMs = 0): Run {
  return { ...run, phase, attempt: 0, lastFailure: null, progressedAt: now, wakeAt: now + delayMs };
}

/** Repeats the step later. */
export function retry(run: Run, failure: Failure, now: number, delayMs: number): Run {
  return { ...run, attempt: run.attempt + 1, lastFailure: { ...failure }, wakeAt: now + delayMs };
}

/** Repeats the step later without counting an attempt, because the step was only waiting for its turn. */
export function waitForBudget(run: Run, failure: Failure, now: number): Run {
  return { ...run, lastFailure: { ...failure }, wakeAt: now + (failure.retryAfterMs ?? BUDGET_WAIT_MS) };
}

const BUDGET_WAIT_MS = 15_000;

export function fail(run: Run, failure: Failure, now: number): Run {
  return { ...run, phase: { at: "failed", failure: { ...failure } }, finishedAt: now, wakeAt: now };
}

/** `stepping`: a step of the run is active, and may have started an export that is not stored yet. */
export function cancel(run: Run, stepping: boolean, now: number): Run {
  const { phase } = run;
  const exporting =
    phase.at === "exporting" &&
    (phase.bookmark !== null || stepping) &&
    // Not for a finished export from which only a fresh URL is requested.
    (phase.copy === null || phase.copy.renewals === 0);
  const cancelled: Phase = { at: "cancelled", during: phase.at, exporting };
  return { ...run, phase: cancelled, lastFailure: null, finishedAt: now, wakeAt: now };
}

/** Starts a new export, from the first volume on: a backup never mixes two exports. */
export function exportAnew(run: Run, failure: Failure, now: number, delayMs: number): Run {
  return {
    ...run,
    attempt: 0,
    lastFailure: { ...failure },
    progressedAt: now,
    wakeAt: now + delayMs,
    // The answers belonged to the discarded export.
    examined: null,
    phase: freshExport(now, copyOf(run)),
  };
}

export function freshExport(now: number, stale: Copy | null = null): PhaseOf<"exporting"> {
  return {
    at: "exporting",
    startedAt: now,
    bookmark: null,
    polls: 0,
    busySince: null,
    message: null,
    copy: stale,
    discard: stale !== null,
  };
}

export function newCopy(run: Run, now: number): Copy {
  return {
    startedAt: now,
    stamp: stampOf(run.startedAt ?? now),
    claimed: false,
    source: null,
    volumes: [],
    upload: null,
    scanned: NOTHING_SCANNED,
    begun: 0,
    renewals: 0,
  };
}

/** The folder stays claimed, but what was copied into it no longer counts. */
export function emptied(copy: Copy): Copy {
  return {
    ...copy,
    source: null,
    volumes: [],
    upload: null,
    scanned: NOTHING_SCANNED,
    begun: 0,
    renewals: 0,
  };
}

/** Copies the same dump again from its first volume on, lean: a backup never mixes lean and other volumes. */
export function copyLean(run: Run, phase: PhaseOf<"copying">, now: number): Run {
  const { copy } = phase;
  const lean: Run = {
    ...run,
    options: leanOptions(optionsOf(run)),
    hazards: [...run.hazards, cutOffHazard(null)],
  };
  return advance(lean, { ...phase, copy: { ...emptied(copy), source: copy.source } }, now);
}
