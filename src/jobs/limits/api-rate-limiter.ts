import {
  admit,
  type ApiBudget,
  apiBudgetSchema,
  type CallKind,
  callsInWindow,
  DEFAULT_CALLS,
  isShort,
  NOTHING_CALLED,
  slowDown,
} from "../../core/d1/api-budget.ts";

/** Where the count is kept: an object's own storage, synchronous, so that no call comes in between. */
export interface KeptValues {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
}

/** The account's calls of Cloudflare's API, counted where no two of them can be counted at once. */
export class ApiRateLimiter {
  readonly #kv: KeptValues;

  constructor(storage: { readonly kv: KeptValues }) {
    this.#kv = storage.kv;
  }

  /** Sets the calls in 5 minutes, which are remembered: a call may be asked for before anybody tells them again. */
  limit(calls: number): void {
    if (this.#limit !== calls) this.#kv.put("calls-limit", calls);
  }

  /**
   * Counts the call and answers 0, or how long to wait. `exports` are those that hold a slot; with `spare`, so many
   * calls have to be left for work that is more urgent.
   */
  acquire(kind: CallKind, exports: number, now: number, spare = 0): number {
    const { budget, waitMs } = admit(this.#stored(), { kind, limit: this.#limit, exports, spare }, now);
    this.#store(budget);
    return waitMs;
  }

  /** Nothing but polls for so long. When `left` tells how many calls are left until then: only if the exports need them. */
  slowDown(forMs: number, now: number, left: number | null = null, exports = 0): void {
    if (left !== null && !isShort(left, forMs, exports)) return;
    this.#store(slowDown(this.#stored(), forMs, now));
  }

  /** Calls made in the last 5 minutes. */
  used(now: number): number {
    return callsInWindow(this.#stored(), now);
  }

  get #limit(): number {
    const stored = this.#kv.get("calls-limit");
    return typeof stored === "number" ? stored : DEFAULT_CALLS;
  }

  #stored(): ApiBudget {
    return apiBudgetSchema.safeParse(this.#kv.get("calls")).data ?? NOTHING_CALLED;
  }

  #store(budget: ApiBudget): void {
    this.#kv.put("calls", budget);
  }
}
