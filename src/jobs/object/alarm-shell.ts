import { describeException, type Result } from "../../core/failure.ts";

/** The pause before work continues that an invalid configuration or a bug has stopped. */
const REST_MS = 60_000;

/** An alarm that is this late will not come. */
const LATE_MS = 60_000;

/** What a Durable Object does in its alarms. */
export interface AlarmWork<Connected> {
  /**
   * While an alarm works, the next one is already set: if the object dies in between, that one continues. An alarm that
   * is set inside `alarm()` replaces the running one, and never starts while another one of the object runs.
   */
  readonly watchdogMs: number;
  /** The platform, or why there is none. */
  connect(): Result<Connected>;
  /** Does one bounded piece of what is due. May be repeated after a crash, and may find that nothing is due. */
  work(connected: Connected): Promise<void>;
  /** When something is due next, in milliseconds since the epoch; null if nothing is left. Only reads storage. */
  nextAt(): number | null;
}

/**
 * The alarm of a Durable Object: the watchdog, the connection, one bounded step, and the next alarm. It never throws,
 * because the platform drops an alarm after six throws. An object holds its shell in a private field, so that RPC
 * cannot reach it.
 */
export class AlarmShell<Connected> {
  readonly #storage: DurableObjectStorage;
  readonly #work: AlarmWork<Connected>;

  constructor(storage: DurableObjectStorage, work: AlarmWork<Connected>) {
    this.#storage = storage;
    this.#work = work;
  }

  /** What the object's `alarm()` does. */
  async ring(): Promise<void> {
    await this.#storage.setAlarm(Date.now() + this.#work.watchdogMs);
    const soonest = await this.#workOrRest();
    await this.rearm(soonest);
  }

  /** Sets the alarm to what is due next, but not before `soonest`; deletes it if nothing is left. */
  async rearm(soonest = 0): Promise<void> {
    // No await between finding what is next and setting the alarm, because a request could come in between.
    const next = this.#work.nextAt();
    if (next === null) await this.#storage.deleteAlarm();
    else await this.#storage.setAlarm(Math.max(next, soonest));
  }

  /** Makes sure that an alarm comes at this time or before. */
  async wakeBy(time: number): Promise<void> {
    const next = await this.#storage.getAlarm();
    if (next === null || next > time || next < Date.now() - LATE_MS) await this.#storage.setAlarm(time);
  }

  /**
   * Makes sure that an alarm comes within `longestMs`: immediately if there is none, if it is late, or if it is further
   * ahead because the clock was turned back.
   */
  async keepAlive(longestMs: number): Promise<void> {
    const now = Date.now();
    const next = await this.#storage.getAlarm();
    if (next === null || next < now - LATE_MS || next > now + longestMs) await this.#storage.setAlarm(now);
  }

  /** The earliest time for the next alarm. */
  async #workOrRest(): Promise<number> {
    const connected = this.#work.connect();
    if (!connected.ok) return Date.now() + REST_MS;
    try {
      await this.#work.work(connected.value);
      return Date.now();
    } catch (error) {
      // The work's own failures are values, so this is a bug: report it, and try the same work again.
      console.error({ event: "alarm-exception", detail: describeException(error) });
      return Date.now() + REST_MS;
    }
  }
}
