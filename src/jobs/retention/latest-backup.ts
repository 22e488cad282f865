import type { CommittedBackup } from "../../core/backup/committed-backup.ts";
import { readManifest } from "../../core/backup/manifest.ts";
import { fingerprintOf } from "../../core/backup/since-last.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import { MANIFEST } from "../../core/bucket/object-keys.ts";
import { failed, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { iso } from "../../core/time.ts";
import type { RecordStore } from "../database/database-record.ts";
import type { StoredBackup } from "./backup-store.ts";

/** The latest backup, and the latest moment for which it is confirmed; null if there is none. */
export interface Latest {
  readonly last: CommittedBackup | null;
  readonly freshAt: string | null;
}

/** Which backup is the latest one, of those that are left. */
export async function succession(
  backups: readonly StoredBackup[],
  records: RecordStore,
  { vault, codecs, now }: Platform,
): Promise<Result<Latest>> {
  const newestFirst = backups.toSorted((a, b) => b.startedAt - a.startedAt);
  // One that a wrong clock has dated later than now must not make the database look fresh.
  const newest = newestFirst.find(({ startedAt }) => startedAt <= now()) ?? newestFirst[0];
  if (newest === undefined) return ok({ last: null, freshAt: null });
  const text = await vault.readText(newest.folder + MANIFEST);
  if (!text.ok) return text;
  const reading = text.value === null ? null : readManifest(text.value);
  if (text.value === null || reading?.kind !== "manifest") {
    return failed({
      code: "backup-gone",
      detail: `Backup ${newest.id} existed a moment ago and is now gone.`,
      hint: "Check whether another tool deletes from the bucket.",
      retryable: true,
    });
  }
  const last = {
    backupId: newest.id,
    manifestSha256: sha256Of(text.value, codecs),
    bookmark: reading.manifest.atBookmark,
    dumpFingerprint: fingerprintOf(reading.manifest.volumes, codecs),
  };
  const unchanged = records.known?.unchanged ?? null;
  const standsUntil = unchanged?.backupId === newest.id ? unchanged.checkedAt : newest.startedAt;
  return ok({ last, freshAt: iso(Math.min(now(), Math.max(standsUntil, newest.startedAt))) });
}
