import type { DeletionAnswer, DeletionView } from "../backup/deletion.ts";
import type { DamagedPlace, ManifestRepairView, RepairAnswer } from "../backup/manifest-repair.ts";
import type { Retention, RetentionPlan } from "../backup/retention.ts";
import type { FolderState } from "../bucket/damaged-backup.ts";
import type { Result } from "../failure.ts";
import type { BackupRequest } from "./request.ts";
import type { RunView } from "./run-view.ts";

export type StartAnswer =
  | { readonly kind: "started"; readonly run: RunView }
  /** A database has one run at a time: this one is in progress. */
  | { readonly kind: "under-way"; readonly run: RunView };

export type CancelAnswer =
  | { readonly kind: "cancelled"; readonly run: RunView }
  /** The run had already ended. */
  | { readonly kind: "over"; readonly run: RunView }
  /** Its manifest is being written, which completes the backup. */
  | { readonly kind: "too-late"; readonly run: RunView }
  /** Neither the current nor the latest run. */
  | { readonly kind: "unknown" };

/** The object that owns a database's runs. */
export interface DatabaseRuns {
  /** Returns the earlier run if the request's `key` was already served. */
  start(database: { id: string; name: string }, request: BackupRequest): Promise<Result<StartAnswer>>;
  /** Ends the run immediately. Its step stops within seconds, and then what it has written is deleted. */
  cancel(runId: string): Promise<Result<CancelAnswer>>;
  /** Makes sure that the active run is worked on, and returns it; null if there is none. May be called at any time. */
  revive(): Promise<RunView | null>;
  /** The run if it is the current or the latest one. */
  run(id: string): Promise<RunView | null>;
  latest(): Promise<RunView | null>;
  /**
   * Deletes these files of a folder that a run of this database claimed and left without a manifest: soon, and again
   * until that has worked. `in-use` while an active run works on it; `committed` if it was a backup once.
   */
  collectFolder(
    folder: string,
    runId: string,
    names: readonly string[],
  ): Promise<Result<"collected" | "in-use" | "committed">>;
  /** What this object knows about a folder of its database without a manifest. */
  folderState(folder: string): Promise<Result<FolderState>>;
  /** Deletes a backup of this database, between two steps of its runs. */
  deleteBackup(databaseId: string, folder: string, evenLast: boolean): Promise<Result<DeletionAnswer>>;
  /** Deletes what is left of a backup that has lost its manifest; fails if there is a manifest. */
  deleteRemains(databaseId: string, folder: string): Promise<Result<DeletionAnswer>>;
  /**
   * Rebuilds a lost manifest, between the runs of the database: reads each volume back, and writes the manifest
   * create-only. May be called twice. A failure says what is missing, and has changed nothing.
   */
  repairManifest(place: DamagedPlace): Promise<Result<RepairAnswer>>;
  /** The latest repair, if it was of this backup. */
  manifestRepair(backupId: string): Promise<ManifestRepairView | null>;
  /** The backup's deletion, as long as it is not complete. */
  deletionOf(backupId: string): Promise<DeletionView | null>;
  /** Creates or removes the PINNED object; `not-there` without a manifest. A pin takes back what retention has decided. */
  setPinned(databaseId: string, folder: string, pinned: boolean): Promise<Result<"done" | "not-there">>;
  /**
   * What retention would now keep and remove in the bucket by these rules. The name is null if only the database's UUID
   * is known. Deletes nothing.
   */
  previewRetention(
    database: { id: string; name: string | null },
    retention: Retention,
  ): Promise<Result<RetentionPlan>>;
  /**
   * The database's policy was set, by somebody who knows what was found before: bookmarks are compared again, and
   * copying is tried as the policy says.
   */
  policySet(database: { id: string; name: string }): Promise<Result<void>>;
}
