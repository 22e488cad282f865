import type { BackupRow } from "../backup/backup-row.ts";
import type { Result } from "../failure.ts";
import type { Notice } from "./database-row.ts";

/** What the bucket shows about a database. */
export interface RebuiltDatabaseRow {
  readonly id: string;
  readonly name: string;
  readonly firstSeenAt: string;
  readonly freshAt: string | null;
  readonly lastBackupId: string | null;
  readonly notices: readonly Notice[];
}

/** The part of a backup's row that is compared with the bucket. */
export interface PlacedBackup {
  readonly id: string;
  readonly folder: string;
  readonly databaseId: string;
  readonly databaseName: string;
}

/** The additional functions of the catalogue for a rebuild. */
export interface CatalogRepair {
  /** Creates missing tables as the migrations do, and returns their names. */
  restoreTables(): Promise<Result<string[]>>;
  /** Writes all the rows or none; overwrites rows with the same ids. */
  saveBackups(rows: readonly BackupRow[]): Promise<Result<void>>;
  /** In the order of their folders: those from `from` on, up to `before` (null: to the last one), `limit` of them. */
  backupsByFolder(from: string, before: string | null, limit: number): Promise<Result<PlacedBackup[]>>;
  /** Writes all the rows or none. Rows written at `since` or later are newer, and stay. */
  saveDatabases(rows: readonly RebuiltDatabaseRow[], since: string): Promise<Result<void>>;
  /** Clears the freshness of databases without a backup, except in rows written at `since` or later. */
  forgetFreshness(since: string): Promise<Result<void>>;
}
