import {
  attemptLimit,
  backoffMs,
  EXPORT_LIMIT,
  LATEST_POLL_MS,
  LONGEST_WAIT_MS,
  pollDelayMs,
} from "../../src/core/backoff.ts";
import type { D1Api } from "../../src/core/d1/api.ts";
import { EVERYTHING } from "../../src/core/d1/export-options.ts";
import type { Result } from "../../src/core/failure.ts";
import { dueAt, SPREAD_MS } from "../../src/core/schedule/schedule.ts";
import { type Database, drawDatabases, type Night } from "./databases.ts";
import { BrokenPromise, type Limits, World } from "./world.ts";

/** As the product has them, and as it makes its calls: the steps below follow those of src/jobs. */
const COMPARED_AT_ONCE = 9;
const STARTED_AT_ONCE = 6;
const PLACE_RETRY_MS = 15_000;
const EXAMINE_LIMIT_MS = 10 * 60_000;
const VOLUME_BYTES = 128 * 1024 * 1024;

/** Calls that comparisons leave to runs that have begun: a step's of each place. */
const COMPARING_SPARES = 24;
/** As jobs/run/examine-step.ts has them. */
const TABLES_A_STEP = 10;
const EXAMINE_TRIES = 3;
/** As jobs/account/work.ts has it. */
const LONG_DUMP_BYTES = 256 * 1024 * 1024;

/** Assumed: what an alarm takes beside the calls, and how fast a dump is copied and read back. */
const ALARM_MS = [20, 80] as const;
const COPY_BYTES_A_MS = 12_000;
const VERIFY_BYTES_A_MS = 40_000;
const SMALL_COPY_MS = [400, 1_200] as const;

/** A database that could have been begun, and was not for so long, started late. */
const LATE_MS = 5_000;

export interface Simulated {
  readonly world: World;
  /** From the slot until the last run was over. */
  readonly tookMs: number;
  readonly backedUp: number;
  readonly unchanged: number;
  readonly failed: number;
  readonly examined: number;
  readonly notExamined: number;
  /** Started later than places and budget allow. */
  readonly late: number;
  /** How long half of them, and 99 of 100, took from their time until they were over. */
  readonly waits: { readonly half: number; readonly most: number };
}

/** A night of the whole account, in virtual time, by the product's own budget, places, spread and waiting times. */
export async function simulate(night: Night, limits: Limits): Promise<Simulated> {
  const simulation = new Simulation(night, limits);
  return simulation.run();
}

class Simulation {
  readonly #night: Night;
  readonly #world: World;
  readonly #toCome: { database: Database; at: number }[];
  readonly #toCompare: Database[] = [];
  readonly #toStart: { database: Database; readyAt: number }[] = [];
  readonly #dueAt = new Map<string, number>();
  readonly #wakes = new Map<string, () => void>();
  readonly #lasted: number[] = [];
  #wakeAccount: (() => void) | null = null;
  #comparingAgainAt = 0;
  /** Since when a place has been free and somebody could have had it. */
  #idleSince: number | null = null;
  #over = 0;
  #endedAt = 0;
  #backedUp = 0;
  #unchanged = 0;
  #failed = 0;
  readonly #written = new Set<Database>();
  #examined = 0;
  #notExamined = 0;
  #late = 0;

  constructor(night: Night, limits: Limits) {
    this.#night = night;
    this.#world = new World(night.startsAt, limits, night.seed + 1);
    const trigger = { cron: "0 3 * * *", firstSeenAt: night.startsAt, seenAt: night.startsAt, silentMs: 0 };
    this.#toCome = drawDatabases(night)
      .map((database) => {
        const plan = { schedule: "trigger", paused: false } as const;
        const at = dueAt(database.id, plan, [trigger], night.startsAt - 1, SPREAD_MS);
        if (at === null) throw new Error("no slot");
        this.#dueAt.set(database.id, at);
        return { database, at };
      })
      .sort((a, b) => b.at - a.at);
  }

