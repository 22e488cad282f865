import { z } from "zod";
import { folderSchema } from "../../core/bucket/folders.ts";
import {
  MAINTENANCE_KINDS,
  type MaintenanceKind,
  type MaintenanceView,
  type RebuildView,
} from "../../core/bucket/maintenance.ts";
import type { Failure } from "../../core/failure.ts";
import { iso } from "../../core/time.ts";

/** One piece of long work on the bucket, as stored between two steps. Times are milliseconds since the epoch. */
export const maintenanceJobSchema = z.object({
  id: z.string(),
  kind: z.enum(MAINTENANCE_KINDS),
  step: z.enum([
    /** Makes the catalogue's tables that are missing. */
    "tables",
    /** Reads a page of the bucket's listing. */
    "listing",
    /** Reads what is to be read of the page's folders. */
    "reading",
    /** Compares the catalogue's rows with the page's folders. */
    "comparing",
    /** Asks the databases' objects what they know of the folders without a manifest. */
    "asking",
    /** Tells the catalogue, and the account's object, of the databases. */
    "databases",
    "collecting",
    /** Takes old runs out of the catalogue. */
    "forgetting",
    "done",
  ]),
  askedAt: z.number(),
  startedAt: z.number(),
  finishedAt: z.number().nullable(),
  attempt: z.number().int(),
  wakeAt: z.number(),
  error: z.object({ code: z.string(), detail: z.string(), hint: z.string() }).nullable(),
  /** The walk: where the listing continues, and the folder in which the previous page ended. */
  cursor: z.string().nullable(),
  open: folderSchema.nullable(),
  /** The page was the last one. */
  listed: z.boolean(),
  /** How often the walk was started again because its cursor was no longer valid. */
  restarts: z.number().int(),
  /** The catalogue's rows of folders before this one have been compared; those of this page end before the other. */
  comparedTo: z.string(),
  compareUntil: z.string().nullable(),
  objects: z.number(),
  backups: z.number(),
  databases: z.number(),
  removed: z.number(),
  tables: z.array(z.string()),
  unreadable: z.object({
    count: z.number(),
    items: z.array(z.object({ key: z.string(), problem: z.string() })),
  }),
});
export type MaintenanceJob = z.infer<typeof maintenanceJobSchema>;

/** So many unreadable objects are named. */
const NAMED = 50;

const FIRST_STEP = {
  rebuild: "tables",
  "dry-run": "listing",
  collect: "collecting",
  daily: "listing",
} as const;

export function newJob(kind: MaintenanceKind, askedAt: number, now: number): MaintenanceJob {
  return {
    id: jobId(kind, askedAt),
    kind,
    step: FIRST_STEP[kind],
    askedAt,
    startedAt: now,
    finishedAt: null,
    attempt: 0,
    wakeAt: now,
    error: null,
    ...AT_THE_BEGINNING,
    restarts: 0,
    databases: 0,
    removed: 0,
    tables: [],
  };
}

function jobId(kind: MaintenanceKind, askedAt: number): string {
  return `${kind}-${askedAt.toString(36)}`;
}

const AT_THE_BEGINNING = {
  cursor: null,
  open: null,
  listed: false,
  comparedTo: "",
  compareUntil: null,
  objects: 0,
  backups: 0,
  unreadable: { count: 0, items: [] },
} satisfies Partial<MaintenanceJob>;

/** Starts a walk again whose cursor is no longer valid. What it has found so far is found again, and counts once. */
export function walkAnew(job: MaintenanceJob): MaintenanceJob {
  return { ...job, ...AT_THE_BEGINNING, step: "listing", attempt: 0, restarts: job.restarts + 1 };
}

/** With these found unreadable. */
export function withUnreadable(
  job: MaintenanceJob,
  found: readonly { key: string; problem: string }[],
): MaintenanceJob["unreadable"] {
  const items = [...job.unreadable.items, ...found].slice(0, NAMED);
  return { count: job.unreadable.count + found.length, items };
}

export function ended(job: MaintenanceJob, failure: Failure | null, now: number): MaintenanceJob {
  const error = failure === null ? null : { code: failure.code, detail: failure.detail, hint: failure.hint };
  return { ...job, ...(failure === null ? { step: "done" } : {}), finishedAt: now, error };
}

export function viewJob(job: MaintenanceJob): MaintenanceView {
  const { id, kind, step, objects, backups, error } = job;
  return {
    id,
    kind,
    state: job.finishedAt === null ? "running" : error === null ? "complete" : "failed",
    askedAt: iso(job.askedAt),
    startedAt: iso(job.startedAt),
    finishedAt: job.finishedAt === null ? null : iso(job.finishedAt),
    progress: { step, objects, backups },
    error,
  };
}

export function viewQueued(kind: MaintenanceKind, askedAt: number): MaintenanceView {
  return {
    id: jobId(kind, askedAt),
    kind,
    state: "queued",
    askedAt: iso(askedAt),
    startedAt: null,
    finishedAt: null,
    progress: { step: "queued", objects: 0, backups: 0 },
    error: null,
  };
}

export function viewRebuild(view: MaintenanceView, job: MaintenanceJob | null): RebuildView {
  const { databases = 0, removed = 0, tables = [], unreadable = { count: 0, items: [] } } = job ?? {};
  return { ...view, databases, removed, tables, unreadable };
}
