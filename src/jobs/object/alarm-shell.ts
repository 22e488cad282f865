import { describeException, type Result } from "../../core/failure.ts";

/** Before work goes on that a broken configuration or a defect stopped. */
const REST_MS = 60_000;

/** An alarm that is so late does not come any more. */
const LATE_MS = 60_000;

/** What a Durable Object does in its alarms. */
export interface AlarmWork<Connected> {
  /**
   * While an alarm works, the next one is already set: if the object dies in between, that one goes on. An alarm that
   * is set inside `alarm()` replaces the one that runs, and never starts while another one of the object runs.
   */
  readonly watchdogMs: number;
  /** The platform, or why there is none. */
  connect(): Result<Connected>;
  /** One bounded piece of what is due. It may be repeated after a crash, and may find that nothing is due. */
  work(connected: Connected): Promise<void>;
  /** When something is due next, in milliseconds since the epoch; null when nothing is left. Reads storage only. */
  nextAt(): number | null;
}

/**
 * The alarm of a Durable Object: the watchdog, the connection, one bounded step, and the next alarm. Nothing is thrown
 * out of it, because the platform drops an alarm after six throws. An object holds one of these in a private field, so
 * that RPC reaches nothing of it.
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

  /** Sets the alarm to what is due next, but no sooner than `soonest`; deletes it when nothing is left. */
  async rearm(soonest = 0): Promise<void> {
    // No await between looking for what is next and setting the alarm: a request could come in between.
    const next = this.#work.nextAt();
    if (next === null) await this.#storage.deleteAlarm();
    else await this.#storage.setAlarm(Math.max(next, soonest));
  }

  /** Sees to it that an alarm comes at this time or before. */
  async wakeBy(time: number): Promise<void> {
    const next = await this.#storage.getAlarm();
    if (next === null || next > time || next < Date.now() - LATE_MS) await this.#storage.setAlarm(time);
  }

  /**
   * Sees to it that an alarm comes within `longestMs`: at once when there is none, when it is late, or when it lies
   * further ahead because the clock was turned back.
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
      // The work's own failures are values. This is a defect: it is reported, and the same work is tried again.
      console.error({ event: "alarm-exception", detail: describeException(error) });
      return Date.now() + REST_MS;
    }
  }
}
