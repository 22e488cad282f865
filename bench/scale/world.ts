import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type CallKind, exportSlots, WINDOW_MS } from "../../src/core/d1/api-budget.ts";
import type { D1Api, ExportAnswer } from "../../src/core/d1/api.ts";
import { failed, type Failure, type FailureCode, ok, type Result } from "../../src/core/failure.ts";
import { ApiRateLimiter } from "../../src/jobs/limits/api-rate-limiter.ts";
import { LeaseTable, type Sql } from "../../src/jobs/limits/lease-table.ts";
import { type CallLimiter, meteredApi } from "../../src/jobs/limits/metered-api.ts";
import { seeded, VirtualClock } from "./clock.ts";
import type { Database } from "./databases.ts";

/** What the simulation cannot go on from: the code has broken a promise. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

/** D1 cancels an export that nobody polls for so long; the aim is to stay well below. */
const CANCELLED_AFTER_MS = 15_000;
const LONGEST_GAP_MS = 10_000;

/** Of 100 calls of the API one fails, and of 100 exports one is lost. One failed call in ten is a 429. */
const FAULTS = 0.01;
const LIMITED = 0.1;
const RETRY_AFTER_MS = 2_000;

/** How long a call of Cloudflare's API takes: assumed. */
const CALL_MS = [150, 450] as const;

export interface Limits {
  readonly calls: number;
  readonly exports: number;
}

/** An account with its clock, its count of calls, its places, and a D1 that fails now and then. */
export class World {
  readonly clock: VirtualClock;
  readonly places: LeaseTable;
  readonly random: () => number;
  readonly limits: Limits;
  readonly #calls: ApiRateLimiter;
  /** Moments of the latest calls, those of the last 5 minutes and older ones. */
  readonly #made: number[] = [];
  #oldest = 0;
  #exporting = 0;
  mostCalls = 0;
  mostExports = 0;
  longestGapMs = 0;
  /** Between two polls that D1 answers: some fail. */
  longestUnansweredMs = 0;
  refusals = 0;
  lastRefusalAt = 0;
  polls = 0;
  work = 0;
  faults = 0;
  lostExports = 0;