  async run(): Promise<Simulated> {
    const { clock } = this.#world;
    let broken: unknown = null;
    const account = this.#account().catch((error: unknown) => (broken = error));
    await clock.run();
    await account;
    if (broken !== null) throw broken;
    if (this.#over !== this.#night.databases)
      throw new BrokenPromise(`${this.#night.databases - this.#over} databases were forgotten`);
    const lasted = this.#lasted.sort((a, b) => a - b);
    return {
      world: this.#world,
      tookMs: this.#endedAt - this.#night.startsAt,
      backedUp: this.#backedUp,
      unchanged: this.#unchanged,
      failed: this.#failed,
      examined: this.#examined,
      notExamined: this.#notExamined,
      late: this.#late,
      waits: { half: lasted[lasted.length >> 1] ?? 0, most: lasted[Math.floor(lasted.length * 0.99)] ?? 0 },
    };
  }

  /** The account's object: alarm after alarm. */
  async #account(): Promise<void> {
    const { clock } = this.#world;
    const runs: Promise<void>[] = [];
    while (this.#toCome.length + this.#toCompare.length + this.#toStart.length > 0) {
      await this.#alarm();
      for (
        let next = this.#toCome.at(-1);
        next !== undefined && next.at <= clock.now();
        next = this.#toCome.at(-1)
      )
        this.#toCompare.push(...this.#toCome.splice(-1).map(({ database }) => database));
      if (this.#comparingAgainAt <= clock.now()) await this.#compare();
      runs.push(...this.#start());
      await this.#untilDue();
    }
    await Promise.all(runs);
  }

  async #compare(): Promise<void> {
    const next = this.#toCompare.splice(0, COMPARED_AT_ONCE);
    const refused = await Promise.all(
      next.map(async (database) => {
        if (database.isKnown && !database.isDueInFull) {
          const bookmark = await this.#world.api(database, COMPARING_SPARES).bookmark(database.id);
          if (!bookmark.ok && bookmark.failure.code === "api-budget-spent") {
            this.#pauseComparing(bookmark.failure.retryAfterMs ?? 1_000);
            return database;
          }
          if (bookmark.ok && !database.isChanged) {
            this.#unchanged += 1;
            this.#end(database);
            return null;
          }
          if (bookmark.ok) this.#written.add(database);
        }
        const ready = { database, readyAt: this.#world.clock.now() };
        // Only what was backed up before is known to be long.
        const isLong = database.isKnown && database.bytes >= LONG_DUMP_BYTES;
        if (!isLong) this.#toStart.push(ready);
        else this.#toStart.splice(this.#longWaiting(), 0, ready);
        return null;
      }),
    );
    this.#toCompare.unshift(...refused.filter((database) => database !== null));
  }

  #longWaiting(): number {
    const short = this.#toStart.findIndex(({ database }) => database.bytes < LONG_DUMP_BYTES);
    return short < 0 ? this.#toStart.length : short;
  }

  /** One that is turned away speaks for all that come after it. */
  #pauseComparing(waitMs: number): void {
    const at = this.#world.clock.now() + waitMs;
    if (this.#comparingAgainAt <= this.#world.clock.now() || at < this.#comparingAgainAt)
      this.#comparingAgainAt = at;
  }

  #start(): Promise<void>[] {
    const { clock, places } = this.#world;
    const now = clock.now();
    const begun: Promise<void>[] = [];
    for (let started = 0; started < STARTED_AT_ONCE && this.#toStart.length > 0; started++) {
      if (places.free("export", now) === 0) break;
      const next = this.#toStart.shift();
      if (next === undefined || !places.reserve("export", next.database.id, now))
        throw new Error("no place to reserve");
      const couldSince = Math.max(next.readyAt, this.#idleSince ?? now);
      // While calls are refused, one more run would only wait for them.
      const hadCalls = this.#world.lastRefusalAt < couldSince;
      if (now - couldSince > LATE_MS && hadCalls) this.#late += 1;
      begun.push(this.#backUp(next.database));
    }
    this.#noticeIdle();
    return begun;
  }

  #noticeIdle(): void {
    const { clock, places } = this.#world;
    const isIdle = this.#toStart.length > 0 && places.free("export", clock.now()) > 0;
    if (!isIdle) this.#idleSince = null;
    else this.#idleSince ??= clock.now();
  }

  /** Until the account's next alarm: something is due, or somebody gives a place back. */
  async #untilDue(): Promise<void> {
    const { clock, places } = this.#world;
    const now = clock.now();
    const times = [
      this.#toCome.at(-1)?.at,
      this.#toCompare.length > 0 ? Math.max(now, this.#comparingAgainAt) : undefined,
      this.#toStart.length > 0 ? places.lookAgainAt("export", now) : undefined,
    ].filter((time) => time !== undefined);
    if (times.length === 0) return;
    const woken = new Promise<void>((wake) => (this.#wakeAccount = wake));
    await Promise.race([woken, clock.sleep(Math.min(...times) - now)]);
    this.#wakeAccount = null;
  }

  #alarm(): Promise<void> {
    return this.#world.clock.sleep(this.#world.between(ALARM_MS));
  }

  async #backUp(database: Database): Promise<void> {
    const api = this.#world.api(database);
    const done = (await this.#preflight(database, api)) && (await this.#export(database, api));
    this.#release("export", database);
    if (done) {
      if (database.isToBeExamined) await this.#examine(database, api);
      await this.#copy(database);
      this.#backedUp += 1;
    } else this.#failed += 1;
    this.#end(database);
  }

  /** A step until it works, with the product's waiting times; false when it is given up. */
  async #step<T>(work: () => Promise<Result<T>>, isPoll = false): Promise<Result<T>> {
    const { clock, random } = this.#world;
    for (let attempt = 0; ;) {
      await this.#alarm();
      const done = await work();
      if (done.ok) return done;
      const { code, retryAfterMs } = done.failure;
      if (code === "api-budget-spent") {
        await clock.sleep(retryAfterMs ?? PLACE_RETRY_MS);
        continue;
      }
      if (attempt + 1 >= attemptLimit(code)) return done;
      const delay = retryAfterMs ?? backoffMs(attempt, random(), 1_000, isPoll ? 4_000 : 60_000);
      await clock.sleep(Math.min(delay, isPoll ? LATEST_POLL_MS : LONGEST_WAIT_MS));
      attempt += 1;
    }
  }

