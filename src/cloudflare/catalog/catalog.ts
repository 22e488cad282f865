import { z } from "zod";
import type { BackupRow } from "../../core/backup/backup-row.ts";
import type { Catalog } from "../../core/catalog/catalog.ts";
import { hazardSchema } from "../../core/dump/hazards.ts";
import type { Result } from "../../core/failure.ts";
import type { Cursor, Page } from "../../core/page.ts";
import { RUN_STATES, type RunState, type RunView } from "../../core/run/run-view.ts";
import { attempt, Conditions, page } from "./statements.ts";

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

/** The column takes no NULL. */
const NOT_KNOWN = -1;

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
    dumpBytes: row.dump_bytes === NOT_KNOWN ? null : row.dump_bytes,
    storedBytes: row.stored_bytes,
    volumes: row.volumes,
    folder: row.folder,
    manifestSha256: row.manifest_sha256,
    encrypted: row.encrypted !== 0,
    hazards: row.hazards,
  }));

/** How many runs are deleted at a time. Nobody waits for it, and each row is in several indexes. */
const RUNS_FORGOTTEN = 2_000;
const FORGETTING_PATIENCE_MS = 25_000;

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
      await backupStatement(this.#db, backup).run();
    });
  }

  folderOutside(prefix: string): Promise<Result<string | null>> {
    return attempt(async () => {
      // The first text behind all that begin with the prefix, whose last character is a slash.
      const behind = `${prefix.slice(0, -1)}0`;
      const folder = await this.#db
        .prepare(
          `SELECT coalesce((SELECT folder FROM backups WHERE folder < ?1 ORDER BY folder LIMIT 1),
             (SELECT folder FROM backups WHERE folder >= ?2 ORDER BY folder LIMIT 1)) AS folder`,
        )
        .bind(prefix, behind)
        .first("folder");
      return z.string().nullable().parse(folder);
    });
  }

  removeBackup(id: string): Promise<Result<void>> {
    return attempt(async () => {
      await this.#db.prepare("DELETE FROM backups WHERE id = ?").bind(id).run();
    });
  }

  forgetRuns(before: string): Promise<Result<boolean>> {
    return attempt(async () => {
      const { meta } = await this.#db
        .prepare(
          "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE created_at < ? ORDER BY created_at LIMIT ?)",
        )
        .bind(before, RUNS_FORGOTTEN)
        .run();
      return meta.changes < RUNS_FORGOTTEN;
    }, FORGETTING_PATIENCE_MS);
  }

  runs(
    filter: { database: string | null; state: RunState | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<RunView>>> {
    return attempt(async () => {
      const where = new Conditions();
      if (filter.database !== null) where.ofDatabase(filter.database);
      // One database's runs are found by their database alone: the plus keeps the index of all runs in a state out.
      if (filter.state !== null)
        where.add(filter.database === null ? "state = ?" : "+state = ?", filter.state);
      if (after !== null) where.add("(created_at, id) < (?, ?)", ...after);
      const { results } = await this.#db
        .prepare(
          `SELECT id, created_at, view FROM runs ${where.sql} ORDER BY created_at DESC, id DESC LIMIT ?`,
        )
        .bind(...where.values, limit + 1)
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
      const where = new Conditions();
      if (filter.database !== null) where.ofDatabase(filter.database);
      if (after !== null) where.add("(started_at, id) < (?, ?)", ...after);
      const { results } = await this.#db
        .prepare(`SELECT * FROM backups ${where.sql} ORDER BY started_at DESC, id DESC LIMIT ?`)
        .bind(...where.values, limit + 1)
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

/** The statement that writes a backup's row, over one of the same id. */
export function backupStatement(db: D1Database, backup: BackupRow): D1PreparedStatement {
  return db
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
      backup.dumpBytes ?? NOT_KNOWN,
      backup.storedBytes,
      backup.volumes,
      backup.folder,
      backup.manifestSha256,
      backup.encrypted ? 1 : 0,
      backup.hazards,
    );
}

function readView(text: string): RunView {
  return viewSchema.parse(JSON.parse(text));
}
