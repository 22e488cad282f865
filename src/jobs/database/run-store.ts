import { z } from "zod";
import type { BackupRow } from "../../core/backup/backup-row.ts";
import { type CommittedBackup, committedSchema } from "../../core/backup/committed-backup.ts";
import type { DatabaseRow } from "../../core/catalog/database-row.ts";
import { RUN_STATES, type RunView } from "../../core/run/run-view.ts";
import { newRun, type Run, runSchema } from "../../core/run/run.ts";
import { Outbox } from "../object/outbox.ts";
import { Turns } from "../object/turns.ts";
import { KeptManifests } from "./kept-manifests.ts";

/** Storage has another revision of the run, so this step stops without effect. */
export class Superseded extends Error {
  override readonly name = "Superseded";
}

const leftoverSchema = z.object({
  folder: z.string(),
  volumes: z.array(z.string()),
  upload: z.object({ key: z.string(), uploadId: z.string() }).nullable(),
  attempt: z.number().int(),
  dueAt: z.number().int(),
  /** Why the latest try came to nothing. */
  problem: z.string().nullable().default(null),
});
export type Leftover = z.infer<typeof leftoverSchema>;

const catalogRowsSchema = z.object({
  // rows are written and read by the same deployment or the next one, and only passed on
  runs: z.record(z.string(), z.object({ revision: z.number().int(), row: z.custom<RunView>() })),
  backups: z.record(z.string(), z.custom<BackupRow>()),
  database: z.custom<DatabaseRow>().nullable().default(null),
});
export type CatalogRows = z.infer<typeof catalogRowsSchema>;

const pruneSchema = z.object({ databaseId: z.string(), backupIds: z.array(z.string()) });

const rowSchema = z.object({
  id: z.string(),
  name: z.string(),
  freshAt: z.string().nullable(),
  lastBackupId: z.string().nullable(),
  lastRunState: z.enum(RUN_STATES),
  lastRunError: z.string().nullable(),
  notices: z.array(z.object({ kind: z.string(), detail: z.string() })),
  writtenAt: z.string(),
});

/** Enough of a stored run of any version to start it again. */
const anyRunSchema = z.object({
  id: z.string(),
  revision: z.number().int().catch(0),
  databaseId: z.string(),
  databaseName: z.string(),
  accountId: z.string().catch(""),
  trigger: z.enum(["scheduled", "manual"]).catch("manual"),
  label: z.string().nullable().catch(null),
  pinned: z.boolean().catch(false),
  force: z.boolean().catch(false),
  examine: z.boolean().catch(false),
  key: z.string().nullable().catch(null),
  createdAt: z.number().int(),
});

const phaseOfAnyVersion = z.object({ phase: z.object({ at: z.string() }) });

/** An upload that it had started, which only its id can end, and the objects that it had written. */
const uploadOfAnyVersion = z.object({
  phase: z.object({
    copy: z.object({
      claimed: z.literal(true),
      volumes: z.array(z.object({ name: z.string() })),
      upload: z.object({ key: z.string(), uploadId: z.string() }),
    }),
  }),
});

