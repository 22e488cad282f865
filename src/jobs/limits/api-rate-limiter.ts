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

/** Where the count is stored: an object's own storage, which is synchronous, so that no call comes in between. */
export interface KeptValues {
  get(key: string): unknown;
  put(key: string, value: unknown): void;
}

/** Counts the account's calls to Cloudflare's API in one place, one after the other. */
export class ApiRateLimiter {
  readonly #kv: KeptValues;

  constructor(storage: { readonly kv: KeptValues }) {
    this.#kv = storage.kv;
  }

  /** Sets the budget for 5 minutes. It is stored, because a call may be requested before the budget is set again. */
  limit(calls: number): void {
    if (this.#limit !== calls) this.#kv.put("calls-limit", calls);
  }

  /**
   * Counts the call and returns 0, or returns how long to wait. `exports` are those with a lease; with `spare`, so many
   * calls must be left for more urgent work.
   */
  acquire(kind: CallKind, exports: number, now: number, spare = 0): number {
    const { budget, waitMs } = admit(this.#stored(), { kind, limit: this.#limit, exports, spare }, now);
    this.#store(budget);
    return waitMs;
  }

  /** Admits only polls for so long; if `left` says how many calls are left, only while the exports need those. */
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
