import { Buffer } from "node:buffer";
import { dumpStatements, firstVirtualTable, type DumpOptions } from "../dump/dump-statements.ts";
import { storeDump } from "../dump/dump-upload.ts";
import { sqlite3Dump } from "../dump/sqlite3-dump.ts";
import {
  BUSY,
  describeExport,
  NOT_EXPORTING,
  type ExportAnswer,
  type ExportSession,
} from "./export-session.ts";
import { isAbandoned } from "./silence-limit.ts";
import { withStrayLine, type StrayLine } from "../dump/stray-line.ts";
import type { SyntheticDump } from "../dump/synthetic-dump.ts";

/** What is exported, and in which of the service's two formats. */
export interface ExportOptions extends DumpOptions {
  compatibility: "d1" | "sqlite3_cli_only";
}

/** How an export is to be started. */
export interface ExportStart {
  options: ExportOptions;
  now: number;
  /** How long it takes at least. */
  durationMs: number;
  /** How long the database stays busy when its virtual tables forbid the export. */
  busyAfterRefusalMs: number;
  /** What the dump says that no dump should. */
  strayLine: StrayLine | undefined;
}

/** What the control route shows of a database's exports. */
export interface ExportState {
  exportsStarted: number;
  exportsRefused: number;
  pollsSeen: number;
  longestPollGapMs: number;
  exporting: boolean;
  lastOptions: ExportOptions | undefined;
}

interface Counters extends Omit<ExportState, "exporting"> {
  busyUntil: number;
}

const NO_COUNTS: Counters = {
  exportsStarted: 0,
  exportsRefused: 0,
  pollsSeen: 0,
  longestPollGapMs: 0,
  lastOptions: undefined,
  busyUntil: 0,
};

/** The first answer waits this long for the dump, so that a small one is complete at once. */
const FIRST_ANSWER_MS = 500;

/** The exports of one database: one at a time, from the start until its end was told once. */
export class DatabaseExports {
  readonly #ctx: DurableObjectState;
  readonly #bucket: R2Bucket;
  readonly #bookmark: () => string;
  #generating: Promise<void> | undefined;
  /** Called after each part of a dump: timers alone may not get their turn while a large one is written. */
  #onPart = (): void => {};

  constructor(ctx: DurableObjectState, bucket: R2Bucket, bookmark: () => string) {
    this.#ctx = ctx;
    this.#bucket = bucket;
    this.#bookmark = bookmark;
  }

  async start({
    options,
    now,
    durationMs,
    busyAfterRefusalMs,
    strayLine,
  }: ExportStart): Promise<ExportAnswer> {
    if (this.isBusy(now)) {
      this.#count({ exportsRefused: this.#counters.exportsRefused + 1 });
      return { kind: "refused", error: BUSY };
    }
    this.#count({ exportsStarted: this.#counters.exportsStarted + 1, lastOptions: options });
    const bookmark = this.#bookmark();
    const virtualTable =
      options.compatibility === "d1" ? firstVirtualTable(this.#ctx.storage.sql, options) : undefined;
    if (virtualTable !== undefined) {
      this.#count({ busyUntil: now + busyAfterRefusalMs });
      const error = "D1 Export error: cannot export databases with Virtual Tables (fts5)";
      return { kind: "failed", bookmark, error };
    }
    const filename = `${bookmark}.sql`;
    const key = `dumps/${crypto.randomUUID()}/${filename}`;
    const times = { completeAt: now + durationMs, lastSeenAt: now };
    const session: ExportSession = {
      bookmark,
      key,
      filename,
      ...times,
      state: "generating",
      parts: 0,
      partsTold: 0,
      error: undefined,
    };
    const synthetic = this.#kv.get<SyntheticDump>("synthetic-dump");
    if (synthetic === undefined) {
      this.#session = session;
      this.#generating = this.#generate(session, options, strayLine);
      this.#ctx.waitUntil(this.#generating);
    } else {
      this.#session = { ...session, key: synthetic.key, state: "stored", parts: 1 };
    }
    return this.#answer(durationMs === 0 ? await this.#wait(FIRST_ANSWER_MS, now) : now);
  }

  async poll(bookmark: string, now: number, waitMs: number): Promise<ExportAnswer> {
    const counters = this.#counters;
    const gap = now - (this.#session?.lastSeenAt ?? now);
    this.#count({
      pollsSeen: counters.pollsSeen + 1,
      longestPollGapMs: Math.max(counters.longestPollGapMs, gap),
    });
    const session = this.#running(now);
    if (session === undefined || session.bookmark !== bookmark)
      return { kind: "refused", error: NOT_EXPORTING };
    this.#session = { ...session, lastSeenAt: now };
    const isActive = describeExport(session, now).kind === "active";
    return this.#answer(isActive ? await this.#wait(waitMs, now) : now);
  }

