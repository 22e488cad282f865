import { z } from "zod";
import { backoffMs } from "../../core/backoff.ts";

const pendingSchema = z.object({
  since: z.number(),
  attempt: z.number().int(),
  dueAt: z.number(),
  /** Counts changes, so that a change during a delivery is delivered too. */
  serial: z.number().int(),
});
type Pending = z.infer<typeof pendingSchema>;

/** How a delivery ended. `more`: something was left over, and is delivered next. */
export type Delivery = "delivered" | "more" | "refused";

/** The part of an object's storage that this needs. */
export interface KeptValues {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  delete(key: string): boolean;
}

/** The clock and the random numbers. */
export interface Moment {
  now(): number;
  random(): number;
}

/**
 * Something for a receiver, kept until the receiver has accepted it: a receiver that is down delays only its own
 * delivery. This stores when to try; the owner stores what is delivered, which may be delivered twice.
 */
export class Outbox {
  readonly #kv: KeptValues;
  readonly #key: string;

  constructor(kv: KeptValues, name: string) {
    this.#kv = kv;
    this.#key = `outbox/${name}`;
  }

  /** Marks a change that has to be delivered, due now. */
  add(now: number): void {
    const before = this.#pending;
    const [since, serial] = [before?.since ?? now, (before?.serial ?? 0) + 1];
    this.#put({ since, attempt: 0, dueAt: now, serial });
  }

  /** Since when something is pending; null if nothing is. */
  get pendingSince(): number | null {
    return this.#pending?.since ?? null;
  }

  /** When to try next; null if nothing is pending. */
  get dueAt(): number | null {
    return this.#pending?.dueAt ?? null;
  }

  /** Delivers what is due. `deliver` must not throw if the receiver refuses or does not answer. */
  async flush(moment: Moment, deliver: () => Promise<Delivery>): Promise<void> {
    const pending = this.#pending;
    if (pending === null || pending.dueAt > moment.now()) return;
    const delivery = await deliver();
    // What was added while we waited is due immediately.
    if (this.#pending?.serial !== pending.serial) return;
    if (delivery === "delivered") this.#kv.delete(this.#key);
    else if (delivery === "more") this.#put({ ...pending, attempt: 0, dueAt: moment.now() });
    else this.#put({ ...pending, attempt: pending.attempt + 1, dueAt: againAt(pending.attempt, moment) });
  }

  get #pending(): Pending | null {
    return pendingSchema.safeParse(this.#kv.get(this.#key)).data ?? null;
  }

  #put(pending: Pending): void {
    this.#kv.put(this.#key, pending);
  }
}

/** When to try a delivery again after so many refusals: first after 2 s, at most after 5 minutes. */
export function againAt(attempt: number, { now, random }: Moment): number {
  return now() + backoffMs(attempt, random(), 2_000, 300_000);
}
