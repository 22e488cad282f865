import { isAbandoned } from "./silence-limit.ts";
import {
  BUSY_IMPORTING,
  cancelledForSilence,
  describeImport,
  NOT_IMPORTING,
  type ImportAnswer,
  type ImportSession,
} from "./import-session.ts";
import type { ScriptTotals } from "../sql/sql-runner.ts";
import { statementMeta } from "../sql/statement-meta.ts";

/** Which file is to be imported. */
export interface ImportStart {
  etag: string;
  now: number;
  /** How long it takes at least. */
  durationMs: number;
  /** How long the answer may be held back. */
  waitMs: number;
}

/** What the imports need of their database. */
export interface ImportTarget {
  bookmark(): string;
  /** Runs the file as one transaction; throws what SQLite says. */
  run(file: ReadableStream<Uint8Array>, onStatement: () => void, now: number): Promise<ScriptTotals>;
}

/** The first answer waits this long, so that a small import is complete at once. */
const FIRST_ANSWER_MS = 500;

/** The imports of one database: one at a time, each of them atomic. */
export class DatabaseImports {
  readonly #ctx: DurableObjectState;
  readonly #bucket: R2Bucket;
  readonly #target: ImportTarget;
  #executing: Promise<void> | undefined;
  #queries = 0;

  constructor(ctx: DurableObjectState, bucket: R2Bucket, target: ImportTarget) {
    this.#ctx = ctx;
    this.#bucket = bucket;
    this.#target = target;
  }

  /** Where to upload the file; or, when it is already there, the import of it. */
  async init(start: ImportStart): Promise<ImportAnswer> {
    const running = this.#running(start.now);
    if (running?.etag === start.etag) return this.poll(running.bookmark, start.now, start.waitMs);
    if (running !== undefined) return { kind: "refused", error: BUSY_IMPORTING };
    const key = this.#keyOf(start.etag);
    const isThere = (await this.#bucket.head(key))?.etag === start.etag;
    return isThere ? this.#start(start) : { kind: "upload", filename: this.#filenameOf(start.etag), key };
  }

  /** Starts the import of the uploaded file. */
  async ingest(start: ImportStart, filename: string): Promise<ImportAnswer> {
    const running = this.#running(start.now);
    if (running?.etag === start.etag) return this.poll(running.bookmark, start.now, start.waitMs);
    if (running !== undefined) return { kind: "refused", error: BUSY_IMPORTING };
    const file = await this.#bucket.head(this.#keyOf(start.etag));
    if (file === null || filename !== this.#filenameOf(start.etag))
      return { kind: "refused", error: "The file to import was not uploaded." };
    if (file.etag === start.etag) return this.#start(start);
    return { kind: "refused", error: `The uploaded file has the etag ${file.etag}, not ${start.etag}.` };
  }

  async poll(bookmark: string, now: number, waitMs: number): Promise<ImportAnswer> {
    const session = this.#running(now);
    if (session === undefined || session.bookmark !== bookmark) {
      const wasCancelled = this.#ctx.storage.kv.get("cancelled-import") === bookmark;
      this.#ctx.storage.kv.delete("cancelled-import");
      return { kind: "refused", error: wasCancelled ? cancelledForSilence(this.#queries) : NOT_IMPORTING };
    }
    this.#session = { ...session, lastSeenAt: now };
    return this.#progress(now, waitMs);
  }

  isRunning(now: number): boolean {
    return this.#running(now) !== undefined;
  }

  forget(): void {
    this.#session = undefined;
  }

  async #start({ etag, now, durationMs, waitMs }: ImportStart): Promise<ImportAnswer> {
    const bookmark = this.#target.bookmark();
    const key = this.#keyOf(etag);
    const times = { executeAt: now + durationMs, lastSeenAt: now };
    this.#session = { bookmark, etag, key, ...times, state: "waiting", result: undefined, error: undefined };
    this.#queries = 0;
    return this.#progress(now, durationMs > 0 ? 0 : Math.max(waitMs, FIRST_ANSWER_MS));
  }

  /** Takes the import as far as its time has come and tells where it is; its end is told once. */
  async #progress(now: number, waitMs: number): Promise<ImportAnswer> {
    const waiting = this.#session;
    if (waiting?.state === "waiting") {
      const remaining = waiting.executeAt - now;
      if (remaining > 0) await scheduler.wait(Math.min(waitMs, remaining));
      if (remaining <= waitMs) {
        this.#executing = this.#execute(waiting, now);
        this.#ctx.waitUntil(this.#executing);
      }
    }
    if (this.#executing !== undefined) await Promise.race([this.#executing, scheduler.wait(waitMs)]);
    const session = this.#session;
    if (session === undefined) return { kind: "refused", error: NOT_IMPORTING };
    const answer = describeImport(session, this.#queries);
    if (answer.kind !== "active") this.forget();
    return answer;
  }

  async #execute(session: ImportSession, now: number): Promise<void> {
    const startedAt = performance.now();
    this.#session = { ...session, state: "executing" };
    try {
      const file = await this.#bucket.get(session.key);
      if (file === null) throw new Error("The file to import is gone.");
      const totals = await this.#target.run(file.body, () => (this.#queries += 1), now);
      const meta = statementMeta({
        duration: performance.now() - startedAt,
        changes: totals.changes,
        last_row_id: totals.lastRowId,
        changed_db: totals.hasChanged,
        size_after: this.#ctx.storage.sql.databaseSize,
        rows_read: totals.rowsRead,
        rows_written: totals.rowsWritten,
      });
      this.#end(session, {
        state: "done",
        result: { num_queries: totals.statements, final_bookmark: this.#target.bookmark(), meta },
      });
    } catch (error) {
      this.#end(session, { state: "failed", error: error instanceof Error ? error.message : String(error) });
    } finally {
      this.#executing = undefined;
    }
  }

  #end(started: ImportSession, change: Partial<ImportSession>): void {
    const session = this.#session;
    if (session?.bookmark === started.bookmark) this.#session = { ...session, ...change };
  }

  /** The session, unless nobody asked for it in time or its work died with the process. */
  #running(now: number): ImportSession | undefined {
    const session = this.#session;
    if (session === undefined) return undefined;
    const isOrphan = session.state === "executing" && this.#executing === undefined;
    if (!isOrphan && !isAbandoned(session, now)) return session;
    if (session.state === "waiting") this.#ctx.storage.kv.put("cancelled-import", session.bookmark);
    this.forget();
    return undefined;
  }

  #keyOf(etag: string): string {
    return `imports/${this.#filenameOf(etag)}`;
  }

  /** Derived from the database and the file, so that nobody uploads the same file twice. */
  #filenameOf(etag: string): string {
    return `${this.#ctx.id.toString()}-${etag}.sql`;
  }

  get #session(): ImportSession | undefined {
    return this.#ctx.storage.kv.get<ImportSession>("import");
  }

  set #session(session: ImportSession | undefined) {
    if (session === undefined) this.#ctx.storage.kv.delete("import");
    else this.#ctx.storage.kv.put("import", session);
  }
}
