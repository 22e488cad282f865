import { z } from "zod";
import type { Claim } from "../../core/bucket/claim.ts";
import {
  type DamagedBackup,
  FOLDER_STATES,
  type FolderState,
  type Witness,
  WITNESSES,
} from "../../core/bucket/damaged-backup.ts";
import type { BucketFolder } from "../../core/bucket/folders.ts";
import type { OrphanView } from "../../core/bucket/maintenance.ts";
import type { PlacedBackup } from "../../core/catalog/catalog-repair.ts";
import { iso } from "../../core/time.ts";
import { idOfFolder } from "../retention/backup-store.ts";

const orphanSchema = z.object({
  folder: z.string(),
  run_id: z.string(),
  database_id: z.string(),
  objects: z.number(),
  bytes: z.number(),
  since: z.string(),
  first_listed_at: z.number(),
  outcome: z.enum(["collected", "in-use", "changed"]).nullable(),
});

const damagedSchema = z.object({
  folder: z.string(),
  database_id: z.string().nullable(),
  database_name: z.string().nullable(),
  objects: z.number(),
  bytes: z.number(),
  since: z.string().nullable(),
  found_at: z.number(),
  known_by: z.string(),
});

const witnessesSchema = z.array(z.enum(WITNESSES));

const candidateSchema = z.object({
  folder: z.string(),
  database_id: z.string(),
});

const suspectSchema = z.object({
  folder: z.string(),
  finished: z.number(),
  recorded: z.number(),
  state: z.enum(FOLDER_STATES).nullable(),
});

export interface Orphan extends OrphanView {
  /** When a dry run listed it first, in milliseconds since the epoch. */
  readonly firstListedAt: number;
}

const ORPHANED = "run_id IS NOT NULL AND finished = 0 AND recorded = 0 AND state IS NOT 'committed'";
const DAMAGED = "(finished = 1 OR recorded = 1 OR state = 'committed') AND state IS NOT 'in-use'";

/**
 * What a look through the bucket finds without a manifest: candidates as long as it goes on, orphans and damaged
 * backups when it is complete. In the tables of `MAINTENANCE_TABLES`.
 */