  told(bookmark: string): ExportAnswer | null {
    const told = this.#kv.get<ExportAnswer & { kind: "complete" }>("export-told");
    return told?.bookmark === bookmark ? told : null;
  }

  /** Whether neither queries nor another export are possible now. */
  isBusy(now: number): boolean {
    return now < this.#counters.busyUntil || this.#running(now) !== undefined;
  }

  forget(): void {
    this.#session = undefined;
  }

  /** Resolves when no dump is being read out of the database. */
  async generated(): Promise<void> {
    await this.#generating;
  }

  useSyntheticDump(dump: SyntheticDump): void {
    this.#kv.put("synthetic-dump", dump);
  }

  state(now: number): ExportState {
    const { busyUntil: _, ...counters } = this.#counters;
    return { ...counters, exporting: this.isBusy(now) };
  }

  get #kv() {
    return this.#ctx.storage.kv;
  }

  get #session(): ExportSession | undefined {
    return this.#kv.get<ExportSession>("export");
  }

  set #session(session: ExportSession | undefined) {
    if (session === undefined) this.#kv.delete("export");
    else this.#kv.put("export", session);
  }

  get #counters(): Counters {
    return this.#kv.get<Counters>("export-counters") ?? NO_COUNTS;
  }

  #count(change: Partial<Counters>): void {
    this.#kv.put("export-counters", { ...this.#counters, ...change });
  }

  /** The session, unless nobody asked for it in time or its dump died with the process. */
  #running(now: number): ExportSession | undefined {
    const session = this.#session;
    if (session === undefined) return undefined;
    const isOrphan = session.state === "generating" && this.#generating === undefined;
    if (!isOrphan && !isAbandoned(session, now)) return session;
    this.forget();
    return undefined;
  }

  #answer(now: number): ExportAnswer {
    const session = this.#session;
    if (session === undefined) return { kind: "refused", error: NOT_EXPORTING };
    const answer = describeExport(session, now);
    this.#session = answer.kind === "active" ? { ...session, partsTold: session.parts } : undefined;
    if (answer.kind === "complete") this.#kv.put("export-told", answer);
    return answer;
  }

  /** Holds an answer back until there is more to tell, for so long at most; returns the time after that. */
  async #wait(ms: number, now: number): Promise<number> {
    const startedAt = Date.now();
    const remaining = (this.#session?.completeAt ?? now) - now;
    if (this.#generating !== undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onPart = () => {
        if (Date.now() - startedAt >= ms) resolve();
      };
      await Promise.race([this.#generating, scheduler.wait(ms), promise]);
    } else if (remaining > 0) await scheduler.wait(Math.min(ms, remaining));
    return now + Date.now() - startedAt;
  }

  #dump(options: ExportOptions): {
    lines: Iterable<string>;
    encode: (text: string) => Uint8Array;
  } {
    const { sql } = this.#ctx.storage;
    if (options.compatibility === "sqlite3_cli_only")
      return { lines: sqlite3Dump(sql, options.tables), encode: (text) => Buffer.from(text, "latin1") };
    const encoder = new TextEncoder();
    return { lines: dumpStatements(sql, options), encode: (text) => encoder.encode(text) };
  }

  async #generate(
    started: ExportSession,
    options: ExportOptions,
    strayLine: StrayLine | undefined,
  ): Promise<void> {
    const update = (change: Partial<ExportSession>) => {
      const session = this.#session;
      if (session?.key === started.key) this.#session = { ...session, ...change };
    };
    try {
      const { lines, encode } = this.#dump(options);
      const all = strayLine === undefined ? lines : withStrayLine(lines, strayLine);
      const { parts } = await storeDump(this.#bucket, started.key, all, encode, (part) => {
        update({ parts: part });
        this.#onPart();
      });
      update({ state: "stored", parts });
    } catch (error) {
      update({
        state: "failed",
        error: `D1 Export error: ${error instanceof Error ? error.message : String(error)}`,
      });
    } finally {
      this.#generating = undefined;
    }
  }
}
