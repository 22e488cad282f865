import { z } from "zod";
import type { Manifest } from "../backup/manifest.ts";
import type { PolicyCopy } from "../policy/policy-copy.ts";
import type { RebuiltDatabaseRow } from "./catalog-repair.ts";
import { noticesOf, UNCHANGED_OFF } from "./database-row.ts";

/** What a walk through the bucket has found about a database so far. */
export const foundDatabaseSchema = z.object({
  id: z.string(),
  /** Null while only its record was found. */
  firstAt: z.string().nullable(),
  latest: z
    .object({
      backupId: z.string(),
      name: z.string(),
      startedAt: z.string(),
      notices: z.array(z.object({ kind: z.string(), detail: z.string() })),
    })
    .nullable(),
  record: z.custom<PolicyCopy>().nullable(),
});
export type BucketFindings = z.infer<typeof foundDatabaseSchema>;

export function newlyFound(id: string): BucketFindings {
  return { id, firstAt: null, latest: null, record: null };
}

/** Adds one of its backups, which may already be counted. */
export function withBackup(found: BucketFindings, manifest: Manifest): BucketFindings {
  const { startedAt, backupId, database, hazards } = manifest;
  const firstAt = found.firstAt === null || startedAt < found.firstAt ? startedAt : found.firstAt;
  const { latest } = found;
  const older =
    latest !== null &&
    (latest.startedAt > startedAt || (latest.startedAt === startedAt && latest.backupId >= backupId));
  if (older) return { ...found, firstAt };
  return {
    ...found,
    firstAt,
    latest: { backupId, name: database.name, startedAt, notices: noticesOf(hazards) },
  };
}

/**
 * Its row; null for one of which there is no backup: a listing tells of those. A check that found nothing written
 * counts for the very backup that it was about, and only while that is the latest: without it, it says nothing.
 */
export function restoredDatabase({ id, firstAt, latest, record }: BucketFindings): RebuiltDatabaseRow | null {
  if (latest === null) return null;
  const unchanged = record?.unchanged ?? null;
  const checkedAt = unchanged !== null && unchanged.backupId === latest.backupId ? unchanged.checkedAt : "";
  const off = record?.unchangedOff ?? null;
  return {
    id,
    name: record?.databaseName ?? latest.name,
    firstSeenAt: firstAt ?? latest.startedAt,
    freshAt: checkedAt > latest.startedAt ? checkedAt : latest.startedAt,
    lastBackupId: latest.backupId,
    notices: [...latest.notices, ...(off === null ? [] : [{ kind: UNCHANGED_OFF, detail: off.detail }])],
  };
}
