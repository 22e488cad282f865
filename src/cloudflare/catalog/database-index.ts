import { z } from "zod";
import type { DatabaseIndex, DatabaseListItem, ListingEntry } from "../../core/catalog/database-index.ts";
import type { DatabaseRow, TroubledDatabases } from "../../core/catalog/database-row.ts";
import type { Result } from "../../core/failure.ts";
import type { Cursor, Page } from "../../core/page.ts";
import type { RunView } from "../../core/run/run-view.ts";
import { attempt, page } from "./statements.ts";

/** How many databases one statement writes: about 50 KB of JSON. Fewer runs, because they are longer. */
const NAMES_A_STATEMENT = 500;
const RUNS_A_STATEMENT = 100;

/** Nothing waits for a listing to be written, which takes a while for a large account. */
const LISTING_PATIENCE_MS = 25_000;

const noticesSchema = z.array(z.object({ kind: z.string(), detail: z.string() }));

const rowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    first_seen_at: z.string(),
    fresh_at: z.string().nullable(),
    freshness_ms: z.number().nullable(),
    watched: z.number(),
    gone_at: z.string().nullable(),
    last_backup_id: z.string().nullable(),
    last_run_state: z.string().nullable(),
    last_run_error: z.string().nullable(),
    notices: z.string(),
  })
  .transform((row): DatabaseListItem => ({
    id: row.id,
    name: row.name,
    firstSeenAt: row.first_seen_at,
    freshAt: row.fresh_at,
    freshnessMs: row.freshness_ms,
    watched: row.watched !== 0,
    goneAt: row.gone_at,
    lastBackupId: row.last_backup_id,
    lastRunState: row.last_run_state,
    lastRunError: row.last_run_error,
    notices: noticesSchema.parse(JSON.parse(row.notices)),
  }));

const summarySchema = z.object({
  listed_at: z.string().nullable(),
  known_since: z.string().nullable(),
  problems: z.number(),
});

// Word for word as in the indexes of migrations/0004_care.sql, or those are not used.
const DEADLINE = "unixepoch(coalesce(fresh_at, first_seen_at)) * 1000 + coalesce(freshness_ms, 93600000)";
const WATCHED = "listed = 1 AND watched = 1";
const IN_TROUBLE = `${WATCHED} AND (last_run_state = 'failed' OR notices <> '[]')`;

const SHOWN =
  "id, name, first_seen_at, fresh_at, freshness_ms, watched, gone_at, last_backup_id, last_run_state, last_run_error, notices";

/** The later of a column and a value, either of which may be null. */
const later = (column: string, value: string): string =>
  `max(coalesce(${column}, ${value}), coalesce(${value}, ${column}))`;

/**
 * A column, or NULL when it lies more than a day ahead of `value`: it was written while a clock was wrong, and must not
 * outlast that.
 */
const past = (column: string, value: string): string =>
  `iif(${column} > strftime('%Y-%m-%dT%H:%M:%fZ', ${value}, '+1 day'), NULL, ${column})`;

const CHECKED = "excluded.unchanged_at";

/** Of a check by the account: it is not older than what is known. */
const NEWER = `${CHECKED} >= max(coalesce(${past("unchanged_at", CHECKED)}, ''), coalesce(${past("written_at", CHECKED)}, ''))`;

/** A freshness further in the future than this comes from a wrong clock. */
const AHEAD_MS = 60 * 60_000;

/** The table of databases in the catalogue. Every write may be repeated. */
export class D1DatabaseIndex implements DatabaseIndex {
  readonly #db: D1Database;

  constructor(db: D1Database) {
    this.#db = db;
  }

