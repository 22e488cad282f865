import { z } from "zod";
import type { Manifest } from "../../core/backup/manifest.ts";
import { MAINTENANCE_KINDS, type MaintenanceKind } from "../../core/bucket/maintenance.ts";
import {
  type BucketFindings,
  foundDatabaseSchema,
  newlyFound,
  withBackup,
} from "../../core/catalog/restored-database.ts";
import type { PolicyCopy } from "../../core/policy/policy-copy.ts";
import { upgradeTables } from "../object/table-versions.ts";
import { type MaintenanceJob, maintenanceJobSchema } from "./maintenance-job.ts";
import { SearchStore } from "./search-store.ts";

const waitingSchema = z.array(z.object({ kind: z.enum(MAINTENANCE_KINDS), askedAt: z.number() }));

const entrySchema = z.object({
  key: z.string(),
  bytes: z.number(),
  folder: z.string().nullable(),
  record: z.string().nullable(),
  pinned: z.number(),
});

/** Something on the present page that has to be read: a manifest, a claim or a database's record. */
export interface ToRead {
  readonly key: string;
  readonly bytes: number;
  /** The folder of a manifest or a claim; null for a record. */
  readonly folder: string | null;
  /** The database of a record. */
  readonly record: string | null;
  readonly pinned: boolean;
}

/**
 * The steps by which its tables come to be: see `upgradeTables`. `folder` holds those of the page under way that hold
 * a manifest, `to_read` what has still to be read of that page. `SearchStore` has the other ones.
 */
export const MAINTENANCE_TABLES = [
  `CREATE TABLE folder (folder TEXT PRIMARY KEY);
   CREATE TABLE to_read (
     key TEXT PRIMARY KEY, bytes INTEGER NOT NULL, folder TEXT, record TEXT, pinned INTEGER NOT NULL);
   CREATE TABLE found (id TEXT PRIMARY KEY, told INTEGER NOT NULL DEFAULT 0, entry TEXT NOT NULL);
   CREATE TABLE orphan (
     folder TEXT PRIMARY KEY, run_id TEXT NOT NULL, database_id TEXT NOT NULL, objects INTEGER NOT NULL,
     bytes INTEGER NOT NULL, since TEXT NOT NULL, first_listed_at INTEGER NOT NULL, outcome TEXT);
   CREATE TABLE candidate (
     folder TEXT PRIMARY KEY, run_id TEXT, database_id TEXT, objects INTEGER NOT NULL,
     bytes INTEGER NOT NULL, since TEXT NOT NULL)`,
  `ALTER TABLE candidate ADD COLUMN finished INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE candidate ADD COLUMN recorded INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE candidate ADD COLUMN database_name TEXT;
   ALTER TABLE candidate ADD COLUMN state TEXT;
   CREATE TABLE damaged (
     folder TEXT PRIMARY KEY, database_id TEXT, database_name TEXT, objects INTEGER NOT NULL, bytes INTEGER NOT NULL,
     since TEXT, found_at INTEGER NOT NULL, known_by TEXT NOT NULL)`,
];

/** Long work on the bucket, and what it has found so far, in its object's SQLite. */
export class MaintenanceStore {
  readonly search: SearchStore;
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    upgradeTables(this.#sql, "maintenance", MAINTENANCE_TABLES);
    this.search = new SearchStore(storage);
  }

  /** The active or latest job. A job that another release has stored and this one cannot read counts as none. */
  get job(): MaintenanceJob | null {
    return this.#job("job");
  }

  get latestRebuild(): MaintenanceJob | null {
    return this.#job("rebuild");
  }

  /** The latest work on orphans. */
  get latestSearch(): MaintenanceJob | null {
    return this.#job("search");
  }

  #job(name: string): MaintenanceJob | null {
    const stored = this.#storage.kv.get(name);
    const read = maintenanceJobSchema.safeParse(stored);
    if (!read.success && stored !== undefined) console.error({ event: "stored-bucket-work-unreadable" });
    return read.data ?? null;
  }

  save(job: MaintenanceJob): void {
    this.together(() => {
      this.#storage.kv.put("job", job);
      this.#storage.kv.put(job.kind === "rebuild" ? "rebuild" : "search", job);
    });
  }

  together(changes: () => void): void {
    this.#storage.transactionSync(changes);
  }

  /** The jobs after the active one, in order. */
  get waiting(): { kind: MaintenanceKind; askedAt: number }[] {
    return waitingSchema.safeParse(this.#storage.kv.get("waiting")).data ?? [];
  }

  set waiting(waiting: { kind: MaintenanceKind; askedAt: number }[]) {
    this.#storage.kv.put("waiting", waiting);
  }

  /** Forgets what an earlier walk had found so far. */
  beginWalk(): void {
    for (const table of ["folder", "to_read", "found", "candidate"]) this.#sql.exec(`DELETE FROM ${table}`);
  }

  /** Forgets the page that was dealt with. */
  endPage(): void {
    for (const table of ["folder", "to_read"]) this.#sql.exec(`DELETE FROM ${table}`);
  }

  addBackupFolder(folder: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO folder (folder) VALUES (?)", folder);
  }

  holdsBackup(folder: string): boolean {
    return this.#sql.exec("SELECT 1 FROM folder WHERE folder = ?", folder).toArray().length > 0;
  }

  addToRead({ key, bytes, folder, record, pinned }: ToRead): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO to_read (key, bytes, folder, record, pinned) VALUES (?, ?, ?, ?, ?)",
      key,
      bytes,
      folder,
      record,
      pinned ? 1 : 0,
    );
  }

  toRead(limit: number): ToRead[] {
    return this.#sql
      .exec("SELECT key, bytes, folder, record, pinned FROM to_read ORDER BY key LIMIT ?", limit)
      .toArray()
      .map((row) => {
        const entry = entrySchema.parse(row);
        return { ...entry, pinned: entry.pinned !== 0 };
      });
  }

  wasRead(keys: readonly string[]): void {
    for (const key of keys) this.#sql.exec("DELETE FROM to_read WHERE key = ?", key);
  }

  foundBackup(manifest: Manifest): void {
    this.#saveFound(withBackup(this.#found(manifest.database.id), manifest));
  }

  foundRecord(record: PolicyCopy): void {
    this.#saveFound({ ...this.#found(record.databaseId), record });
  }

  #found(id: string): BucketFindings {
    const row = this.#sql.exec<{ entry: string }>("SELECT entry FROM found WHERE id = ?", id).toArray()[0];
    return row === undefined ? newlyFound(id) : foundDatabaseSchema.parse(JSON.parse(row.entry));
  }

  #saveFound(found: BucketFindings): void {
    this.#sql.exec("INSERT OR REPLACE INTO found (id, entry) VALUES (?, ?)", found.id, JSON.stringify(found));
  }

  /** Databases that have not been reported yet. */
  untold(limit: number): BucketFindings[] {
    return this.#sql
      .exec<{ entry: string }>("SELECT entry FROM found WHERE told = 0 ORDER BY id LIMIT ?", limit)
      .toArray()
      .map(({ entry }) => foundDatabaseSchema.parse(JSON.parse(entry)));
  }

  told(ids: readonly string[]): void {
    for (const id of ids) this.#sql.exec("UPDATE found SET told = 1 WHERE id = ?", id);
  }
}
