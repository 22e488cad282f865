import type { BackupRow } from "../../core/backup/backup-row.ts";
import { afterPolicySet, databaseRow, type DatabaseRow } from "../../core/catalog/database-row.ts";
import type { Platform } from "../../core/platform.ts";
import { viewRun } from "../../core/run/run-view.ts";
import type { Run } from "../../core/run/run.ts";
import type { CatalogRows, RunStore } from "./run-store.ts";

/**
 * Rows for the catalogue, kept until it has accepted them: if the catalogue is down, only its own rows are delayed.
 */
export class CatalogOutbox {
  readonly #store: RunStore;
  readonly #platform: Platform;

  constructor(store: RunStore, platform: Platform) {
    this.#store = store;
    this.#platform = platform;
  }

  addRun(run: Run): void {
    const { runs } = this.#store.catalogRows;
    this.#add({ runs: { ...runs, [run.id]: { revision: run.revision, row: viewRun(run) } } });
  }

  addBackup(backup: BackupRow): void {
    this.#add({ backups: { ...this.#store.catalogRows.backups, [backup.id]: backup } });
  }

  /** Adds the database's own row after a run has ended. */
  addDatabase(run: Run, unchangedOff: string | null): void {
    const known = { before: this.#store.row, lastBackupId: this.#store.last?.backupId ?? null, unchangedOff };
    this.#saveDatabase(databaseRow(run, known, this.#platform.now()));
  }

  /** Adds the same row after the database's policy was set. */
  addPolicySet(): void {
    const { row } = this.#store;
    if (row !== null) this.#saveDatabase(afterPolicySet(row, this.#platform.now()));
  }

  /** The database's own row, changed outside of runs. */
  addRow(row: DatabaseRow): void {
    this.#saveDatabase(row);
  }

  /** Removes the row of a deleted backup. */
  withdrawBackup(backupId: string): void {
    const rows = this.#store.catalogRows;
    const backups = Object.entries(rows.backups).filter(([id]) => id !== backupId);
    this.#store.catalogRows = { ...rows, backups: Object.fromEntries(backups) };
  }

  #saveDatabase(row: DatabaseRow): void {
    this.#store.row = row;
    this.#add({ database: row });
  }

  #add(rows: Partial<CatalogRows>): void {
    this.#store.catalogRows = { ...this.#store.catalogRows, ...rows };
    this.#store.catalogOutbox.add(this.#platform.now());
  }

  /** Delivers what is due. What the catalogue does not accept now is delivered later. */
  async flush(): Promise<void> {
    await this.#store.catalogTurns.take(() => this.#deliver());
  }

  async #deliver(): Promise<void> {
    const { catalog, databases } = this.#platform;
    await this.#store.catalogOutbox.flush(this.#platform, async () => {
      const rows = this.#store.catalogRows;
      const answers = await Promise.all([
        ...Object.values(rows.runs).map(({ row, revision }) => catalog.saveRun(row, revision)),
        ...Object.values(rows.backups).map((backup) => catalog.saveBackup(backup)),
        ...(rows.database === null ? [] : [databases.saveDatabase(rows.database)]),
      ]);
      if (answers.some((answer) => !answer.ok)) return "refused";
      this.#store.catalogRows = withoutDelivered(this.#store.catalogRows, rows);
      return "delivered";
    });
  }
}

/** Keeps rows that were added or changed during the delivery. */
function withoutDelivered(now: CatalogRows, delivered: CatalogRows): CatalogRows {
  const runs = Object.entries(now.runs).filter(
    ([id, { revision }]) => delivered.runs[id]?.revision !== revision,
  );
  const backups = Object.entries(now.backups).filter(
    ([id, backup]) => JSON.stringify(delivered.backups[id]) !== JSON.stringify(backup),
  );
  const sent = JSON.stringify(now.database) === JSON.stringify(delivered.database);
  return {
    runs: Object.fromEntries(runs),
    backups: Object.fromEntries(backups),
    database: sent ? null : now.database,
  };
}
