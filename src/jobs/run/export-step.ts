import { backoffMs, BUSY_LIMIT_MS, busyDelayMs, EXPORT_LIMIT, pollDelayMs } from "../../core/backoff.ts";
import type { ExportAnswer } from "../../core/d1/api.ts";
import { firstPace } from "../../core/examination/batches.ts";
import { NOT_COUNTED } from "../../core/examination/replaced-text.ts";
import { virtualTablesFailure } from "../../core/dump/schema.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import { optionsOf, type PhaseOf, type Run } from "../../core/run/run.ts";
import { advance, emptied, exportAnew, fail, newCopy } from "../../core/run/transitions.ts";
import { removeVolumes, type StepContext } from "./step.ts";

/**
 * Starts the export, or polls it. If the answer to a start was lost, the step starts again, finds the database busy,
 * and waits until D1 cancels the export that nobody polls.
 */
export async function exporting(
  run: Run,
  phase: PhaseOf<"exporting">,
  context: StepContext,
): Promise<Result<Run>> {
  const { platform } = context;
  if (phase.discard && phase.copy !== null) {
    const removed = await removeVolumes(run, phase.copy, platform);
    if (!removed.ok) return removed;
    const cleared: PhaseOf<"exporting"> = { ...phase, copy: emptied(phase.copy), discard: false };
    return exporting(await context.save({ ...run, phase: cleared }), cleared, context);
  }
  const { bookmark } = phase;
  // The time of another tool's export does not count as ours.
  if (bookmark === null) phase = { ...phase, startedAt: platform.now() };
  const { exportOptions } = optionsOf(run);
  const answer =
    bookmark === null
      ? await platform.api.startExport(run.databaseId, exportOptions)
      : await platform.api.pollExport(run.databaseId, exportOptions, bookmark);
  if (!answer.ok) return answer;
  const started =
    bookmark === null && answer.value.kind !== "busy" ? run.exportsStarted + 1 : run.exportsStarted;
  return ok(afterAnswer({ ...run, exportsStarted: started }, phase, answer.value, context));
}

function afterAnswer(
  run: Run,
  phase: PhaseOf<"exporting">,
  answer: ExportAnswer,
  { platform }: StepContext,
): Run {
  const now = platform.now();
  switch (answer.kind) {
    case "active": {
      const bookmark = phase.bookmark ?? answer.bookmark;
      if (bookmark === null) return restartExport(run, noBookmark(), platform, EXPORT_LIMIT, REFUSED_WAIT_MS);
      const message = answer.message ?? phase.message;
      const polls = phase.bookmark === null ? 0 : phase.polls;
      return advance(run, { ...phase, bookmark, message, polls: polls + 1 }, now, pollDelayMs(polls));
    }
    case "complete": {
      if (phase.bookmark !== null && answer.bookmark !== phase.bookmark)
        return restartExport(run, otherExport(), platform, EXPORT_LIMIT, LOST_WAIT_MS);
      // Save the URL in the same turn in which it is read, because D1 may report it only once.
      const dump = {
        bookmark: answer.bookmark,
        signedUrl: answer.signedUrl,
        exportMs: Math.max(0, now - phase.startedAt),
      };
      const copy = phase.copy ?? newCopy(run, now);
      // A fresh URL for an export that is already being copied: it was already examined.
      if (!run.examine || run.examined !== null || copy.volumes.length > 0)
        return advance(run, { at: "copying", dump, copy, waiting: false }, now);
      const pace = firstPace(run.fileSize, run.tables?.length ?? 0);
      const nothing = { startedAt: now, asked: 0, pace, rowsRead: 0, found: [], counted: NOT_COUNTED };
      return advance(run, { at: "examining", dump, copy, ...nothing }, now);
    }
    case "busy": {
      const busySince = phase.busySince ?? now;
      if (now - busySince > BUSY_LIMIT_MS) return fail(run, busyForTooLong(), now);
      // Waiting is not a failure; only its duration is limited.
      const wakeAt = now + busyDelayMs(phase.polls, platform.random());
      return { ...run, lastFailure: busy(), wakeAt, phase: { ...phase, busySince, polls: phase.polls + 1 } };
    }
    case "lost": {
      const why = (phase.copy?.renewals ?? 0) > 0 ? noFreshAddress() : lost();
      return restartExport(run, why, platform, EXPORT_LIMIT, LOST_WAIT_MS);
    }
    case "error":
      return restartExport(run, refused(answer), platform, EXPORT_LIMIT, REFUSED_WAIT_MS);
  }
}

/**
 * Every export keeps the database from answering. One that D1 ends with an error is not repeated within a minute; one
 * that it has lost, not before the database had time to answer: 15 to 30 seconds, and twice as long each time.
 */
const REFUSED_WAIT_MS = [60_000, 15 * 60_000] as const;
const LOST_WAIT_MS = [15_000, 15 * 60_000] as const;

/** Starts a new export, up to `limit` exports in all; then the run fails. */
export function restartExport(
  run: Run,
  why: Failure,
  platform: StepContext["platform"],
  limit = EXPORT_LIMIT,
  [firstMs, longestMs]: readonly [number, number] = [1_000, 30_000],
): Run {
  const now = platform.now();
  if (!why.retryable || run.exportsStarted >= limit) return fail(run, why, now);
  return exportAnew(run, why, now, backoffMs(run.exportsStarted, platform.random(), firstMs, longestMs));
}

function busy(): Failure {
  return {
    code: "database-busy",
    detail: "D1 is busy with another export of this database.",
    hint: "There is nothing to do: the run continues when that export ends.",
    retryable: true,
  };
}

function busyForTooLong(): Failure {
  return {
    code: "export-busy",
    detail: `Another export kept the database busy for ${BUSY_LIMIT_MS / 60_000} minutes.`,
    hint: "Check whether another tool exports this database at the same time, and run it at another hour.",
    retryable: true,
  };
}

function lost(): Failure {
  return {
    code: "export-lost",
    detail: "D1 no longer knows the export.",
    hint: "D1 cancels an export that is not polled for 15 seconds, and forgets one that it has reported as complete. The run starts a new one, a few times.",
    retryable: true,
  };
}

/** Without a bookmark the export cannot be polled, and keeps the database busy until D1 cancels it. */
function noBookmark(): Failure {
  return { ...lost(), detail: "D1 started an export and gave no bookmark to poll it with." };
}

function noFreshAddress(): Failure {
  return {
    code: "dump-url-expired",
    detail: "The dump's URL has expired, and D1 gives no new one for this export.",
    hint: "The run starts a new export, a few times. If this persists, D1's storage refuses its own URLs: contact Cloudflare's support.",
    retryable: true,
  };
}

function otherExport(): Failure {
  return { ...lost(), detail: "D1 answered with a different export from the one that was started." };
}

function refused({ message, virtualTables }: Extract<ExportAnswer, { kind: "error" }>): Failure {
  if (virtualTables)
    return {
      ...virtualTablesFailure(["(only D1 knows which)"]),
      detail: `D1 refused the export: ${message}`,
    };
  return {
    code: "export-refused",
    detail: `D1 ended the export with an error: ${message}`,
    hint: "The run starts a new export, a few times. If this persists, try `wrangler d1 export` by hand, and contact Cloudflare's support.",
    retryable: true,
  };
}