export class SearchStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
  }

  addCandidate({ folder, objects, bytes, newestAt, finished }: BucketFolder): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO candidate (folder, objects, bytes, since, finished) VALUES (?, ?, ?, ?, ?)",
      folder,
      objects,
      bytes,
      iso(newestAt),
      finished ? 1 : 0,
    );
  }

  /** What a candidate's RUN.json says: null when it is none of ours, and the folder neither. */
  checkCandidate(folder: string, claim: Claim | null): void {
    if (claim === null) {
      this.#sql.exec("DELETE FROM candidate WHERE folder = ?", folder);
      return;
    }
    const sql = "UPDATE candidate SET run_id = ?, database_id = ? WHERE folder = ?";
    this.#sql.exec(sql, claim.runId, claim.databaseId, folder);
  }

  /** The catalogue knows a backup in this folder, which holds no manifest; `left` is null when it holds nothing. */
  addRecorded({ folder, databaseId, databaseName }: PlacedBackup, left: BucketFolder | null): void {
    this.#sql.exec(
      `INSERT INTO candidate (folder, database_id, database_name, objects, bytes, since, finished, recorded)
       VALUES (?, ?, ?, ?, ?, ?, ?, 1)
       ON CONFLICT (folder) DO UPDATE SET recorded = 1, database_id = excluded.database_id,
         database_name = excluded.database_name`,
      folder,
      databaseId,
      databaseName,
      left?.objects ?? 0,
      left?.bytes ?? 0,
      left === null ? "" : iso(left.newestAt),
      left?.finished === true ? 1 : 0,
    );
  }

  /** The next candidate whose database's object has not been asked yet. */
  nextUnasked(): { folder: string; databaseId: string } | null {
    const sql =
      "SELECT folder, database_id FROM candidate WHERE state IS NULL AND database_id IS NOT NULL LIMIT 1";
    const [row] = this.#sql.exec(sql).toArray();
    if (row === undefined) return null;
    const { folder, database_id: databaseId } = candidateSchema.parse(row);
    return { folder, databaseId };
  }

  /** `recorded`: the catalogue still knows a backup there. */
  answered(folder: string, state: FolderState, recorded: boolean): void {
    const sql = "UPDATE candidate SET state = ?, recorded = min(recorded, ?) WHERE folder = ?";
    this.#sql.exec(sql, state, recorded ? 1 : 0, folder);
  }

  get searchedAt(): number | null {
    return z.number().safeParse(this.#storage.kv.get("searched-at")).data ?? null;
  }

  /**
   * The walk is complete: its lists take the place of those before, which they go on with where they agree. Answers
   * the damaged backups that were not on the list before.
   */
  listFindings(startedAt: number): string[] {
    this.#sql.exec(
      `INSERT INTO orphan (folder, run_id, database_id, objects, bytes, since, first_listed_at)
       SELECT folder, run_id, database_id, objects, bytes, since, ? FROM candidate WHERE ${ORPHANED}
       ON CONFLICT (folder) DO UPDATE SET first_listed_at = iif(run_id = excluded.run_id, first_listed_at, excluded.first_listed_at),
         run_id = excluded.run_id, database_id = excluded.database_id, objects = excluded.objects,
         bytes = excluded.bytes, since = excluded.since, outcome = NULL`,
      startedAt,
    );
    this.#sql.exec(`DELETE FROM orphan WHERE folder NOT IN (SELECT folder FROM candidate WHERE ${ORPHANED})`);
    const found = this.#listDamaged(startedAt);
    this.#sql.exec("DELETE FROM candidate");
    this.#storage.kv.put("searched-at", startedAt);
    return found;
  }

  #listDamaged(startedAt: number): string[] {
    const found: string[] = [];
    const suspects = this.#sql
      .exec(`SELECT folder, finished, recorded, state FROM candidate WHERE ${DAMAGED}`)
      .toArray()
      .map((row) => suspectSchema.parse(row));
    for (const { folder, finished, recorded, state } of suspects) {
      const knownBy: Witness[] = [
        ...(finished === 1 ? (["files"] as const) : []),
        ...(recorded === 1 ? (["catalogue"] as const) : []),
        ...(state === "committed" ? (["object"] as const) : []),
      ];
      const [known] = this.#sql.exec("SELECT 1 FROM damaged WHERE folder = ?", folder).toArray();
      if (known === undefined) found.push(idOfFolder(folder));
      this.#sql.exec(
        `INSERT INTO damaged (folder, database_id, database_name, objects, bytes, since, found_at, known_by)
         SELECT folder, database_id, database_name, objects, bytes, nullif(since, ''), ?, ? FROM candidate WHERE folder = ?
         ON CONFLICT (folder) DO UPDATE SET database_id = excluded.database_id, database_name = excluded.database_name,
           objects = excluded.objects, bytes = excluded.bytes, since = excluded.since, known_by = excluded.known_by`,
        startedAt,
        JSON.stringify(knownBy),
        folder,
      );
    }
    this.#sql.exec(`DELETE FROM damaged WHERE folder NOT IN (SELECT folder FROM candidate WHERE ${DAMAGED})`);
    return found;
  }

  damaged(limit: number): DamagedBackup[] {
    const sql = `SELECT folder, database_id, database_name, objects, bytes, since, found_at, known_by
                 FROM damaged ORDER BY folder LIMIT ?`;
    return this.#sql
      .exec(sql, limit)
      .toArray()
      .map((row) => {
        const { folder, database_id, database_name, found_at, known_by, ...same } = damagedSchema.parse(row);
        return {
          ...same,
          backupId: idOfFolder(folder),
          folder,
          databaseId: database_id,
          databaseName: database_name,
          foundAt: iso(found_at),
          knownBy: witnessesSchema.parse(JSON.parse(known_by)),
        };
      });
  }

  /** Nothing is wrong with this folder any more. */
  forget(folder: string): void {
    for (const table of ["damaged", "candidate"])
      this.#sql.exec(`DELETE FROM ${table} WHERE folder = ?`, folder);
  }

  get damagedCount(): number {
    return this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM damaged").one().count;
  }

  orphans(limit: number): Orphan[] {
    return this.#orphans("ORDER BY folder LIMIT ?", limit);
  }

  orphanTotals(): { count: number; bytes: number } {
    const sql = "SELECT count(*) AS count, coalesce(sum(bytes), 0) AS bytes FROM orphan";
    return this.#sql.exec<{ count: number; bytes: number }>(sql).one();
  }

  /** The next one to collect, of those that were listed first by then. */
  nextOrphan(listedBy: number): Orphan | null {
    const where = "WHERE outcome IS NULL AND first_listed_at <= ? ORDER BY folder LIMIT 1";
    return this.#orphans(where, listedBy)[0] ?? null;
  }

  settleOrphan(folder: string, outcome: OrphanView["outcome"]): void {
    this.#sql.exec("UPDATE orphan SET outcome = ? WHERE folder = ?", outcome, folder);
  }

  #orphans(rest: string, binding: number): Orphan[] {
    const sql = `SELECT folder, run_id, database_id, objects, bytes, since, first_listed_at, outcome FROM orphan ${rest}`;
    return this.#sql
      .exec(sql, binding)
      .toArray()
      .map((row) => {
        const { run_id, database_id, first_listed_at, ...same } = orphanSchema.parse(row);
        return { ...same, runId: run_id, databaseId: database_id, firstListedAt: first_listed_at };
      });
  }
}
