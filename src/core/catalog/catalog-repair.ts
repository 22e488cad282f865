import type { BackupRow } from "../backup/backup-row.ts";
import type { Result } from "../failure.ts";
import type { Notice } from "./database-row.ts";

/** A database as the bucket tells of it. */
export interface RebuiltDatabaseRow {
  readonly id: string;
  readonly name: string;
  readonly firstSeenAt: string;
  readonly freshAt: string | null;
  readonly lastBackupId: string | null;
  readonly notices: readonly Notice[];
}

/** A row of a backup, as far as it is compared with the bucket. */
export interface PlacedBackup {
  readonly id: string;
  readonly folder: string;
  readonly databaseId: string;
  readonly databaseName: string;
}

/** What a rebuild asks of the catalogue beyond the rest. */
export interface CatalogRepair {
  /** Makes the tables that are missing, as the migrations make them; answers their names. */
  restoreTables(): Promise<Result<string[]>>;
  /** Writes the rows, over those of the same ids. All of them or none. */
  saveBackups(rows: readonly BackupRow[]): Promise<Result<void>>;
  /** In the order of their folders: those from `from` on, up to `before` (null: to the last one), `limit` of them. */
  backupsByFolder(from: string, before: string | null, limit: number): Promise<Result<PlacedBackup[]>>;
  /** What was written at `since` or later knows better, and stays. All of them or none. */
  saveDatabases(rows: readonly RebuiltDatabaseRow[], since: string): Promise<Result<void>>;
  /** Databases of which no backup is left are fresh no more; but for what was written at `since` or later. */
  forgetFreshness(since: string): Promise<Result<void>>;
}
