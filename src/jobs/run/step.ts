import type { BackupRow } from "../../core/backup/backup-row.ts";
import type { CommittedBackup } from "../../core/backup/committed-backup.ts";
import type { Claim } from "../../core/bucket/claim.ts";
import { folderOf } from "../../core/bucket/object-keys.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { type Copy, type Run, volumesWritten } from "../../core/run/run.ts";
import type { DatabaseRecord, RecordChange } from "../database/database-record.ts";
import type { CopyObserver } from "./copy-volume.ts";

/** The context of a step. */
export interface StepContext {
  readonly platform: Platform;
  /**
   * Saves the run in the middle of a step, before an effect that must not be forgotten.
   * Throws `Superseded` if storage has another revision than the one that this step knows.
   */
  save(run: Run): Promise<Run>;
  readonly observer: Omit<CopyObserver, "uploadBegun">;
  /** The previous backup: manifests form a chain. */
  readonly previous: CommittedBackup | null;
  /** What is known about the database, apart from this run. */
  readonly record: DatabaseRecord;
}

/** The outcome of a step: the run to save, and what follows from it. */
export interface StepOutcome {
  readonly run: Run;
  /** What the step has found out for the database's record. */
  readonly record?: RecordChange;
  readonly commit?: Commit;
}

/** A backup that is in the bucket, including its manifest. */
export interface Commit {
  readonly backup: CommittedBackup;
  /** The manifest's text. */
  readonly manifest: string;
  readonly row: BackupRow;
}

/** The first object that the run writes into its folder. */
export function claimOf({ id: runId, databaseId }: Run): Claim {
  return { runId, databaseId };
}

export function folderOfRun(run: Run, copy: Copy, platform: Platform): string {
  return folderOf(platform.settings.keyPrefix, run.databaseName, copy.stamp);
}

/**
 * Deletes the volumes that the run has or may have written, including an unfinished upload. May run twice. The objects
 * in a folder that the run has not claimed belong to another run, and stay.
 */
export async function removeVolumes(run: Run, copy: Copy, platform: Platform): Promise<Result<void>> {
  if (!copy.claimed) return ok(undefined);
  if (copy.upload !== null) {
    const aborted = await platform.vault.abortUpload(copy.upload.key, copy.upload.uploadId);
    if (!aborted.ok) return aborted;
  }
  const folder = folderOfRun(run, copy, platform);
  return platform.vault.remove(volumesWritten(run, copy).map((name) => folder + name));
}

export function notUnderstood(): Failure {
  return {
    code: "api-answer-invalid",
    detail: "D1's answer has an unknown form.",
    hint: "Look for a newer release of d1-nightly.",
    retryable: false,
  };
}