  saveDatabase(row: DatabaseRow): Promise<Result<void>> {
    return attempt(async () => {
      await this.#db
        .prepare(
          `INSERT INTO databases (id, name, first_seen_at, fresh_at, last_backup_id, last_run_state, last_run_error,
             notices, written_at)
           VALUES (?1, ?2, ?8, ?3, ?4, ?5, ?6, ?7, ?8)
           ON CONFLICT (id) DO UPDATE SET name = ?2, fresh_at = ${later(past("fresh_at", "?8"), "?3")}, last_backup_id = ?4,
             last_run_state = iif(${past("unchanged_at", "?8")} > ?8, last_run_state, ?5),
             last_run_error = iif(${past("unchanged_at", "?8")} > ?8, last_run_error, ?6), notices = ?7, written_at = ?8
           WHERE ?8 >= coalesce(${past("written_at", "?8")}, '')`,
        )
        .bind(
          row.id,
          row.name,
          row.freshAt,
          row.lastBackupId,
          row.lastRunState,
          row.lastRunError,
          JSON.stringify(row.notices),
          row.writtenAt,
        )
        .run();
    });
  }

  saveListing(databases: readonly ListingEntry[], at: string): Promise<Result<void>> {
    const listed = this.#db.prepare(
      `INSERT INTO databases (id, name, freshness_ms, watched, first_seen_at, seen_at, listed)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2, ?2, 1 FROM json_each(?1) WHERE true
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, freshness_ms = excluded.freshness_ms,
         watched = excluded.watched, seen_at = excluded.seen_at, listed = 1, gone_at = NULL
       WHERE excluded.seen_at >= max(coalesce(${past("seen_at", "excluded.seen_at")}, ''),
         coalesce(${past("gone_at", "excluded.seen_at")}, ''))`,
    );
    // A database that is only known from a run may be newer than the listing, so it does not count as gone.
    const gone = this.#db.prepare(
      `UPDATE databases SET listed = 0, gone_at = ?1
       WHERE gone_at IS NULL AND coalesce(${past("seen_at", "?1")}, ${past("first_seen_at", "?1")}, '') < ?1`,
    );
    const statements: D1PreparedStatement[] = [];
    for (let from = 0; from < databases.length; from += NAMES_A_STATEMENT) {
      const some = databases
        .slice(from, from + NAMES_A_STATEMENT)
        .map(({ id, name, freshnessMs, watched }) => [id, name, freshnessMs, watched ? 1 : 0]);
      statements.push(listed.bind(JSON.stringify(some), at));
    }
    return attempt(async () => {
      // A batch is one transaction: nobody ever sees half a listing, in which the other half would count as gone.
      await this.#db.batch([...statements, gone.bind(at)]);
    }, LISTING_PATIENCE_MS);
  }

  saveUnchanged(runs: readonly RunView[]): Promise<Result<void>> {
    if (runs.length === 0) return Promise.resolve({ ok: true, value: undefined });
    // Such a run has already ended when it is first written, so its row never changes.
    const saved = this.#db.prepare(
      `INSERT INTO runs (id, revision, database_id, database_name, state, created_at, view)
       SELECT value ->> '$.id', 0, value ->> '$.databaseId', value ->> '$.databaseName', value ->> '$.state',
         value ->> '$.createdAt', value FROM json_each(?1) WHERE true
       ON CONFLICT (id) DO NOTHING`,
    );
    const fresh = this.#db.prepare(
      `INSERT INTO databases (id, name, first_seen_at, fresh_at, last_backup_id, last_run_state, unchanged_at)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 2, value ->> 3, 'unchanged', value ->> 2
         FROM json_each(?1) WHERE true
       ON CONFLICT (id) DO UPDATE SET
         fresh_at = iif(${NEWER} OR last_backup_id IS excluded.last_backup_id,
           ${later(past("fresh_at", CHECKED), "excluded.fresh_at")}, fresh_at),
         last_backup_id = iif(${NEWER}, coalesce(excluded.last_backup_id, last_backup_id), last_backup_id),
         last_run_state = iif(${NEWER}, 'unchanged', last_run_state),
         last_run_error = iif(${NEWER}, NULL, last_run_error),
         unchanged_at = ${later(past("unchanged_at", CHECKED), CHECKED)}`,
    );
    const statements: D1PreparedStatement[] = [];
    for (let from = 0; from < runs.length; from += RUNS_A_STATEMENT) {
      const some = runs.slice(from, from + RUNS_A_STATEMENT);
      const found = some.map(({ databaseId, databaseName, createdAt, finishedAt, backupId }) => [
        databaseId,
        databaseName,
        finishedAt ?? createdAt,
        backupId,
      ]);
      statements.push(saved.bind(JSON.stringify(some)), fresh.bind(JSON.stringify(found)));
    }
    return attempt(async () => {
      await this.#db.batch(statements);
    }, LISTING_PATIENCE_MS);
  }

  setFreshness(
    databaseId: string,
    left: { freshAt: string | null; lastBackupId: string | null },
    writtenAt: string,
  ): Promise<Result<void>> {
    return attempt(async () => {
      await this.#db
        .prepare(
          `UPDATE databases SET fresh_at = ?2, last_backup_id = ?3, written_at = ?4
           WHERE id = ?1 AND ?4 >= coalesce(${past("written_at", "?4")}, '')`,
        )
        .bind(databaseId, left.freshAt, left.lastBackupId, writtenAt)
        .run();
    });
  }

  troubled(now: string, limit: number): Promise<Result<TroubledDatabases>> {
    const at = Date.parse(now);
    const overdue = `${WATCHED} AND ${DEADLINE} < ?1`;
    const others = `${IN_TROUBLE} AND ${DEADLINE} >= ?1`;
    const aheadOf = new Date(at + AHEAD_MS).toISOString();
    return attempt(async () => {
      const [summary, ...lists] = await this.#db.batch([
        this.#db
          .prepare(
            `SELECT
               (SELECT seen_at FROM databases INDEXED BY databases_listed WHERE listed = 1 LIMIT 1) AS listed_at,
               CASE WHEN EXISTS (SELECT 1 FROM databases INDEXED BY databases_listed WHERE listed = 1) THEN NULL
                 ELSE (SELECT min(first_seen_at) FROM databases) END AS known_since,
               (SELECT coalesce(sum(1 + json_array_length(notices)), 0)
                  FROM databases INDEXED BY databases_by_deadline WHERE ${overdue})
                 + (SELECT coalesce(sum((last_run_state IS 'failed') + json_array_length(notices)), 0)
                    FROM databases INDEXED BY databases_troubled WHERE ${others})
                 + (SELECT count(*) FROM databases INDEXED BY databases_fresh_at
                    WHERE ${WATCHED} AND fresh_at > ?2) AS problems`,
          )
          .bind(at, aheadOf),
        this.#db
          .prepare(
            `SELECT ${SHOWN} FROM databases INDEXED BY databases_fresh_at
             WHERE ${WATCHED} AND fresh_at > ?1 AND NOT (${IN_TROUBLE}) LIMIT ?2`,
          )
          .bind(aheadOf, limit),
        this.#db
          .prepare(
            `SELECT ${SHOWN} FROM databases INDEXED BY databases_by_deadline WHERE ${overdue}
             ORDER BY ${DEADLINE} LIMIT ?2`,
          )
          .bind(at, limit),
        this.#db
          .prepare(
            `SELECT ${SHOWN} FROM databases INDEXED BY databases_troubled WHERE ${others} ORDER BY name LIMIT ?2`,
          )
          .bind(at, limit),
      ]);
      const { listed_at, known_since, problems } = summarySchema.parse(summary?.results[0]);
      const databases = lists.flatMap(({ results }) => z.array(rowSchema).parse(results)).slice(0, limit);
      return { listedAt: listed_at, knownSince: known_since, problems, databases };
    });
  }

  list(
    filter: { gone: boolean | null; name: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<DatabaseListItem>>> {
    const terms: string[] = [];
    const values: string[] = [];
    if (filter.gone !== null) terms.push(`gone_at IS ${filter.gone ? "NOT NULL" : "NULL"}`);
    if (filter.name !== null) {
      terms.push("name = ?");
      values.push(filter.name);
    }
    if (after !== null) {
      terms.push("(name, id) > (?, ?)");
      values.push(...after);
    }
    const where = terms.length === 0 ? "" : `WHERE ${terms.join(" AND ")}`;
    return attempt(async () => {
      const { results } = await this.#db
        .prepare(`SELECT ${SHOWN} FROM databases ${where} ORDER BY name, id LIMIT ?`)
        .bind(...values, limit + 1)
        .run();
      const rows = z.array(rowSchema).parse(results);
      return page(
        rows,
        limit,
        (row) => [row.name, row.id],
        (row) => row,
      );
    });
  }
}
