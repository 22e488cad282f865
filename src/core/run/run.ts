import { z } from "zod";
import { RUN_DEADLINE_MS } from "../backoff.ts";
import { manifestSchema, backupTriggerSchema, volumeSchema } from "../backup/manifest.ts";
import { backupIdOf, volumeName } from "../bucket/object-keys.ts";
import { hazardSchema } from "../dump/hazards.ts";
import { partNotExportedSchema } from "../dump/partial-export.ts";
import { SECTIONS } from "../dump/sections.ts";
import { scannedSchema } from "../dump/tally.ts";
import { countedSchema } from "../examination/replaced-text.ts";
import { FAILURE_CODES } from "../failure.ts";
import { type BackupOptions, backupOptionsSchema } from "../policy/backup-options.ts";
import type { BackupRequest } from "./request.ts";

/**
 * A run as it is stored between two alarms: everything that the next step needs; nothing else is remembered anywhere.
 * Times are milliseconds since the epoch. If you change the shape, change the number: a deployment in the middle of a
 * run that does not know the run's state starts that run again.
 */
export const STATE_VERSION = 4;

const at = z.number().int();
const count = z.number().int().nonnegative();

const failureSchema = z.object({
  code: z.enum(FAILURE_CODES),
  detail: z.string(),
  hint: z.string(),
  retryable: z.boolean(),
  retryAfterMs: z.number().optional(),
});

const finishedExportSchema = z.object({
  bookmark: z.string(),
  /** A secret while it is valid: stored here, and shown nowhere. */
  signedUrl: z.string(),
  exportMs: count,
});

/** What has been copied so far, all from one export: `source` is compared at each read. */
const copySchema = z.object({
  startedAt: at,
  /** The folder's timestamp. Ours once `claimed`. */
  stamp: z.string(),
  claimed: z.boolean(),
  source: z.object({ totalBytes: count, etag: z.string().nullable() }).nullable(),
  volumes: z.array(volumeSchema),
  /** A multipart upload that was started and not completed. A resumed step aborts it before it opens another. */
  upload: z.object({ key: z.string(), uploadId: z.string() }).nullable(),
  scanned: scannedSchema,
  /** How often copying the present volume was started, counted before the start. A cut-off step does not reset it. */
  begun: count.default(0),
  /** How many fresh URLs were requested since the last finished volume. */
  renewals: count,
});

const phaseSchema = z.discriminatedUnion("at", [
  z.object({ at: z.literal("queued") }),
  z.object({ at: z.literal("preflight") }),
  z.object({
    at: z.literal("exporting"),
    startedAt: at,
    /** Null until D1 has reported it: the export still has to be started. */
    bookmark: z.string().nullable(),
    polls: count,
    busySince: at.nullable(),
    message: z.string().nullable(),
    /**
     * What was copied before. With `discard`, its export is gone and its volumes are deleted before the next export
     * starts. Otherwise its URL has expired, and the copy continues if a poll gives a fresh URL of the same export.
     */
    copy: copySchema.nullable(),
    discard: z.boolean(),
  }),
  z.object({
    at: z.literal("examining"),
    dump: finishedExportSchema,
    copy: copySchema,
    startedAt: at,
    /** How many of the tables have been asked about, or given up. */
    asked: count,
    pace: z.object({ tables: count, suspectsEnd: count }),
    rowsRead: count,
    found: z.array(hazardSchema),
    counted: countedSchema,
  }),
  z.object({
    at: z.literal("copying"),
    dump: finishedExportSchema,
    copy: copySchema,
    /** All leases to copy are taken. */
    waiting: z.boolean(),
  }),
  z.object({
    at: z.literal("verifying"),
    dump: finishedExportSchema,
    copy: copySchema,
    copiedAt: at,
    verified: count,
  }),
  z.object({
    at: z.literal("committing"),
    dump: finishedExportSchema,
    copy: copySchema,
    copiedAt: at,
    verifiedAt: at,
  }),
  z.object({ at: z.literal("complete"), backupId: z.string() }),
  /** Nothing has been written since this backup, which still exists. */
  z.object({ at: z.literal("unchanged"), backupId: z.string() }),
  z.object({ at: z.literal("failed"), failure: failureSchema }),
  z.object({
    at: z.literal("cancelled"),
    /** The phase in which it was cancelled. */
    during: z.string(),
    /** D1 was exporting. Nobody can cancel an export; it ends when the polls stop. */
    exporting: z.boolean(),
  }),
]);

