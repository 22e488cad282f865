import type { Coordinator } from "../../core/account/coordinator.ts";
import { type CallKind, exportSlots, isShort } from "../../core/d1/api-budget.ts";
import type { D1Api } from "../../core/d1/api.ts";
import { callsLeft } from "../../core/d1/rate-headers.ts";
import { failed, type Failure, type Result } from "../../core/failure.ts";

/** The object that counts the calls. */
export type CallLimiter = Pick<Coordinator, "acquireCall" | "slowDown">;

/** More exports than any budget lets run at the same time. */
const MOST_EXPORTS = exportSlots(Infinity, 1_200);

/**
 * The API with a rate limiter: a refused call is a failure that says when to try again. Polls are counted and never
 * wait, not even for the count. If the coordinator does not answer, the call is made: no backup fails because it could
 * not be counted. What Cloudflare says about its own limits is passed on.
 */
export function meteredApi(api: D1Api, coordinator: CallLimiter, kind: Exclude<CallKind, "poll">): D1Api {
  const pass = (forMs: number, left?: number): void => {
    // If this is lost, the next answer says it again.
    void quietly(() => coordinator.slowDown(forMs, left), undefined);
  };
  const watched =
    api.watched?.((seen) => {
      const left = callsLeft(seen);
      // The account's object knows how many exports run. It is asked only if that can matter.
      if (isShort(left, seen.resetMs, MOST_EXPORTS)) pass(seen.resetMs, left);
    }) ?? api;

  async function metered<T>(make: () => Promise<Result<T>>): Promise<Result<T>> {
    const waitMs = await quietly(() => coordinator.acquireCall(kind), 0);
    return waitMs > 0 ? failed(budgetSpent(waitMs)) : answered(await make());
  }

  function answered<T>(answer: Result<T>): Result<T> {
    if (!answer.ok && answer.failure.code === "api-rate-limited") pass(answer.failure.retryAfterMs ?? 60_000);
    return answer;
  }

  return {
    listDatabases: (page, perPage) => metered(() => watched.listDatabases(page, perPage)),
    getDatabase: (idOrName) => metered(() => watched.getDatabase(idOrName)),
    schema: (id) => metered(() => watched.schema(id)),
    bookmark: (id) => metered(() => watched.bookmark(id)),
    query: (id, sql) => metered(() => watched.query(id, sql)),
    queryAll: (id, statements) => metered(() => watched.queryAll(id, statements)),
    startExport: (id, options) => metered(() => watched.startExport(id, options)),
    async pollExport(id, options, bookmark) {
      void quietly(() => coordinator.acquireCall("poll"), 0);
      return answered(await watched.pollExport(id, options, bookmark));
    },
  };
}

/** The coordinator's answer, or `otherwise` if it does not answer. */
async function quietly<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask();
  } catch {
    return otherwise;
  }
}

function budgetSpent(waitMs: number): Failure {
  return {
    code: "api-budget-spent",
    detail: "This Worker has used up its budget of calls to Cloudflare's API for 5 minutes.",
    hint: "There is nothing to do: work continues as soon as calls are free again. Polls of running exports come first. API_CALLS_PER_5_MINUTES sets the budget.",
    retryable: true,
    retryAfterMs: waitMs,
  };
}
