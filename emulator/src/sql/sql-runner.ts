import { bindable, cell, type Cell } from "./cell.ts";
import { checkForeignKeys, defersForeignKeys } from "./foreign-keys.ts";
import { statementMeta, type StatementMeta } from "./statement-meta.ts";

/** The rows of one statement. */
export interface StatementResult {
  columns: string[];
  rows: Cell[][];
  meta: StatementMeta;
}

/** One statement with the values of its parameters. */
export interface Statement {
  sql: string;
  params: Cell[];
}

/** The sum over the statements of a script. */
export interface ScriptTotals {
  statements: number;
  rowsRead: number;
  rowsWritten: number;
  changes: number;
  lastRowId: number;
  hasChanged: boolean;
}

const MAX_STATEMENT_BYTES = 100_000;

/** Runs statements on a database and notices which of them wrote something. */
export class SqlRunner {
  readonly #storage: DurableObjectStorage;
  #hasDeferred = false;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Runs one statement. Throws what SQLite says about it. */
  run({ sql, params }: Statement): StatementResult {
    const sizeBefore = this.#storage.sql.databaseSize;
    const before = this.#changes();
    const startedAt = performance.now();
    const cursor = this.#execute(sql, params.map(bindable));
    const rows = Array.from(cursor.raw(), (row) => row.map(cell));
    const duration = performance.now() - startedAt;
    const after = this.#changes();
    const size_after = this.#storage.sql.databaseSize;
    const changes = after.total - before.total;
    return {
      columns: cursor.columnNames,
      rows,
      meta: statementMeta({
        duration,
        changes,
        last_row_id: after.lastRowId,
        changed_db: changes > 0 || cursor.rowsWritten > 0 || size_after !== sizeBefore,
        size_after,
        rows_read: cursor.rowsRead,
        rows_written: cursor.rowsWritten,
      }),
    };
  }

  /** Runs a script whose results nobody wants. Throws at the first statement that fails. */
  async runScript(statements: AsyncIterable<string>, onStatement: () => void): Promise<ScriptTotals> {
    const before = this.#changes().total;
    const sizeBefore = this.#storage.sql.databaseSize;
    const totals = { statements: 0, rowsRead: 0, rowsWritten: 0 };
    for await (const sql of statements) {
      const cursor = this.#execute(sql, []);
      for (const _ of cursor.raw());
      totals.statements += 1;
      onStatement();
      totals.rowsRead += cursor.rowsRead;
      totals.rowsWritten += cursor.rowsWritten;
    }
    const hasGrown = this.#storage.sql.databaseSize !== sizeBefore;
    const after = this.#changes();
    const changes = after.total - before;
    const hasChanged = totals.rowsWritten > 0 || changes > 0 || hasGrown;
    return { ...totals, changes, lastRowId: after.lastRowId, hasChanged };
  }

  /** Has to be called before the end of each transaction; throws when it must not be committed. */
  beforeCommit(): void {
    if (this.#hasDeferred) checkForeignKeys(this.#storage.sql);
    this.#hasDeferred = false;
  }

  /** ANALYZE also looks at the hidden table in which the emulator keeps its own state. */
  hideOwnStatistics(): void {
    const { sql } = this.#storage;
    const [statistics] = sql.exec("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").toArray();
    if (statistics !== undefined) sql.exec("DELETE FROM sqlite_stat1 WHERE tbl = '_cf_KV'");
  }

  #execute(sql: string, bindings: SqlStorageValue[]) {
    if (sql.length * 3 > MAX_STATEMENT_BYTES && new TextEncoder().encode(sql).length > MAX_STATEMENT_BYTES) {
      throw new Error("statement too long: SQLITE_TOOBIG");
    }
    this.#hasDeferred ||= defersForeignKeys(sql);
    return this.#storage.sql.exec(sql, ...bindings);
  }

  #changes() {
    return this.#storage.sql
      .exec<{ total: number; lastRowId: number }>(
        "SELECT total_changes() AS total, last_insert_rowid() AS lastRowId",
      )
      .one();
  }
}
