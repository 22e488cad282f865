import type { DeletionAnswer, DeletionView } from "../backup/deletion.ts";
import type { DamagedPlace, ManifestRepairView, RepairAnswer } from "../backup/manifest-repair.ts";
import type { Retention, RetentionPlan } from "../backup/retention.ts";
import type { FolderState } from "../bucket/damaged-backup.ts";
import type { Result } from "../failure.ts";
import type { BackupRequest } from "./request.ts";
import type { RunView } from "./run-view.ts";

export type StartAnswer =
  | { readonly kind: "started"; readonly run: RunView }
  /** One run at a time: this one is under way. */
  | { readonly kind: "under-way"; readonly run: RunView };

export type CancelAnswer =
  | { readonly kind: "cancelled"; readonly run: RunView }
  /** It came to its end before. */
  | { readonly kind: "over"; readonly run: RunView }
  /** Its manifest is being written: with that it is a backup. */
  | { readonly kind: "too-late"; readonly run: RunView }
  /** Neither the current nor the latest run. */
  | { readonly kind: "unknown" };

/** The object that owns a database's runs. */
export interface DatabaseRuns {
  /** A request whose `key` was served before answers with that run. */
  start(database: { id: string; name: string }, request: BackupRequest): Promise<Result<StartAnswer>>;
  /** Ends the run at once. What it does stops within seconds, and what it has written is deleted after that. */
  cancel(runId: string): Promise<Result<CancelAnswer>>;
  /** Sees to it that a run under way is worked on, and answers with it; null when there is none. May be called at any time. */
  revive(): Promise<RunView | null>;
  /** The run if it is the current or the latest one. */
  run(id: string): Promise<RunView | null>;
  latest(): Promise<RunView | null>;
  /**
   * Deletes these files of a folder that a run of this database claimed and left without a manifest: soon, and again
   * until it has worked. `in-use` while a run that is under way works on it; `committed` when it was a backup once.
   */
  collectFolder(
    folder: string,
    runId: string,
    names: readonly string[],
  ): Promise<Result<"collected" | "in-use" | "committed">>;
  /** What this object knows of a folder of its database that holds no manifest. */
  folderState(folder: string): Promise<Result<FolderState>>;
  /** Deletes a backup of this database, between two steps of its runs. */
  deleteBackup(databaseId: string, folder: string, evenLast: boolean): Promise<Result<DeletionAnswer>>;
  /** Deletes what is left of a backup that has lost its manifest; fails where a manifest stands. */
  deleteRemains(databaseId: string, folder: string): Promise<Result<DeletionAnswer>>;
  /**
   * Makes a lost manifest anew, between the runs of the database: reads each volume back, and writes the manifest,
   * create-only. May be asked twice; a failure says what is missing, and nothing was changed then.
   */
  repairManifest(place: DamagedPlace): Promise<Result<RepairAnswer>>;
  /** The latest repair, if it is that of this backup. */
  manifestRepair(backupId: string): Promise<ManifestRepairView | null>;
  /** The backup's deletion, while it is to be deleted and is there still. */
  deletionOf(backupId: string): Promise<DeletionView | null>;
  /** Creates or removes the PINNED object; `not-there` without a manifest. A pin takes back what retention has decided. */
  setPinned(databaseId: string, folder: string, pinned: boolean): Promise<Result<"done" | "not-there">>;
  /**
   * What retention would keep and remove by these rules, of what lies in the bucket now. The name is null for a
   * database that is known by its UUID alone. Deletes nothing.
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
