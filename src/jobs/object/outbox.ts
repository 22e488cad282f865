import { z } from "zod";
import { backoffMs } from "../../core/backoff.ts";

const pendingSchema = z.object({
  since: z.number(),
  attempt: z.number().int(),
  dueAt: z.number(),
  /** Counts changes: one that comes while another is delivered is delivered too. */
  serial: z.number().int(),
});
type Pending = z.infer<typeof pendingSchema>;

/** How a delivery ended. `more` was left over, and is delivered next. */
export type Delivery = "delivered" | "more" | "refused";

/** As much of an object's storage as this needs. */
export interface KeptValues {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  delete(key: string): boolean;
}

/** The clock and the dice. */
export interface Moment {
  now(): number;
  random(): number;
}

/**
 * Something that another one has to be given, kept until it was taken: a receiver that is down delays its own delivery
 * and nothing else. This keeps when to try; what is delivered lies beside it, in storage of its owner's, and may be
 * delivered twice.
 */
export class Outbox {
  readonly #kv: KeptValues;
  readonly #key: string;

  constructor(kv: KeptValues, name: string) {
    this.#kv = kv;
    this.#key = `outbox/${name}`;
  }

  /** Something has changed that has to be delivered, now. */
  add(now: number): void {
    const before = this.#pending;
    const [since, serial] = [before?.since ?? now, (before?.serial ?? 0) + 1];
    this.#put({ since, attempt: 0, dueAt: now, serial });
  }

  /** Since when something is pending; null when nothing is. */
  get pendingSince(): number | null {
    return this.#pending?.since ?? null;
  }

  /** When to try next; null when nothing is pending. */
  get dueAt(): number | null {
    return this.#pending?.dueAt ?? null;
  }

  /** Delivers what is due. `deliver` must not throw for a receiver that refuses or is silent. */
  async flush(moment: Moment, deliver: () => Promise<Delivery>): Promise<void> {
    const pending = this.#pending;
    if (pending === null || pending.dueAt > moment.now()) return;
    const delivery = await deliver();
    // What was added while we waited is due at once.
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

/** When a delivery that was refused so often is tried again: after 2 s at first, and 5 minutes at the most. */
export function againAt(attempt: number, { now, random }: Moment): number {
  return now() + backoffMs(attempt, random(), 2_000, 300_000);
}
