import { type BackupRequest, requestSchema } from "../../core/run/request.ts";
import { upgradeTables } from "../object/table-versions.ts";

/** A database whose turn has come. */
export interface QueueEntry {
  readonly id: string;
  readonly name: string;
  readonly request: BackupRequest;
  readonly attempt: number;
}

/** The steps by which its table comes to be: see `upgradeTables`. */
export const DUE_TABLES = [
  `CREATE TABLE due (
     serial INTEGER PRIMARY KEY, database_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, request TEXT NOT NULL,
     compared INTEGER NOT NULL, first INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL, attempt INTEGER NOT NULL);
   CREATE INDEX due_next ON due (compared, first DESC, serial)`,
];

/**
 * Databases that are to be backed up and have not been begun: first their bookmarks are compared, then those that were
 * written to wait here for a slot, so that thousands of objects need not ask for one. In SQLite, first come first
 * served.
 */
export class DueQueue {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    upgradeTables(sql, "due-queue", DUE_TABLES);
  }

  /**
   * A database that waits already keeps its position; what is asked for later takes the place of what was, but a slot
   * never that of what somebody has asked for.
   */
  add(database: { id: string; name: string }, request: BackupRequest, compared: boolean, now: number): void {
    const waiting = this.#sql
      .exec<{ request: string }>("SELECT request FROM due WHERE database_id = ?", database.id)
      .toArray()[0];
    if (waiting !== undefined && request.trigger === "scheduled") {
      // A manual request serves the slot as well, and is not part of the schedule.
      if (requestSchema.parse(JSON.parse(waiting.request)).trigger !== "scheduled") return;
    }
    this.#sql.exec(
      `INSERT INTO due (database_id, name, request, compared, not_before, attempt) VALUES (?1, ?2, ?3, ?4, ?5, 0)
       ON CONFLICT (database_id) DO UPDATE SET name = ?2, request = ?3, compared = ?4`,
      database.id,
      database.name,
      textOf(request),
      compared ? 1 : 0,
      now,
    );
  }

  toCompare(now: number, limit: number): QueueEntry[] {
    return this.#read(0, now, limit);
  }

  toStart(now: number, limit: number): QueueEntry[] {
    return this.#read(1, now, limit);
  }

  /**
   * It waits for a slot now: before the others when it is to be `first`. `written` when that is known, so that its
   * object need not ask again.
   */
  compared({ id, request }: QueueEntry, { written, first }: { written: boolean; first: boolean }): void {
    this.#sql.exec(
      `UPDATE due SET compared = 1, attempt = 0, first = ?4, request = ?3
       WHERE database_id = ?1 AND request = ?2`,
      id,
      textOf(request),
      textOf({ ...request, written }),
      first ? 1 : 0,
    );
  }

  later({ id, attempt }: QueueEntry, notBefore: number, counts: boolean): void {
    const next = counts ? attempt + 1 : attempt;
    this.#sql.exec("UPDATE due SET not_before = ?, attempt = ? WHERE database_id = ?", notBefore, next, id);
  }

  /** Done with; another request that has come meanwhile stays. */
  done({ id, request }: QueueEntry): void {
    this.#sql.exec("DELETE FROM due WHERE database_id = ? AND request = ?", id, textOf(request));
  }

  /** Removes the slots of its paused schedule, but no manual request. */
  dropSlot(id: string): void {
    const sql = "DELETE FROM due WHERE database_id = ? AND request ->> 'trigger' = 'scheduled'";
    this.#sql.exec(sql, id);
  }

  drop(id: string): void {
    this.#sql.exec("DELETE FROM due WHERE database_id = ?", id);
  }

  /** When there is something to compare, or to start, next. */
  nextAt(compared: boolean): number | null {
    const sql = "SELECT min(not_before) AS at FROM due WHERE compared = ?";
    return this.#sql.exec<{ at: number | null }>(sql, compared ? 1 : 0).one().at;
  }

  /** How many wait, in all or of one request for every database. */
  count(key: string | null = null): number {
    const sql = "SELECT count(*) AS n FROM due WHERE ?1 IS NULL OR request ->> 'key' = ?1";
    return this.#sql.exec<{ n: number }>(sql, key).one().n;
  }

  #read(compared: number, now: number, limit: number): QueueEntry[] {
    return this.#sql
      .exec<{ id: string; name: string; request: string; attempt: number }>(
        `SELECT database_id AS id, name, request, attempt FROM due
         WHERE compared = ? AND not_before <= ? ORDER BY first DESC, serial LIMIT ?`,
        compared,
        now,
        limit,
      )
      .toArray()
      .map((row) => ({ ...row, request: requestSchema.parse(JSON.parse(row.request)) }));
  }
}

/** The same request gives the same text, in whatever order its fields come. */
function textOf(request: BackupRequest): string {
  return JSON.stringify(requestSchema.parse(request));
}
