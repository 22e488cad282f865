import type { BackupRow } from "../backup/backup-row.ts";
import type { Result } from "../failure.ts";
import type { Cursor, Page } from "../page.ts";
import type { RunState, RunView } from "../run/run-view.ts";

/** The catalogue's tables. */
export const CATALOG_TABLES = ["runs", "backups", "databases"] as const;

/** An index over the bucket and the runs. It may be down: that never fails a run. */
export interface Catalog {
  /** `revision` orders writes of one run: an older one never overwrites a newer. */
  saveRun(run: RunView, revision: number): Promise<Result<void>>;
  saveBackup(backup: BackupRow): Promise<Result<void>>;
  /** Newest first. `database` is a name or a UUID: of databases that are gone, too. */
  runs(
    filter: { database: string | null; state: RunState | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<RunView>>>;
  run(id: string): Promise<Result<RunView | null>>;
  backup(id: string): Promise<Result<BackupRow | null>>;
  /** The folder of some backup that does not lie below this prefix; null when there is none. Reads two rows. */
  folderOutside(prefix: string): Promise<Result<string | null>>;
  /** One that is gone already is fine. */
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