export class RunStore {
  /** When to deliver `catalogRows` to the catalogue. */
  readonly catalogOutbox: Outbox;
  readonly keptManifests: KeptManifests;
  /** Rows of backups and their removals reach the catalogue one after the other. */
  readonly catalogTurns = new Turns();
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.catalogOutbox = new Outbox(storage.kv, "catalog");
    this.keptManifests = new KeptManifests(storage);
  }

  /** The current or latest run. */
  run(now: number): Run | null {
    const stored = this.#storage.kv.get("run");
    if (stored === undefined) return null;
    const run = runSchema.safeParse(stored);
    return run.success ? run.data : this.#adopt(stored, now);
  }

  /**
   * A run that another release has stored and this one cannot read. If it has ended, the catalogue and the bucket know
   * it. If not, it starts again under its own id, in another folder. The old folder is deleted if the stored run can be
   * read that far; otherwise it is found as an orphan.
   */
  #adopt(stored: unknown, now: number): Run | null {
    const phase = phaseOfAnyVersion.safeParse(stored);
    if (phase.success && ["complete", "failed", "cancelled", "unchanged"].includes(phase.data.phase.at))
      return null;
    const readable = anyRunSchema.safeParse(stored);
    if (!readable.success) {
      // Not even its database can be read: the next request must not fail because of that.
      console.error({ event: "stored-run-unreadable" });
      this.#storage.kv.delete("run");
      return null;
    }
    const old = readable.data;
    const database = { id: old.databaseId, name: old.databaseName, accountId: old.accountId };
    const begun = newRun(old.id, database, old, now);
    const begunAnew = { ...begun, revision: old.revision, createdAt: old.createdAt };
    this.together(() => {
      this.#storage.kv.put("run", begunAnew);
      this.#leaveBehind(stored, now);
    });
    return begunAnew;
  }

  #leaveBehind(stored: unknown, now: number): void {
    const copy = uploadOfAnyVersion.safeParse(stored).data?.phase.copy;
    if (copy === undefined) return;
    const { key } = copy.upload;
    const slash = key.lastIndexOf("/") + 1;
    const volumes = [...copy.volumes.map(({ name }) => name), key.slice(slash)];
    const folder = key.slice(0, slash);
    const leftover = { folder, volumes, upload: copy.upload, attempt: 0, dueAt: now, problem: null };
    this.leftovers = [...this.leftovers, leftover];
  }

  /** Saves the next revision of the run; throws `Superseded` if storage has another revision than that of `run`. */
  save(run: Run, now: number): Run {
    const stored = this.run(now);
    if (stored !== null && (stored.id !== run.id || stored.revision !== run.revision)) throw new Superseded();
    const next = { ...run, revision: run.revision + 1 };
    this.#storage.kv.put("run", next);
    return next;
  }

  /** Stores several changes together or not at all. */
  together(changes: () => void): void {
    this.#storage.transactionSync(changes);
  }

  /** Replaces an ended run with a new one. */
  replace(run: Run): void {
    this.#storage.kv.put("run", run);
  }

  get last(): CommittedBackup | null {
    const stored = this.#storage.kv.get("last");
    return stored === undefined ? null : committedSchema.parse(stored);
  }

  set last(backup: CommittedBackup | null) {
    if (backup === null) this.#storage.kv.delete("last");
    else this.#storage.kv.put("last", backup);
  }

  /** Retention follows a complete run, and no other: called with each commit and nowhere else. */
  wantPruning(databaseId: string, backupId: string): void {
    const backupIds = [...(this.pruningWanted?.backupIds ?? []), backupId];
    this.#storage.kv.put("prune", { databaseId, backupIds });
  }

  /** The backups that were committed since retention last started. */
  get pruningWanted(): { databaseId: string; backupIds: string[] } | null {
    return pruneSchema.safeParse(this.#storage.kv.get("prune")).data ?? null;
  }

  pruningBegun(): void {
    this.#storage.kv.delete("prune");
  }

  get leftovers(): Leftover[] {
    const stored = this.#storage.kv.get("leftovers");
    return stored === undefined ? [] : z.array(leftoverSchema).parse(stored);
  }

  set leftovers(leftovers: Leftover[]) {
    if (leftovers.length === 0) this.#storage.kv.delete("leftovers");
    else this.#storage.kv.put("leftovers", leftovers);
  }

  get row(): DatabaseRow | null {
    const stored = this.#storage.kv.get("row");
    return stored === undefined ? null : rowSchema.parse(stored);
  }

  set row(row: DatabaseRow) {
    this.#storage.kv.put("row", row);
  }

  /** Rows that the catalogue has not accepted yet. */
  get catalogRows(): CatalogRows {
    const stored = catalogRowsSchema.safeParse(this.#storage.kv.get("catalog-rows")).data;
    return stored ?? { runs: {}, backups: {}, database: null };
  }

  set catalogRows(rows: CatalogRows) {
    this.#storage.kv.put("catalog-rows", rows);
  }
}
