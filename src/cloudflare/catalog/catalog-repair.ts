import { z } from "zod";
import type { BackupRow } from "../../core/backup/backup-row.ts";
import type { CatalogRepair, PlacedBackup, RebuiltDatabaseRow } from "../../core/catalog/catalog-repair.ts";
import { CATALOG_TABLES } from "../../core/catalog/catalog.ts";
import type { Result } from "../../core/failure.ts";
import { MIGRATIONS, NOTES, statementsFor } from "./catalog-schema.ts";
import { backupStatement } from "./catalog.ts";
import { attempt } from "./statements.ts";

/** Nothing waits for a rebuild's step. */
const PATIENCE_MS = 25_000;

const nameSchema = z.object({ name: z.string() });
const placeSchema = z
  .object({ id: z.string(), folder: z.string(), database_id: z.string(), database_name: z.string() })
  .transform(({ id, folder, database_id: databaseId, database_name: databaseName }): PlacedBackup => ({
    id,
    folder,
    databaseId,
    databaseName,
  }));

/** What a rebuild asks of the catalogue in D1. Every write may be repeated. */
export class D1CatalogRepair implements CatalogRepair {
  readonly #db: D1Database;

  constructor(db: D1Database) {
    this.#db = db;
  }

  restoreTables(): Promise<Result<string[]>> {
    return attempt(async () => {
      const { results } = await this.#db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").run();
      const there = z.array(nameSchema).parse(results);
      const absent = CATALOG_TABLES.filter((table) => !there.some(({ name }) => name === table));
      if (absent.length === 0) return [];
      // Never mix tables of an unknown version with new ones: recreate all of them.
      const noted = there.some(({ name }) => name === "d1_migrations") && (await this.#allNoted());
      const missing = noted ? absent : CATALOG_TABLES;
      const note = this.#db.prepare("INSERT OR IGNORE INTO d1_migrations (name) VALUES (?)");
      // One transaction: a table is never there without its later columns and its indexes.
      await this.#db.batch([
        ...missing.map((table) => this.#db.prepare(`DROP TABLE IF EXISTS ${table}`)),
        ...statementsFor(missing).map((statement) => this.#db.prepare(statement)),
        this.#db.prepare(NOTES),
        ...MIGRATIONS.map(({ name }) => note.bind(name)),
      ]);
      return [...missing];
    }, PATIENCE_MS);
  }

  async #allNoted(): Promise<boolean> {
    const { results } = await this.#db.prepare("SELECT name FROM d1_migrations").run();
    const noted = new Set(
      z
        .array(nameSchema)
        .parse(results)
        .map(({ name }) => name),
    );
    return MIGRATIONS.every(({ name }) => noted.has(name));
  }

  saveBackups(rows: readonly BackupRow[]): Promise<Result<void>> {
    return attempt(async () => {
      if (rows.length > 0) await this.#db.batch(rows.map((row) => backupStatement(this.#db, row)));
    }, PATIENCE_MS);
  }

  backupsByFolder(from: string, before: string | null, limit: number): Promise<Result<PlacedBackup[]>> {
    const upTo = before === null ? "" : "AND folder < ?3";
    return attempt(async () => {
      const { results } = await this.#db
        .prepare(`SELECT id, folder, database_id, database_name FROM backups
           WHERE folder >= ?1 ${upTo} ORDER BY folder, id LIMIT ?2`)
        .bind(from, limit, ...(before === null ? [] : [before]))
        .run();
      return z.array(placeSchema).parse(results);
    }, PATIENCE_MS);
  }

  saveDatabases(rows: readonly RebuiltDatabaseRow[], since: string): Promise<Result<void>> {
    const told = rows.map(({ id, name, firstSeenAt, freshAt, lastBackupId, notices }) => [
      id,
      name,
      firstSeenAt,
      freshAt,
      lastBackupId,
      JSON.stringify(notices),
    ]);
    return attempt(async () => {
      // Of the same backup the catalogue may know a later check than the bucket's copy does.
      await this.#db
        .prepare(
          `INSERT INTO databases (id, name, first_seen_at, fresh_at, last_backup_id, notices)
           SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
             FROM json_each(?1) WHERE true
           ON CONFLICT (id) DO UPDATE SET
             fresh_at = iif(last_backup_id IS excluded.last_backup_id,
               max(coalesce(fresh_at, ''), excluded.fresh_at), excluded.fresh_at),
             last_backup_id = excluded.last_backup_id, notices = excluded.notices
           WHERE ${BEFORE}`,
        )
        .bind(JSON.stringify(told), since)
        .run();
    }, PATIENCE_MS);
  }

  forgetFreshness(since: string): Promise<Result<void>> {
    return attempt(async () => {
      await this.#db
        .prepare(
          `UPDATE databases SET fresh_at = NULL, last_backup_id = NULL
           WHERE (fresh_at IS NOT NULL OR last_backup_id IS NOT NULL) AND ${BEFORE.replace("?2", "?1")}
             AND NOT EXISTS (SELECT 1 FROM backups WHERE database_id = databases.id)`,
        )
        .bind(since)
        .run();
    }, PATIENCE_MS);
  }
}

/** Rows that nobody has written since the rebuild began. */
const BEFORE = "max(coalesce(written_at, ''), coalesce(unchanged_at, '')) < ?2";