  async #preflight(database: Database, api: D1Api): Promise<boolean> {
    const looked = await this.#step(async () => {
      const details = await api.getDatabase(database.id);
      if (!details.ok) return details;
      const asksAgain = database.isKnown && !database.isDueInFull && !this.#written.has(database);
      const bookmark = asksAgain ? await api.bookmark(database.id) : null;
      if (bookmark !== null && !bookmark.ok && bookmark.failure.code === "api-budget-spent") return bookmark;
      return api.schema(database.id);
    });
    return looked.ok;
  }

  async #export(database: Database, api: D1Api): Promise<boolean> {
    const { clock, places, random } = this.#world;
    for (let exports = 1; exports <= EXPORT_LIMIT; exports++) {
      const started = await this.#step(async () => {
        // Asked for with each try: one that has waited long may hold it no longer.
        while (!places.acquire("export", database.id, clock.now())) await this.#queued("export", database);
        return api.startExport(database.id, EVERYTHING);
      });
      if (!started.ok) return false;
      for (let polls = 0; ; polls++) {
        await clock.sleep(pollDelayMs(polls));
        places.acquire("export", database.id, clock.now());
        const polled = await this.#step(() => api.pollExport(database.id, EVERYTHING, "bookmark"), true);
        if (!polled.ok) return false;
        if (polled.value.kind === "complete") return true;
        if (polled.value.kind === "lost") break;
      }
      await clock.sleep(backoffMs(exports, random(), 1_000, 30_000));
    }
    return false;
  }

  /** A question for the columns of the next ten tables, and one for each; what fails comes twice again, for ten minutes. */
  async #examine(database: Database, api: D1Api): Promise<void> {
    const { clock } = this.#world;
    const startedAt = clock.now();
    let attempt = 0;
    let asked = 0;
    const step = async (): Promise<Result<unknown>> => {
      if (asked === database.tables) return api.bookmark(database.id);
      const until = Math.min(database.tables, asked + TABLES_A_STEP);
      let answer = await api.query(database.id, "columns");
      for (; answer.ok && asked < until; asked++) {
        const counts = await api.query(database.id, "counts");
        if (!counts.ok) return counts;
        attempt = 0;
        answer = counts;
      }
      return answer;
    };
    for (let done = false; !done;) {
      await this.#alarm();
      done = asked === database.tables;
      const answer = await step();
      if (answer.ok) continue;
      done = false;
      const isSpent = answer.failure.code === "api-budget-spent";
      if (clock.now() - startedAt > EXAMINE_LIMIT_MS || (!isSpent && attempt + 1 >= EXAMINE_TRIES)) {
        this.#notExamined += 1;
        return;
      }
      if (!isSpent) attempt += 1;
      const pause = answer.failure.retryAfterMs ?? backoffMs(attempt, this.#world.random(), 1_000, 60_000);
      await clock.sleep(pause);
    }
    this.#examined += 1;
  }

  /** Volume by volume into the bucket, and back from it. */
  async #copy(database: Database): Promise<void> {
    const { clock, places } = this.#world;
    for (let left = database.bytes; left > 0; left -= VOLUME_BYTES) {
      while (!places.acquire("copy", database.id, clock.now())) await this.#queued("copy", database);
      await this.#alarm();
      await clock.sleep(Math.min(left, VOLUME_BYTES) / COPY_BYTES_A_MS + this.#world.between(SMALL_COPY_MS));
    }
    this.#release("copy", database);
    await this.#alarm();
    await clock.sleep(database.bytes / VERIFY_BYTES_A_MS + this.#world.between(SMALL_COPY_MS));
  }

  /** Waits for a place: until it is woken, or asks again. */
  async #queued(kind: string, { id }: Database): Promise<void> {
    const woken = new Promise<void>((wake) => this.#wakes.set(`${kind} ${id}`, wake));
    await Promise.race([woken, this.#world.clock.sleep(PLACE_RETRY_MS)]);
    this.#wakes.delete(`${kind} ${id}`);
  }

  #release(kind: "export" | "copy", { id }: Database): void {
    const { clock, places } = this.#world;
    for (const next of places.release(kind, id, clock.now())) this.#wakes.get(`${kind} ${next}`)?.();
    this.#noticeIdle();
    if (kind === "export") this.#wakeAccount?.();
  }

  #end({ id }: Database): void {
    const now = this.#world.clock.now();
    this.#over += 1;
    this.#endedAt = Math.max(this.#endedAt, now);
    this.#lasted.push(now - (this.#dueAt.get(id) ?? now));
  }
}
