import { z } from "zod";
import { type Failure, FAILURE_CODES } from "../failure.ts";
import { iso } from "../time.ts";

const moment = z.number().int();

/** A manifest that is made anew, as stored between two alarms. Times are milliseconds since the epoch. */
export const manifestRepairSchema = z.object({
  backupId: z.string(),
  folder: z.string(),
  databaseId: z.string(),
  state: z.enum(["running", "complete", "failed"]),
  startedAt: moment,
  finishedAt: moment.nullable(),
  /** So many of the volumes were read, and are as they were written. */
  read: z.number().int(),
  volumes: z.number().int(),
  /** The manifest stands, and those who have told of its loss have still to learn of it. */
  written: z.boolean(),
  /** Whether the manifest is the lost one, byte for byte; null as long as it is not written. */
  proven: z.boolean().nullable(),
  /** The manifest's fields of which nothing is known any more. */
  unknown: z.array(z.string()),
  attempt: z.number().int(),
  wakeAt: moment,
  error: z.object({ code: z.enum(FAILURE_CODES), detail: z.string(), hint: z.string() }).nullable(),
});
export type ManifestRepair = z.infer<typeof manifestRepairSchema>;

/** Where what is left of a backup lies. */
export interface DamagedPlace {
  readonly backupId: string;
  readonly folder: string;
  readonly databaseId: string;
}

/** As the API shows it. */
export interface ManifestRepairView {
  readonly backupId: string;
  readonly state: "running" | "complete" | "failed";
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly progress: { readonly volumesDone: number; readonly volumesTotal: number };
  /** Whether the manifest is the lost one, byte for byte; null as long as it is not written. */
  readonly proven: boolean | null;
  /** The manifest's fields of which nothing is known any more: they are null in it. */
  readonly unknown: readonly string[];
  /** Why nothing was written. */
  readonly error: { readonly code: string; readonly detail: string; readonly hint: string } | null;
}

export type RepairAnswer =
  | { readonly kind: "begun" | "under-way"; readonly repair: ManifestRepairView }
  /** Another backup of the same database is repaired just now. */
  | { readonly kind: "busy"; readonly repair: ManifestRepairView };

export function newRepair(
  { backupId, folder, databaseId }: DamagedPlace,
  volumes: number,
  now: number,
): ManifestRepair {
  return {
    backupId,
    folder,
    databaseId,
    state: "running",
    startedAt: now,
    finishedAt: null,
    read: 0,
    volumes,
    written: false,
    proven: null,
    unknown: [],
    attempt: 0,
    wakeAt: now,
    error: null,
  };
}

export function viewRepair(repair: ManifestRepair): ManifestRepairView {
  const { backupId, state, startedAt, finishedAt, read, volumes, proven, unknown, error } = repair;
  return {
    backupId,
    state,
    startedAt: iso(startedAt),
    finishedAt: finishedAt === null ? null : iso(finishedAt),
    progress: { volumesDone: read, volumesTotal: volumes },
    proven,
    unknown,
    error,
  };
}

/** The same step again later, or the end of it: what is written stays, and nothing else was changed. */
export function afterRepairFailure(
  repair: ManifestRepair,
  { code, detail, hint, retryable }: Failure,
  now: number,
  retry: { readonly limit: number; readonly delayMs: number },
): ManifestRepair {
  const attempt = repair.attempt + 1;
  if (retryable && attempt < retry.limit) return { ...repair, attempt, wakeAt: now + retry.delayMs };
  return { ...repair, state: "failed", finishedAt: now, error: { code, detail, hint } };
}
