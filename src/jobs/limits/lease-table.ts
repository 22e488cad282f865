import type { LeaseKind } from "../../core/account/coordinator.ts";
import { upgradeTables } from "../object/table-versions.ts";

/** The default numbers of databases that may export and copy at the same time. A copy holds up to 20 MiB. */
const SLOTS: Record<LeaseKind, number> = { export: 6, copy: 2 };

/** Leases expire, so that a dead run cannot hold one: each poll and each volume renews its lease. */
const LEASE_MS: Record<LeaseKind, number> = { export: 2 * 60_000, copy: 10 * 60_000 };

/** A database for which a lease was reserved asks for it within this time, or has not started at all. */
const RESERVED_MS = 2 * 60_000;

/** A queued database asks again every 15 s. One that has not asked for this long is no longer waiting. */
const WAITING_MS = 60_000;

/** The part of an object's SQLite that this needs. */
export interface Sql {
  exec<Row extends Record<string, string | number>>(
    query: string,
    ...bindings: (string | number)[]
  ): { one(): Row; toArray(): Row[] };
}

/** The steps that create its tables: see `upgradeTables`. */
export const LEASE_TABLES = [
  `CREATE TABLE lease (
     kind TEXT NOT NULL, database_id TEXT NOT NULL, ends_at INTEGER NOT NULL, PRIMARY KEY (kind, database_id));
   CREATE TABLE waiting (
     kind TEXT NOT NULL, database_id TEXT NOT NULL, since INTEGER NOT NULL, asked_at INTEGER NOT NULL,
     PRIMARY KEY (kind, database_id));
   CREATE TABLE lease_limit (kind TEXT PRIMARY KEY, slots INTEGER NOT NULL)`,
];

/** The databases that hold a lease or wait for one, in SQLite, first come first served. */
export class LeaseTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
    upgradeTables(sql, "leases", LEASE_TABLES);
  }

  acquire(kind: LeaseKind, databaseId: string, now: number): boolean {
    this.#expire(now);
    const ahead = this.#count(
      `SELECT count(*) AS n FROM waiting WHERE kind = ?1 AND database_id <> ?2
       AND since < coalesce((SELECT since FROM waiting WHERE kind = ?1 AND database_id = ?2), ?3)`,
      kind,
      databaseId,
      now,
    );
    if (!this.#holds(kind, databaseId) && ahead >= this.#empty(kind)) {
      this.#sql.exec(
        `INSERT INTO waiting (kind, database_id, since, asked_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT DO UPDATE SET asked_at = ?3`,
        kind,
        databaseId,
        now,
      );
      return false;
    }
    this.#give(kind, databaseId, now + LEASE_MS[kind]);
    return true;
  }

  /** Releases the lease; returns the databases whose turn it is now. */
  release(kind: LeaseKind, databaseId: string, now: number): string[] {
    this.#sql.exec("DELETE FROM lease WHERE kind = ? AND database_id = ?", kind, databaseId);
    this.#sql.exec("DELETE FROM waiting WHERE kind = ? AND database_id = ?", kind, databaseId);
    this.#expire(now);
    const next = this.#sql.exec<{ database_id: string }>(
      "SELECT database_id FROM waiting WHERE kind = ? ORDER BY since, database_id LIMIT ?",
      kind,
      this.#empty(kind),
    );
    return next.toArray().map((row) => row.database_id);
  }

  /**
   * Reserves a lease for a database that has not asked for one, unless others wait: the database must start within two
   * minutes. False if it already holds a lease, or none is free.
   */
  reserve(kind: LeaseKind, databaseId: string, now: number): boolean {
    if (this.free(kind, now) === 0 || this.#holds(kind, databaseId)) return false;
    this.#give(kind, databaseId, now + RESERVED_MS);
    return true;
  }

  /** The leases that nobody holds or waits for. */
  free(kind: LeaseKind, now: number): number {
    this.#expire(now);
    const waiting = this.#count("SELECT count(*) AS n FROM waiting WHERE kind = ?", kind);
    return Math.max(0, this.#empty(kind) - waiting);
  }

  /** When to look for a free lease again, if nobody releases one; now, while some are free. */
  lookAgainAt(kind: LeaseKind, now: number): number {
    if (this.free(kind, now) > 0) return now;
    const ends = this.#sql.exec<{ at: number }>(
      `SELECT ends_at AS at FROM lease WHERE kind = ?1
       UNION ALL SELECT asked_at + ?2 FROM waiting WHERE kind = ?1 ORDER BY at LIMIT 1`,
      kind,
      WAITING_MS,
    );
    return ends.toArray()[0]?.at ?? now + WAITING_MS;
  }

  /** How many databases hold a lease or have one reserved. */
  held(kind: LeaseKind, now: number): number {
    this.#expire(now);
    return this.#heldCount(kind);
  }

  /**
   * Sets how many leases there are. The number is stored, because leases may be requested before it is set again. Held
   * leases stay, even if there are fewer now.
   */
  limit(kind: LeaseKind, slots: number): void {
    if (this.#limit(kind) === slots) return;
    this.#sql.exec("INSERT OR REPLACE INTO lease_limit (kind, slots) VALUES (?, ?)", kind, slots);
  }

  #limit(kind: LeaseKind): number {
    const sql = "SELECT slots FROM lease_limit WHERE kind = ?";
    return this.#sql.exec<{ slots: number }>(sql, kind).toArray()[0]?.slots ?? SLOTS[kind];
  }

  #give(kind: LeaseKind, databaseId: string, endsAt: number): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO lease (kind, database_id, ends_at) VALUES (?, ?, ?)",
      kind,
      databaseId,
      endsAt,
    );
    this.#sql.exec("DELETE FROM waiting WHERE kind = ? AND database_id = ?", kind, databaseId);
  }

  #holds(kind: LeaseKind, databaseId: string): boolean {
    const sql = "SELECT count(*) AS n FROM lease WHERE kind = ? AND database_id = ?";
    return this.#count(sql, kind, databaseId) > 0;
  }

  #heldCount(kind: LeaseKind): number {
    return this.#count("SELECT count(*) AS n FROM lease WHERE kind = ?", kind);
  }

  #empty(kind: LeaseKind): number {
    return Math.max(0, this.#limit(kind) - this.#heldCount(kind));
  }

  #expire(now: number): void {
    this.#sql.exec("DELETE FROM lease WHERE ends_at <= ?", now);
    this.#sql.exec("DELETE FROM waiting WHERE asked_at <= ?", now - WAITING_MS);
  }

  #count(sql: string, ...bindings: (string | number)[]): number {
    return this.#sql.exec<{ n: number }>(sql, ...bindings).one().n;
  }
}
