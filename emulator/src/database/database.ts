import { DurableObject } from "cloudflare:workers";
import { bookmarkOf, type WriteMark } from "./bookmark.ts";
import { DatabaseExports, type ExportStart, type ExportState } from "./database-exports.ts";
import { DatabaseImports, type ImportStart } from "./database-imports.ts";
import { REFUSED_WHILE_EXPORTING, type ExportAnswer } from "./export-session.ts";
import { REFUSED_WHILE_IMPORTING, type ImportAnswer } from "./import-session.ts";
import { SqlRunner, type ScriptTotals, type Statement, type StatementResult } from "../sql/sql-runner.ts";
import { splitStatements, streamStatements } from "../sql/statement-splitter.ts";
import type { SyntheticDump } from "../dump/synthetic-dump.ts";

/** Results, or what SQLite said. */
export type QueryOutcome = { results: StatementResult[] } | { error: string };

/** Totals, or what SQLite said; then nothing was changed. */
export type ScriptOutcome = { totals: ScriptTotals } | { error: string };

/** What `get` adds to the entry in the list. */
export interface DatabaseFigures {
  num_tables: number;
  file_size: number;
}

/** What the control route shows of a database. */
export interface DatabaseState extends ExportState {
  queries: number;
  queriesRefused: number;
  importing: boolean;
  bookmark: string;
}

