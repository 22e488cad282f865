import { z } from "zod";
import type { Result } from "../core/failure.ts";
import type { DatabaseRow, TroubledDatabase, TroubledDatabases } from "../core/database-row.ts";
import type { DatabaseIndex } from "../core/ports.ts";
import { attempt } from "./catalog.ts";

/** So many databases are told in one statement: some 50 KB of JSON. */
const NAMES_A_STATEMENT = 500;

/** Nothing waits for a listing to be told, and that of a large account takes a while. */
const LISTING_PATIENCE_MS = 25_000;

const noticesSchema = z.array(z.object({ kind: z.string(), detail: z.string() }));

const rowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    first_seen_at: z.string(),
    fresh_at: z.string().nullable(),
    last_run_state: z.string().nullable(),
    last_run_error: z.string().nullable(),
    notices: z.string(),
  })
  .transform((row): TroubledDatabase => ({
    id: row.id,
    name: row.name,
    firstSeenAt: row.first_seen_at,
    freshAt: row.fresh_at,
    lastRunState: row.last_run_state,
    lastRunError: row.last_run_error,
    notices: noticesSchema.parse(JSON.parse(row.notices)),
  }));

const summarySchema = z.object({
  listed_at: z.string().nullable(),
  known_since: z.string().nullable(),
  problems: z.number(),
});

// Word for word as in the indexes of migrations/0003_databases.sql, or those are not used.
const DUE = "coalesce(fresh_at, first_seen_at)";
const IN_TROUBLE = "listed = 1 AND (last_run_state = 'failed' OR notices <> '[]')";

const SHOWN = "id, name, first_seen_at, fresh_at, last_run_state, last_run_error, notices";

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
           ON CONFLICT (id) DO UPDATE SET name = ?2, fresh_at = ?3, last_backup_id = ?4, last_run_state = ?5,
             last_run_error = ?6, notices = ?7, written_at = ?8
           WHERE ?8 >= coalesce(written_at, '')`,
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

  saveListing(databases: readonly { id: string; name: string }[], at: string): Promise<Result<void>> {
    const listed = this.#db.prepare(
      `INSERT INTO databases (id, name, first_seen_at, seen_at, listed)
       SELECT value ->> 0, value ->> 1, ?2, ?2, 1 FROM json_each(?1) WHERE true
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, listed = 1
       WHERE excluded.seen_at >= coalesce(seen_at, '')`,
    );
    const gone = this.#db.prepare("UPDATE databases SET listed = 0 WHERE listed = 1 AND seen_at < ?");
    const statements: D1PreparedStatement[] = [];
    for (let from = 0; from < databases.length; from += NAMES_A_STATEMENT) {
      const some = databases.slice(from, from + NAMES_A_STATEMENT).map(({ id, name }) => [id, name]);
      statements.push(listed.bind(JSON.stringify(some), at));
    }
    return attempt(async () => {
      // A batch is one transaction: nobody ever sees half a listing, in which the other half would count as gone.
      await this.#db.batch([...statements, gone.bind(at)]);
    }, LISTING_PATIENCE_MS);
  }

  troubled(freshSince: string, limit: number): Promise<Result<TroubledDatabases>> {
    const overdue = `listed = 1 AND ${DUE} < ?1`;
    const others = `${IN_TROUBLE} AND ${DUE} >= ?1`;
    return attempt(async () => {
      const [summary, ...lists] = await this.#db.batch([
        this.#db
          .prepare(
            `SELECT
               (SELECT seen_at FROM databases INDEXED BY databases_by_freshness WHERE listed = 1 LIMIT 1) AS listed_at,
               CASE WHEN EXISTS (SELECT 1 FROM databases WHERE listed = 1) THEN NULL
                 ELSE (SELECT min(first_seen_at) FROM databases) END AS known_since,
               (SELECT coalesce(sum(1 + json_array_length(notices)), 0) FROM databases WHERE ${overdue})
                 + (SELECT coalesce(sum((last_run_state IS 'failed') + json_array_length(notices)), 0)
                    FROM databases INDEXED BY databases_in_trouble WHERE ${others}) AS problems`,
          )
          .bind(freshSince),
        this.#db
          .prepare(`SELECT ${SHOWN} FROM databases WHERE ${overdue} ORDER BY ${DUE} LIMIT ?2`)
          .bind(freshSince, limit),
        this.#db
          .prepare(
            `SELECT ${SHOWN} FROM databases INDEXED BY databases_in_trouble WHERE ${others} ORDER BY name LIMIT ?2`,
          )
          .bind(freshSince, limit),
      ]);
      const { listed_at, known_since, problems } = summarySchema.parse(summary?.results[0]);
      const databases = lists.flatMap(({ results }) => z.array(rowSchema).parse(results)).slice(0, limit);
      return { listedAt: listed_at, knownSince: known_since, problems, databases };
    });
  }
}
