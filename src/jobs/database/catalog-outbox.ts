import { backoffMs } from "../../core/backoff.ts";
import type { BackupRow } from "../../core/backup/backup-row.ts";
import { comparingAgain, databaseRow, type DatabaseRow } from "../../core/catalog/database-row.ts";
import type { Platform } from "../../core/platform.ts";
import { viewRun } from "../../core/run/run-view.ts";
import type { Run } from "../../core/run/run.ts";
import type { Outbox, RunStore } from "./run-store.ts";

/**
 * Rows on their way to the catalogue. They are kept until it has taken them: a catalogue that is down delays its
 * own rows and nothing else.
 */
export class CatalogOutbox {
  readonly #store: RunStore;
  readonly #platform: Platform;

  constructor(store: RunStore, platform: Platform) {
    this.#store = store;
    this.#platform = platform;
  }

  addRun(run: Run): void {
    const outbox = this.#current();
    const runs = { ...outbox.runs, [run.id]: { revision: run.revision, row: viewRun(run) } };
    this.#store.outbox = { ...outbox, runs, dueAt: this.#platform.now() };
  }

  addBackup(backup: BackupRow): void {
    const outbox = this.#current();
    this.#store.outbox = {
      ...outbox,
      backups: { ...outbox.backups, [backup.id]: backup },
      dueAt: this.#platform.now(),
    };
  }

  /** The database's own row, now that a run has ended. */
  addDatabase(run: Run, unchangedOff: string | null): void {
    const known = { before: this.#store.row, lastBackupId: this.#store.last?.backupId ?? null, unchangedOff };
    this.#saveDatabase(databaseRow(run, known, this.#platform.now()));
  }

  /** The same row, once the comparison of bookmarks is switched on again. */
  addComparingAgain(): void {
    const { row } = this.#store;
    if (row !== null) this.#saveDatabase(comparingAgain(row, this.#platform.now()));
  }

  /** The database's own row, changed outside of runs. */
  addRow(row: DatabaseRow): void {
    this.#saveDatabase(row);
  }

  /** A backup that is deleted needs no row any more. */
  withdrawBackup(backupId: string): void {
    const { outbox } = this.#store;
    if (outbox === null) return;
    const backups = Object.entries(outbox.backups).filter(([id]) => id !== backupId);
    this.#store.outbox = { ...outbox, backups: Object.fromEntries(backups) };
  }

  #saveDatabase(row: DatabaseRow): void {
    this.#store.row = row;
    this.#store.outbox = { ...this.#current(), database: row, dueAt: this.#platform.now() };
  }

  /** Sends what is due. What the catalogue does not take now is sent again later. */
  async flush(): Promise<void> {
    const outbox = this.#store.outbox;
    const { catalog, databases } = this.#platform;
    if (outbox === null || outbox.dueAt > this.#platform.now()) return;
    const answers = [
      ...Object.values(outbox.runs).map(({ row, revision }) => catalog.saveRun(row, revision)),
      ...Object.values(outbox.backups).map((backup) => catalog.saveBackup(backup)),
      ...(outbox.database === null ? [] : [databases.saveDatabase(outbox.database)]),
    ];
    const refused = (await Promise.all(answers)).some((answer) => !answer.ok);
    const now = this.#store.outbox;
    if (now === null) return;
    if (refused) {
      const dueAt = this.#platform.now() + backoffMs(outbox.attempt, this.#platform.random(), 2_000, 300_000);
      this.#store.outbox = { ...now, attempt: outbox.attempt + 1, dueAt };
      return;
    }
    // Rows that were added while we waited stay.
    const runs = Object.fromEntries(
      Object.entries(now.runs).filter(([id, { revision }]) => outbox.runs[id]?.revision !== revision),
    );
    const backups = Object.fromEntries(
      Object.entries(now.backups).filter(([id]) => outbox.backups[id] === undefined),
    );
    const sent = JSON.stringify(now.database) === JSON.stringify(outbox.database);
    const database = sent ? null : now.database;
    const empty = Object.keys(runs).length + Object.keys(backups).length === 0 && database === null;
    this.#store.outbox = empty ? null : { runs, backups, database, attempt: 0, dueAt: this.#platform.now() };
  }

  #current(): Outbox {
    return (
      this.#store.outbox ?? { runs: {}, backups: {}, database: null, attempt: 0, dueAt: this.#platform.now() }
    );
  }
}