/** One emulated D1 database: its storage is the database itself, and beside it only a few hidden keys. */
export class EmulatedDatabase extends DurableObject<Env> {
  readonly #kv = this.ctx.storage.kv;
  readonly #runner = new SqlRunner(this.ctx.storage);
  readonly #exports = new DatabaseExports(this.ctx, this.env.DUMPS, () => this.bookmark());
  readonly #imports = new DatabaseImports(this.ctx, this.env.DUMPS, {
    bookmark: () => this.bookmark(),
    run: (file, onStatement, now) => this.#runStream(file, onStatement, now),
  });

  /** Runs the statements as one transaction. */
  async query(statements: Statement[], now: number): Promise<QueryOutcome> {
    const refusal = this.#refusal(now);
    this.#count(refusal === undefined ? "queries" : "queriesRefused");
    if (refusal !== undefined) return { error: refusal };
    try {
      return { results: await this.#transaction(statements, now) };
    } catch (error) {
      return { error: messageOf(error) };
    }
  }

  /** Cuts each text into statements and runs all as one transaction; parameters belong to a single statement. */
  async queryTexts(texts: Statement[], now: number): Promise<QueryOutcome> {
    const statements: Statement[] = [];
    for (const { sql, params } of texts) {
      const cut = splitStatements(sql);
      if (cut.length === 0) return { error: "No SQL statements detected." };
      if (params.length > 0 && cut.length > 1) {
        return { error: "A prepared SQL statement must contain only one statement: SQLITE_ERROR" };
      }
      statements.push(...cut.map((statement) => ({ sql: statement, params })));
    }
    return this.query(statements, now);
  }

  /** Runs a script at once, whatever else is going on; waits only for a dump that is being written. */
  async runScript(script: ReadableStream<Uint8Array>, now: number): Promise<ScriptOutcome> {
    await this.#exports.generated();
    try {
      return { totals: await this.#runStream(script, () => {}, now) };
    } catch (error) {
      return { error: messageOf(error) };
    }
  }

  async startExport(start: ExportStart): Promise<ExportAnswer> {
    if (this.#imports.isRunning(start.now)) return { kind: "refused", error: REFUSED_WHILE_IMPORTING };
    return this.#exports.start(start);
  }

  /** The end of the latest export once more, when that is the one meant; null when it is not. */
  async toldExport(bookmark: string): Promise<ExportAnswer | null> {
    return this.#exports.told(bookmark);
  }

  async pollExport(bookmark: string, now: number, waitMs: number): Promise<ExportAnswer> {
    return this.#exports.poll(bookmark, now, waitMs);
  }

  /** Forgets the running export, as the real service sometimes does. */
  loseExport(): void {
    this.#exports.forget();
  }

  async initImport(start: ImportStart): Promise<ImportAnswer> {
    const refusal = this.#exports.isBusy(start.now) ? REFUSED_WHILE_EXPORTING : undefined;
    return refusal === undefined ? this.#imports.init(start) : { kind: "refused", error: refusal };
  }

  async ingestImport(start: ImportStart, filename: string): Promise<ImportAnswer> {
    const refusal = this.#exports.isBusy(start.now) ? REFUSED_WHILE_EXPORTING : undefined;
    return refusal === undefined
      ? this.#imports.ingest(start, filename)
      : { kind: "refused", error: refusal };
  }

  async pollImport(bookmark: string, now: number, waitMs: number): Promise<ImportAnswer> {
    return this.#imports.poll(bookmark, now, waitMs);
  }

  /** Rolls the running import back, as an update of the service does. */
  resetImport(): void {
    this.#imports.forget();
  }

  useSyntheticDump(dump: SyntheticDump): void {
    this.#exports.useSyntheticDump(dump);
  }

  /** The bookmark of now, or the last one that was current at the given time. */
  bookmark(at?: number): string {
    if (at === undefined) return bookmarkOf(this.ctx.id.toString(), this.#mark);
    const past = this.#kv.list<WriteMark>({
      prefix: "mark:",
      end: `mark:${sortable(at + 1)}`,
      reverse: true,
      limit: 1,
    });
    const [entry] = past;
    return bookmarkOf(this.ctx.id.toString(), entry?.[1] ?? { writes: 0, rowsWritten: 0, at: 0 });
  }

  figures(): DatabaseFigures {
    const { num_tables } = this.ctx.storage.sql
      .exec<{ num_tables: number }>(
        `SELECT count(*) AS num_tables FROM sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'`,
      )
      .one();
    return { num_tables, file_size: this.ctx.storage.sql.databaseSize };
  }

  state(now: number): DatabaseState {
    return {
      ...this.#exports.state(now),
      importing: this.#imports.isRunning(now),
      queries: this.#kv.get<number>("queries") ?? 0,
      queriesRefused: this.#kv.get<number>("queriesRefused") ?? 0,
      bookmark: this.bookmark(),
    };
  }

  /** Leaves nothing behind. */
  async destroy(): Promise<void> {
    await this.ctx.storage.deleteAll();
  }

  get #mark(): WriteMark {
    return this.#kv.get<WriteMark>("mark") ?? { writes: 0, rowsWritten: 0, at: 0 };
  }

  #refusal(now: number): string | undefined {
    if (this.#exports.isBusy(now)) return REFUSED_WHILE_EXPORTING;
    return this.#imports.isRunning(now) ? REFUSED_WHILE_IMPORTING : undefined;
  }

  #transaction(statements: Statement[], now: number): Promise<StatementResult[]> {
    return this.ctx.storage.transaction(async () => {
      const results = statements.map((statement) => this.#runner.run(statement));
      this.#runner.beforeCommit();
      const rowsWritten = results.reduce((sum, { meta }) => sum + meta.rows_written, 0);
      if (results.some(({ meta }) => meta.changed_db)) this.#noteWrite(rowsWritten, now);
      return results;
    });
  }

  #runStream(
    stream: ReadableStream<Uint8Array>,
    onStatement: () => void,
    now: number,
  ): Promise<ScriptTotals> {
    return this.ctx.storage.transaction(async () => {
      const totals = await this.#runner.runScript(streamStatements(stream), onStatement);
      this.#runner.beforeCommit();
      if (totals.hasChanged) this.#noteWrite(totals.rowsWritten, now);
      return totals;
    });
  }

  #noteWrite(rowsWritten: number, now: number): void {
    this.#runner.hideOwnStatistics();
    const { writes, rowsWritten: before } = this.#mark;
    const mark: WriteMark = { writes: writes + 1, rowsWritten: before + rowsWritten, at: now };
    this.#kv.put("mark", mark);
    this.#kv.put(`mark:${sortable(now)}`, mark);
  }

  #count(key: "queries" | "queriesRefused"): void {
    this.#kv.put(key, (this.#kv.get<number>(key) ?? 0) + 1);
  }
}

function sortable(time: number): string {
  return time.toString().padStart(16, "0");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
