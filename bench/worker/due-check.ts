import { DurableObject } from "cloudflare:workers";
import { connect } from "../../src/connect.ts";
import { AccountSchedule } from "../../src/jobs/registry/account-schedule.ts";
import { DatabaseRegistry } from "../../src/jobs/registry/database-registry.ts";
import { DueQueue } from "../../src/jobs/registry/due-queue.ts";

const NIGHT = Date.UTC(2026, 10, 21, 3);
const HOUR_MS = 3_600_000;

/** So long is what the rest is compared with measured. */
const BARE_MS = 50;

/** What the account's object does with 10,000 databases at a time, over storage of its own. No call leaves it. */
export class DueCheck extends DurableObject<Env> {
  readonly #registry = new DatabaseRegistry(this.ctx.storage.sql);
  readonly #queue = new DueQueue(this.ctx.storage.sql);

  /** The first list of an account. */
  async fill(databases: number): Promise<number> {
    this.#schedule.saw("0 3 * * *", NIGHT - 24 * HOUR_MS, NIGHT - 24 * HOUR_MS);
    this.#schedule.applyListing(listOf(databases), NIGHT - HOUR_MS, NIGHT - HOUR_MS);
    return this.#registry.count();
  }

  /** The same list again, as each heartbeat reads it. */
  async list(databases: number): Promise<number> {
    this.#schedule.applyListing(listOf(databases), NIGHT, NIGHT);
    return this.#registry.count();
  }

  /** One check, so long after the nightly slot; answers how many wait now. */
  async check(afterMs: number): Promise<number> {
    this.#schedule.enqueueDue(NIGHT + afterMs);
    return this.#queue.count();
  }

  /** What the catalogue is told when something of the list has changed. */
  async tell(): Promise<number> {
    return this.#schedule.listing(NIGHT).length;
  }

  /** What each check would cost if it read all that is known of each database. */
  async readAll(): Promise<number> {
    return this.ctx.storage.sql.exec("SELECT id, entry FROM database").toArray().length;
  }

  get #schedule(): AccountSchedule {
    const connected = connect(this.env);
    if (!connected.ok) throw new Error(connected.failure.detail);
    return new AccountSchedule(this.ctx.storage, this.#registry, this.#queue, connected.value.settings);
  }
}

/** Milliseconds of each, and what it answers. The clock moves while the object is asked. */
export async function measureDueCheck(object: DueCheckCalls, databases: number): Promise<DueCheckMeasured> {
  const measured: { what: string; ms: number; answer: number }[] = [];
  const time = async (what: string, call: () => Promise<number>): Promise<void> => {
    const startedAt = Date.now();
    const answer = await call();
    measured.push({ what, ms: Date.now() - startedAt, answer });
  };
  await time("the first list", () => object.fill(databases));
  await time("the same list again", () => object.list(databases));
  await time("a check, nothing due", () => object.check(-1));
  await time("a check, a minute's share due", () => object.check(60_000));
  await time("a check, all the others due at once", () => object.check(HOUR_MS));
  await time("what the catalogue is told", () => object.tell());
  // The clock is coarse: read until it has moved well.
  const startedAt = Date.now();
  let times = 0;
  for (; Date.now() - startedAt < BARE_MS; times++) await object.readAll();
  return { bareMs: (Date.now() - startedAt) / times, measured };
}

export interface DueCheckMeasured {
  /** What it takes to read all rows, and do nothing with them. */
  readonly bareMs: number;
  readonly measured: readonly { readonly what: string; readonly ms: number; readonly answer: number }[];
}

export interface DueCheckCalls {
  fill(databases: number): Promise<number>;
  list(databases: number): Promise<number>;
  check(afterMs: number): Promise<number>;
  tell(): Promise<number>;
  readAll(): Promise<number>;
}

function listOf(databases: number): { id: string; name: string }[] {
  return Array.from({ length: databases }, (_, index) => ({
    id: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
    name: `database-${index}`,
  }));
}
