import type { BackupRow } from "../backup/backup-row.ts";
import type { Result } from "../failure.ts";
import type { Cursor, Page } from "../page.ts";
import type { RunState, RunView } from "../run/run-view.ts";

/** The catalogue's tables. */
export const CATALOG_TABLES = ["runs", "backups", "databases"] as const;

/** An index of the bucket and the runs. If it is down, no run fails because of that. */
export interface Catalog {
  /** `revision` orders writes of one run: an older one never overwrites a newer. */
  saveRun(run: RunView, revision: number): Promise<Result<void>>;
  saveBackup(backup: BackupRow): Promise<Result<void>>;
  /** Newest first. `database` is a name or a UUID, also of a deleted database. */
  runs(
    filter: { database: string | null; state: RunState | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<RunView>>>;
  run(id: string): Promise<Result<RunView | null>>;
  backup(id: string): Promise<Result<BackupRow | null>>;
  /** The folder of some backup outside of this prefix; null if there is none. Reads two rows. */
  folderOutside(prefix: string): Promise<Result<string | null>>;
  /** Succeeds if the row is already gone. */
  removeBackup(id: string): Promise<Result<void>>;
  /** Forgets some of the runs that were created before then; false when there are more of them. */
  forgetRuns(before: string): Promise<Result<boolean>>;
  /** Newest first. */
  backups(
    filter: { database: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<BackupRow>>>;
}
