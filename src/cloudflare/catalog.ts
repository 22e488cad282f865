import { z } from "zod";
import type { Cursor } from "../core/cursor.ts";
import { describeException, failed, ok, type Result } from "../core/failure.ts";
import { hazardSchema } from "../core/manifest.ts";
import type { BackupRow, Catalog, Page } from "../core/ports.ts";
import { RUN_STATES, type RunState, type RunView } from "../core/run-view.ts";

const viewSchema = z.object({
  id: z.string(),
  databaseId: z.string(),
  databaseName: z.string(),
  state: z.enum(RUN_STATES),
  trigger: z.enum(["scheduled", "manual"]),
  label: z.string().nullable(),
  createdAt: z.string(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  progress: z.object({
    step: z.string(),
    bytesDone: z.number().nullable(),
    bytesTotal: z.number().nullable(),
    message: z.string().nullable(),
  }),
  error: z.object({ code: z.string(), detail: z.string(), hint: z.string() }).nullable(),
  backupId: z.string().nullable(),
  hazards: z.array(hazardSchema).default([]),
});

const runRowSchema = z.object({ created_at: z.string(), id: z.string(), view: z.string() });

const backupRowSchema = z
  .object({
    id: z.string(),
    run_id: z.string(),
    database_id: z.string(),
    database_name: z.string(),
    started_at: z.string(),
    finished_at: z.string(),
    trigger: z.string(),
    label: z.string().nullable(),
    pinned: z.number(),
    dump_bytes: z.number(),
    stored_bytes: z.number(),
    volumes: z.number(),
    folder: z.string(),
    manifest_sha256: z.string().nullable(),
    encrypted: z.number(),
    hazards: z.number(),
  })
  .transform((row): BackupRow => ({
    id: row.id,
    runId: row.run_id,
    databaseId: row.database_id,
    databaseName: row.database_name,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    trigger: row.trigger,
    label: row.label,
    pinned: row.pinned !== 0,
    dumpBytes: row.dump_bytes,
    storedBytes: row.stored_bytes,
    volumes: row.volumes,
    folder: row.folder,
    manifestSha256: row.manifest_sha256,
    encrypted: row.encrypted !== 0,
    hazards: row.hazards,
  }));

/** The catalogue in D1. Every write may be repeated. */
export class D1Catalog implements Catalog {
  readonly #db: D1Database;

  constructor(db: D1Database) {
    this.#db = db;
  }

  saveRun(run: RunView, revision: number): Promise<Result<void>> {
    return attempt(async () => {
      await this.#db
        .prepare(
          `INSERT INTO runs (id, revision, database_id, database_name, state, created_at, view)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
           ON CONFLICT (id) DO UPDATE SET revision = ?2, database_name = ?4, state = ?5, view = ?7 WHERE ?2 > revision`,
        )
        .bind(
          run.id,
          revision,
          run.databaseId,
          run.databaseName,
          run.state,
          run.createdAt,
          JSON.stringify(run),
        )
        .run();
    });
  }

  saveBackup(backup: BackupRow): Promise<Result<void>> {
    return attempt(async () => {
      await this.#db
        .prepare(
          `INSERT OR REPLACE INTO backups (id, run_id, database_id, database_name, started_at, finished_at, "trigger",
             label, pinned, dump_bytes, stored_bytes, volumes, folder, manifest_sha256, encrypted, hazards)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)`,
        )
        .bind(
          backup.id,
          backup.runId,
          backup.databaseId,
          backup.databaseName,
          backup.startedAt,
          backup.finishedAt,
          backup.trigger,
          backup.label,
          backup.pinned ? 1 : 0,
          backup.dumpBytes,
          backup.storedBytes,
          backup.volumes,
          backup.folder,
          backup.manifestSha256,
          backup.encrypted ? 1 : 0,
          backup.hazards,
        )
        .run();
    });
  }

  runs(
    filter: { database: string | null; state: RunState | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<RunView>>> {
    return attempt(async () => {
      const [time, id] = after ?? [null, null];
      const { results } = await this.#db
        .prepare(
          `SELECT id, created_at, view FROM runs
           WHERE (?1 IS NULL OR database_id = ?1 OR database_name = ?1) AND (?2 IS NULL OR state = ?2)
             AND (?3 IS NULL OR (created_at, id) < (?3, ?4))
           ORDER BY created_at DESC, id DESC LIMIT ?5`,
        )
        .bind(filter.database, filter.state, time, id, limit + 1)
        .run();
      const rows = z.array(runRowSchema).parse(results);
      return page(
        rows,
        limit,
        (row) => [row.created_at, row.id],
        (row) => readView(row.view),
      );
    });
  }

  run(id: string): Promise<Result<RunView | null>> {
    return attempt(async () => {
      const row = await this.#db
        .prepare("SELECT id, created_at, view FROM runs WHERE id = ?")
        .bind(id)
        .first();
      return row === null ? null : readView(runRowSchema.parse(row).view);
    });
  }

  backup(id: string): Promise<Result<BackupRow | null>> {
    return attempt(async () => {
      const row = await this.#db.prepare("SELECT * FROM backups WHERE id = ?").bind(id).first();
      return row === null ? null : backupRowSchema.parse(row);
    });
  }

  backups(
    filter: { database: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<BackupRow>>> {
    return attempt(async () => {
      const [time, id] = after ?? [null, null];
      const { results } = await this.#db
        .prepare(
          `SELECT * FROM backups
           WHERE (?1 IS NULL OR database_id = ?1 OR database_name = ?1) AND (?2 IS NULL OR (started_at, id) < (?2, ?3))
           ORDER BY started_at DESC, id DESC LIMIT ?4`,
        )
        .bind(filter.database, time, id, limit + 1)
        .run();
      const rows = z.array(backupRowSchema).parse(results);
      return page(
        rows,
        limit,
        (row) => [row.startedAt, row.id],
        (row) => row,
      );
    });
  }
}

function readView(text: string): RunView {
  return viewSchema.parse(JSON.parse(text));
}

/** A page of `limit` of the `limit + 1` rows that were asked for, and the cursor behind its last row. */
function page<Row, Item>(
  rows: Row[],
  limit: number,
  key: (row: Row) => Cursor,
  item: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(item), cursor: rows.length > limit && last !== undefined ? key(last) : null };
}

/** The catalogue is written between two polls of an export, which must not come late. */
const PATIENCE_MS = 5_000;

export async function attempt<T>(operation: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<Result<T>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${patienceMs / 1_000} s`)), patienceMs);
  });
  try {
    return ok(await Promise.race([operation(), late]));
  } catch (error) {
    return failed({
      code: "catalog-unavailable",
      detail: `The catalogue did not answer: ${describeException(error)}`,
      hint: "Backups go on without it. If its tables are missing, run `npm run deploy` (or `wrangler d1 migrations apply CATALOG --remote`).",
      retryable: true,
    });
  } finally {
    clearTimeout(timer);
  }
}