export const runSchema = z.object({
  version: z.literal(STATE_VERSION),
  /** Increases with each save: a step that finds another number in storage stops without effect. */
  revision: count,
  id: z.string(),
  databaseId: z.string(),
  databaseName: z.string(),
  accountId: z.string(),
  trigger: backupTriggerSchema,
  label: z.string().nullable(),
  pinned: z.boolean(),
  force: z.boolean(),
  /** Identifies the cause of the run, such as one slot of the schedule: the same key never makes a second run. */
  key: z.string().nullable(),
  /** The request asks to examine the database, whether that is due or not. */
  examine: z.boolean(),
  /** The caller has found that the database was written to since its latest backup. */
  written: z.boolean().default(false),
  /** Settled by the preflight. */
  options: backupOptionsSchema.nullable(),
  createdAt: at,
  startedAt: at.nullable(),
  finishedAt: at.nullable(),
  fileSize: count.nullable(),
  /** The tables and parts of a dump that the preflight has found; null before the preflight. */
  tables: z.array(z.string()).nullable(),
  parts: z.array(z.enum(SECTIONS)).nullable(),
  hazards: z.array(hazardSchema),
  /** The parts of the database that the export leaves out. */
  notExported: z.array(partNotExportedSchema).default([]),
  /** The statements of these as an age file, when the backup is encrypted: `notExported` holds none of them then. */
  sealed: z.instanceof(Uint8Array).nullable().default(null),
  /** What loading the dump will require; null before the preflight. */
  loading: manifestSchema.shape.loading,
  /**
   * That the database itself was asked; what was found stands in its record. `at` is null when that did not come to its
   * end, `rows` are per table, when they are those of the very state that was dumped.
   */
  examined: z
    .object({
      at: z.string().nullable(),
      tables: count,
      rowsRead: count,
    })
    .nullable(),
  exportsStarted: count,
  /** Failures since the last progress, and the latest of them. */
  attempt: count,
  lastFailure: failureSchema.nullable(),
  /** The last progress of the run: another phase, an answered poll, a volume. Earlier releases did not store it. */
  progressedAt: at.default(0),
  wakeAt: at,
  phase: phaseSchema,
});

export type Run = z.infer<typeof runSchema>;
export type Phase = Run["phase"];
export type PhaseOf<At extends Phase["at"]> = Extract<Phase, { at: At }>;
export type Copy = z.infer<typeof copySchema>;

export function newRun(
  id: string,
  database: { id: string; name: string; accountId: string },
  request: BackupRequest,
  now: number,
): Run {
  return {
    version: STATE_VERSION,
    revision: 0,
    id,
    databaseId: database.id,
    databaseName: database.name,
    accountId: database.accountId,
    ...request,
    written: request.written ?? false,
    options: null,
    createdAt: now,
    startedAt: null,
    finishedAt: null,
    fileSize: null,
    tables: null,
    parts: null,
    hazards: [],
    notExported: [],
    sealed: null,
    loading: null,
    examined: null,
    exportsStarted: 0,
    attempt: 0,
    lastFailure: null,
    progressedAt: now,
    wakeAt: now,
    phase: { at: "queued" },
  };
}

export function isOver(run: Run): boolean {
  return OVER.includes(run.phase.at);
}

const OVER: readonly Phase["at"][] = ["complete", "unchanged", "failed", "cancelled"];

/**
 * A run that should have failed at its deadline and did not, because nothing has worked on it since; no alarm lives that
 * long. The next run need not wait for it.
 */
export function isDead(run: Run, now: number): boolean {
  const { startedAt, progressedAt } = run;
  if (isOver(run) || startedAt === null) return false;
  return now - startedAt > RUN_DEADLINE_MS + DEAD_AFTER_MS && now - progressedAt > DEAD_AFTER_MS;
}

const DEAD_AFTER_MS = 15 * 60_000;

/** What the run does with its dump. Throws before the preflight, which settles it. */
export function optionsOf(run: Run): BackupOptions {
  if (run.options === null) throw new Error("the run's options are not settled yet");
  return run.options;
}

/** What the run has copied, or may have copied. */
export function copyOf(run: Run): Copy | null {
  return "copy" in run.phase ? run.phase.copy : null;
}

/** The objects that this run may have written so far, including the present volume. */
export function volumesWritten(run: Run, copy: Copy): string[] {
  const numbers = Array.from({ length: copy.volumes.length + 1 }, (_, index) => index + 1);
  const { compression, recipients } = optionsOf(run);
  return numbers.map((number) => volumeName(run.databaseName, number, compression, recipients.length > 0));
}

export function bytesCopied(copy: Copy): number {
  return copy.volumes.reduce((sum, volume) => sum + volume.dumpBytes, 0);
}

export function backupIdOfRun(run: Run, copy: Copy): string {
  return backupIdOf(run.databaseName, copy.stamp);
}
