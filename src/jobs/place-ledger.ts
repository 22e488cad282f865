import type { PlaceKind } from "../core/ports.ts";

/** How many databases may export, and how many may copy, at the same time. A copy holds up to 20 MiB. */
export const PLACES: Record<PlaceKind, number> = { export: 6, copy: 2 };

/** Places end by themselves, so that a dead run cannot hold one: each poll and each volume takes its place again. */
const LEASE_MS: Record<PlaceKind, number> = { export: 2 * 60_000, copy: 10 * 60_000 };

/** A database in the queue asks again every 15 s; one that has not for this long is no longer waiting. */
const WAITING_MS = 60_000;

/** Who holds a place and who waits for one, in SQLite, first come first served. */
export class PlaceLedger {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS place (
      kind TEXT NOT NULL, database_id TEXT NOT NULL, ends_at INTEGER NOT NULL, PRIMARY KEY (kind, database_id))`);
    sql.exec(`CREATE TABLE IF NOT EXISTS waiting (
      kind TEXT NOT NULL, database_id TEXT NOT NULL, since INTEGER NOT NULL, asked_at INTEGER NOT NULL,
      PRIMARY KEY (kind, database_id))`);
  }

  take(kind: PlaceKind, databaseId: string, now: number): boolean {
    this.#expire(now);
    const endsAt = now + LEASE_MS[kind];
    const held =
      this.#count("SELECT count(*) AS n FROM place WHERE kind = ? AND database_id = ?", kind, databaseId) > 0;
    const ahead = this.#count(
      `SELECT count(*) AS n FROM waiting WHERE kind = ?1 AND database_id <> ?2
       AND since < coalesce((SELECT since FROM waiting WHERE kind = ?1 AND database_id = ?2), ?3)`,
      kind,
      databaseId,
      now,
    );
    if (!held && ahead >= this.#free(kind)) {
      this.#sql.exec(
        `INSERT INTO waiting (kind, database_id, since, asked_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT DO UPDATE SET asked_at = ?3`,
        kind,
        databaseId,
        now,
      );
      return false;
    }
    this.#sql.exec(
      "INSERT OR REPLACE INTO place (kind, database_id, ends_at) VALUES (?, ?, ?)",
      kind,
      databaseId,
      endsAt,
    );
    this.#sql.exec("DELETE FROM waiting WHERE kind = ? AND database_id = ?", kind, databaseId);
    return true;
  }

  /** Gives the place back; returns the databases whose turn it is now. */
  release(kind: PlaceKind, databaseId: string, now: number): string[] {
    this.#sql.exec("DELETE FROM place WHERE kind = ? AND database_id = ?", kind, databaseId);
    this.#sql.exec("DELETE FROM waiting WHERE kind = ? AND database_id = ?", kind, databaseId);
    this.#expire(now);
    const next = this.#sql.exec<{ database_id: string }>(
      "SELECT database_id FROM waiting WHERE kind = ? ORDER BY since, database_id LIMIT ?",
      kind,
      this.#free(kind),
    );
    return next.toArray().map((row) => row.database_id);
  }

  #free(kind: PlaceKind): number {
    return Math.max(0, PLACES[kind] - this.#count("SELECT count(*) AS n FROM place WHERE kind = ?", kind));
  }

  #expire(now: number): void {
    this.#sql.exec("DELETE FROM place WHERE ends_at <= ?", now);
    this.#sql.exec("DELETE FROM waiting WHERE asked_at <= ?", now - WAITING_MS);
  }

  #count(sql: string, ...bindings: (string | number)[]): number {
    return this.#sql.exec<{ n: number }>(sql, ...bindings).one().n;
  }
}
