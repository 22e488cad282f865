import type { Hazard } from "../dump/hazards.ts";
import { iso } from "../time.ts";
import { COPY_CUT_OFF } from "./cut-off.ts";
import { bytesCopied, type Phase, type PhaseOf, type Run } from "./run.ts";

export const RUN_STATES = [
  "queued",
  "exporting",
  "copying",
  "verifying",
  "complete",
  "failed",
  "cancelled",
  "unchanged",
] as const;
export type RunState = (typeof RUN_STATES)[number];

/** A run as the API shows it and the catalogue stores it. */
export interface RunView {
  readonly id: string;
  readonly databaseId: string;
  readonly databaseName: string;
  readonly state: RunState;
  readonly trigger: "scheduled" | "manual";
  readonly label: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly progress: {
    step: string;
    bytesDone: number | null;
    bytesTotal: number | null;
    message: string | null;
  };
  readonly error: { code: string; detail: string; hint: string } | null;
  /** For an unchanged run: the backup that still matches the database's state. */
  readonly backupId: string | null;
  /** What a restore may not bring back unchanged. */
  readonly hazards: readonly Hazard[];
}

/** The progress of the present volume, which only the object that copies it knows, and stores nowhere. */
export interface LiveProgress {
  readonly bytes: number;
  readonly totalBytes: number;
}

export function viewRun(run: Run, live: LiveProgress | null = null): RunView {
  const { phase } = run;
  return {
    id: run.id,
    databaseId: run.databaseId,
    databaseName: run.databaseName,
    state: stateOf(phase),
    trigger: run.trigger,
    label: run.label,
    createdAt: iso(run.createdAt),
    startedAt: run.startedAt === null ? null : iso(run.startedAt),
    finishedAt: run.finishedAt === null ? null : iso(run.finishedAt),
    progress: progressOf(run, live),
    error:
      phase.at === "failed"
        ? { code: phase.failure.code, detail: phase.failure.detail, hint: phase.failure.hint }
        : null,
    backupId: phase.at === "complete" || phase.at === "unchanged" ? phase.backupId : null,
    hazards: run.hazards,
  };
}

function stateOf(phase: Phase): RunState {
  switch (phase.at) {
    case "queued":
    case "preflight":
      return "queued";
    case "examining":
      return "copying";
    case "committing":
      return "verifying";
    default:
      return phase.at;
  }
}

function progressOf(run: Run, live: LiveProgress | null): RunView["progress"] {
  const { phase, lastFailure } = run;
  const waiting =
    lastFailure === null
      ? null
      : lastFailure.code === "api-budget-spent"
        ? "Waiting for the account's API budget."
        : `${lastFailure.detail} Trying again (attempt ${run.attempt + 1}).`;
  switch (phase.at) {
    case "queued":
      return {
        step: "queued",
        bytesDone: null,
        bytesTotal: null,
        message: waiting ?? "Waiting for a free lease.",
      };
    case "preflight":
      return { step: "preflight", bytesDone: null, bytesTotal: run.fileSize, message: waiting };
    case "exporting":
      return {
        step: "exporting",
        bytesDone: null,
        bytesTotal: run.fileSize,
        message: waiting ?? phase.message,
      };
    case "copying": {
      const done = bytesCopied(phase.copy) + (live?.bytes ?? 0);
      const total = phase.copy.source?.totalBytes ?? live?.totalBytes ?? null;
      const cutOff = run.hazards.some(({ kind }) => kind === COPY_CUT_OFF);
      const lean = cutOff ? ", lean, because copying was cut off" : "";
      const doing = phase.waiting
        ? "Waiting for a lease to copy."
        : `Copying volume ${phase.copy.volumes.length + 1}${lean}.`;
      const message = waiting ?? doing;
      return { step: "copying", bytesDone: done, bytesTotal: total, message };
    }
    case "verifying": {
      const total = phase.copy.volumes.reduce((sum, volume) => sum + volume.bytes, 0);
      const done = phase.copy.volumes.slice(0, phase.verified).reduce((sum, volume) => sum + volume.bytes, 0);
      const message = waiting ?? `Reading back volume ${phase.verified + 1} of ${phase.copy.volumes.length}.`;
      return { step: "verifying", bytesDone: done, bytesTotal: total, message };
    }
    case "committing":
      return { step: "committing", bytesDone: null, bytesTotal: null, message: waiting };
    case "examining": {
      const message =
        waiting ?? `Asking the database about table ${phase.asked + 1} of ${run.tables?.length ?? 0}.`;
      return { step: "examining", bytesDone: null, bytesTotal: run.fileSize, message };
    }
    case "complete":
      return { step: "complete", bytesDone: null, bytesTotal: null, message: hazardsMessage(run.hazards) };
    case "unchanged": {
      const message =
        "Nothing has been written since the last backup, which still exists, so no export was needed.";
      return { step: "unchanged", bytesDone: null, bytesTotal: null, message };
    }
    case "failed":
      return { step: "failed", bytesDone: null, bytesTotal: null, message: null };
    case "cancelled":
      return { step: "cancelled", bytesDone: null, bytesTotal: null, message: cancelledMessage(phase) };
  }
}

function cancelledMessage({ during, exporting }: PhaseOf<"cancelled">): string {
  const said = `Cancelled while ${during}.`;
  if (!exporting) return said;
  return `${said} An export on Cloudflare's side cannot be cancelled: it ends by itself when nobody polls it any more, some 15 seconds from now, and until then the database answers no queries.`;
}

function hazardsMessage(hazards: readonly Hazard[]): string | null {
  if (hazards.length === 0) return null;
  const kinds = [...new Set(hazards.map(({ kind }) => kind))].join(", ");
  return `Complete, with hazards (${kinds}): the manifest says what may not come back as it was.`;
}