  constructor(startsAt: number, limits: Limits, seed: number) {
    this.clock = new VirtualClock(startsAt);
    this.random = seeded(seed);
    this.limits = { ...limits, exports: exportSlots(limits.exports, limits.calls) };
    this.places = new LeaseTable(memorySql());
    this.places.limit("export", this.limits.exports);
    const values = new Map<string, unknown>();
    this.#calls = new ApiRateLimiter({
      kv: { get: (key) => values.get(key), put: (key, value) => values.set(key, value) },
    });
    this.#calls.limit(limits.calls);
  }

  get totalCalls(): number {
    return this.#made.length;
  }

  between([low, high]: readonly [number, number]): number {
    return low + this.random() * (high - low);
  }

  /** The account's object, whose own comparisons leave `spare` calls to runs that have begun. */
  coordinator(spare = 0): CallLimiter {
    const exports = (): number => this.places.held("export", this.clock.now());
    return {
      acquireCall: async (kind: CallKind) => {
        const waitMs = this.#calls.acquire(kind, exports(), this.clock.now(), spare);
        if (waitMs > 0) {
          this.refusals += 1;
          this.lastRefusalAt = this.clock.now();
        }
        return waitMs;
      },
      slowDown: async (forMs, left) => this.#calls.slowDown(forMs, this.clock.now(), left, exports()),
    };
  }

  /** The product's metered API over this D1, for one database. */
  api(database: Database, spare = 0): D1Api {
    return meteredApi(this.#bareApi(database), this.coordinator(spare), "work");
  }

  #bareApi(database: Database): D1Api {
    const answer = async <T>(value: () => T): Promise<Result<T>> => {
      const failure = await this.#call("work");
      return failure === null ? ok(value()) : failed(failure);
    };
    const none = ok({ databases: [], unreadable: [], total: 0 });
    let running: RunningExport | null = null;
    return {
      listDatabases: async () => none,
      getDatabase: () =>
        answer(() => ({ id: database.id, name: database.id, createdAt: null, fileSize: database.bytes })),
      schema: () => answer(() => []),
      bookmark: () => answer(() => "bookmark"),
      query: () => answer(() => ({ rows: [], rowsRead: 0 })),
      queryAll: () => answer(() => []),
      startExport: async () => {
        const failure = await this.#call("work");
        if (failure !== null) return failed(failure);
        running = this.#begin(database);
        return ok({ kind: "active", bookmark: "bookmark", message: null });
      },
      pollExport: async () => {
        this.#noticeGap(running);
        const failure = await this.#call("poll");
        if (failure !== null) return failed(failure);
        const [told, goesOn] = this.#polled(running);
        if (!goesOn) running = null;
        return ok(told);
      },
    };
  }

  #begin(database: Database): RunningExport {
    this.#exporting += 1;
    this.mostExports = Math.max(this.mostExports, this.#exporting);
    if (this.#exporting > this.limits.exports)
      throw new BrokenPromise(`${this.#exporting} exports at once, of ${this.limits.exports} allowed`);
    const now = this.clock.now();
    const lostAt = this.random() < FAULTS ? now + this.random() * database.exportMs : Infinity;
    return { endsAt: now + database.exportMs, lostAt, polledAt: now, answeredAt: now };
  }

  /** Between two polls that are made, whatever becomes of them. */
  #noticeGap(running: RunningExport | null): void {
    if (running === null) return;
    const now = this.clock.now();
    const gap = now - running.polledAt;
    running.polledAt = now;
    this.longestGapMs = Math.max(this.longestGapMs, gap);
    if (gap > LONGEST_GAP_MS) throw new BrokenPromise(`${gap} ms between two polls of an export`);
  }

  #polled(running: RunningExport | null): [ExportAnswer, boolean] {
    if (running === null) return [{ kind: "lost" }, false];
    const now = this.clock.now();
    const gap = now - running.answeredAt;
    this.longestUnansweredMs = Math.max(this.longestUnansweredMs, gap);
    running.answeredAt = now;
    if (now >= running.lostAt || gap >= CANCELLED_AFTER_MS) {
      this.#exporting -= 1;
      this.lostExports += 1;
      return [{ kind: "lost" }, false];
    }
    if (now < running.endsAt) return [{ kind: "active", bookmark: "bookmark", message: null }, true];
    this.#exporting -= 1;
    return [{ kind: "complete", bookmark: "bookmark", signedUrl: "https://dump.example/" }, false];
  }

  /** One call, as Cloudflare counts it: when it is made, whatever becomes of it. */
  async #call(kind: "work" | "poll"): Promise<Failure | null> {
    const now = this.clock.now();
    this.#made.push(now);
    this[kind === "poll" ? "polls" : "work"] += 1;
    while ((this.#made[this.#oldest] ?? now) <= now - WINDOW_MS) this.#oldest += 1;
    const inWindow = this.#made.length - this.#oldest;
    this.mostCalls = Math.max(this.mostCalls, inWindow);
    if (inWindow > this.limits.calls)
      throw new BrokenPromise(`${inWindow} calls in 5 minutes, of ${this.limits.calls} allowed`);
    await this.clock.sleep(this.between(CALL_MS));
    if (this.random() >= FAULTS) return null;
    this.faults += 1;
    return this.random() < LIMITED
      ? { ...transient("api-rate-limited"), retryAfterMs: RETRY_AFTER_MS }
      : transient("api-unavailable");
  }
}

interface RunningExport {
  readonly endsAt: number;
  readonly lostAt: number;
  polledAt: number;
  answeredAt: number;
}

function transient(code: FailureCode): Failure {
  return { code, detail: "a fault of the simulation", hint: "none", retryable: true };
}

/** Several statements in one text: what makes tables. */
const SEVERAL = /;\s*\S/;

/** The lease table's SQL in Node's own SQLite. */
function memorySql(): Sql {
  const database = new DatabaseSync(":memory:");
  const prepared = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  return {
    exec<Row>(query: string, ...bindings: SQLInputValue[]) {
      // A prepared statement is the first of them alone.
      if (SEVERAL.test(query)) {
        database.exec(query);
        return { toArray: () => [], one: () => noRow(query) };
      }
      const statement = prepared.get(query) ?? database.prepare(query);
      prepared.set(query, statement);
      // The caller knows which columns its query gives.
      const rows = statement.all(...bindings) as Row[];
      return {
        toArray: () => rows,
        one() {
          const [row] = rows;
          return row ?? noRow(query);
        },
      };
    },
  };
}

function noRow(query: string): never {
  throw new Error(`no row: ${query}`);
}
