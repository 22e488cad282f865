import { attemptLimit, backoffMs } from "../../core/backoff.ts";
import type { D1Api } from "../../core/d1/api.ts";
import { describeException, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { DatabaseRuns, StartAnswer } from "../../core/run/database-runs.ts";
import type { RunView } from "../../core/run/run-view.ts";
import type { LeaseTable } from "../limits/lease-table.ts";
import type { AccountOutbox } from "../registry/account-outbox.ts";
import type { AccountSchedule } from "../registry/account-schedule.ts";
import type { DatabaseRegistry } from "../registry/database-registry.ts";
import type { QueueEntry, DueQueue } from "../registry/due-queue.ts";
import type { PolicyCopies } from "../registry/policy-copies.ts";
import { compareBookmark } from "./comparison.ts";

/** Exports of such databases take minutes to hours: they begin first, or the night would end by waiting for them. */
const LONG_DUMP_BYTES = 256 * 1024 * 1024;

/** The free plan allows 50 subrequests an invocation; a comparison takes three of them, all else one. */
const COMPARED_AT_ONCE = 9;
const STARTED_AT_ONCE = 6;
const REVIVED_AT_ONCE = 6;

/** How often to check again a database that is busy with the run of another request. */
const UNDER_WAY_MS = 60_000;

/** A run that has given no sign of life for this long is looked after. */
export const SILENT_MS = 15 * 60_000;

/** A database's object, as far as the account's calls it. */
export type WakeableRuns = DatabaseRuns & { wake(): Promise<void> };

export interface WorkParts {
  /** Asks for bookmarks, after all work that is more urgent. */
  readonly comparisonApi: D1Api;
  /** No bookmark is asked for before then: the budget is spent. */
  readonly comparisonsRest: { until: number };
  readonly registry: DatabaseRegistry;
  readonly queue: DueQueue;
  readonly leases: LeaseTable;
  readonly outbox: AccountOutbox;
  readonly schedule: AccountSchedule;
  readonly platform: Platform;
  readonly policyCopies: PolicyCopies;
  database(id: string): WakeableRuns;
}

/** The account's work on single databases. Each step takes a few of them, and may be repeated after a crash. */
export class AccountWork {
  readonly #parts: WorkParts;

  constructor(parts: WorkParts) {
    this.#parts = parts;
  }

  /** Compares the bookmarks of the next few databases: those that were not written to are done. */
  async compare(): Promise<void> {
    const { queue, platform, comparisonsRest } = this.#parts;
    if (comparisonsRest.until > platform.now()) return;
    const next = queue.toCompare(platform.now(), COMPARED_AT_ONCE);
    await Promise.all(next.map((due) => this.#compare(due)));
  }

  async #compare(due: QueueEntry): Promise<void> {
    const { registry, queue, outbox, schedule, platform, comparisonsRest } = this.#parts;
    const known = registry.get(due.id);
    if (known === null || known.goneAt !== null) return queue.drop(due.id);
    const loaded = await this.#parts.policyCopies.load(due.id, schedule, platform);
    if (!loaded.ok) {
      const delay = backoffMs(due.attempt, platform.random(), 10_000, 300_000);
      return queue.later(due, platform.now() + delay, true);
    }
    const entry = registry.get(due.id) ?? known;
    // What was loaded may have paused it.
    if (due.request.trigger === "scheduled" && !schedule.isWatched(entry)) return queue.drop(due.id);
    const api = this.#parts.comparisonApi;
    const compared = await compareBookmark(entry, due.request, schedule, { ...platform, api });
    const now = platform.now();
    if (!compared.ok && compared.failure.code === "api-budget-spent") {
      // One that is turned away speaks for all that are behind it.
      comparisonsRest.until = now + (compared.failure.retryAfterMs ?? 1_000);
      return;
    }
    // If the comparison fails, the database's own object handles it: it knows all failures.
    if (!compared.ok) return queue.compared(due, { written: false, first: false });
    if (!compared.value.stands) {
      const { written, dumpBytes } = compared.value;
      return queue.compared(due, { written, first: (dumpBytes ?? 0) >= LONG_DUMP_BYTES });
    }
    const { backupId, run } = compared.value;
    // The backup was deleted meanwhile, so it confirms nothing.
    if (registry.get(due.id)?.last?.backupId !== backupId)
      return queue.compared(due, { written: false, first: false });
    registry.change(due.id, { unchanged: { backupId, checkedAt: now } });
    registry.copyLater(due.id, now);
    outbox.addRun(run, now);
    return queue.done(due);
  }

  /** Starts as many of those that wait as there are slots for. */
  async start(): Promise<void> {
    const { queue, leases, platform } = this.#parts;
    const now = platform.now();
    const free = Math.min(leases.free("export", now), STARTED_AT_ONCE);
    await Promise.all(queue.toStart(now, free).map((due) => this.#startWithSlot(due)));
  }

  async #startWithSlot(due: QueueEntry): Promise<void> {
    const { registry, queue, leases, platform } = this.#parts;
    const entry = registry.get(due.id);
    if (entry === null || entry.goneAt !== null) return queue.drop(due.id);
    // One that holds a slot has a run: reserving for it would take that run's slot away in the end.
    const reserved = leases.reserve("export", due.id, platform.now());
    const answer = await this.startNow(due);
    const begun = answer.ok && answer.value.kind === "started";
    if (reserved && !begun) leases.release("export", due.id, platform.now());
    if (begun) return queue.done(due);
    const now = platform.now();
    if (answer.ok) return queue.later(due, now + UNDER_WAY_MS, false);
    if (due.attempt + 1 === attemptLimit(answer.failure.code))
      console.error({ event: "start-failed", database: due.name, code: answer.failure.code });
    return queue.later(due, now + backoffMs(due.attempt, platform.random()), true);
  }

  /** Tells the database's object to begin. */
  async startNow({ id, name, request }: Omit<QueueEntry, "attempt">): Promise<Result<StartAnswer>> {
    const { registry, platform } = this.#parts;
    try {
      const answer = await this.#parts.database(id).start({ id, name }, request);
      if (answer.ok) registry.change(id, { runId: underWay(answer.value.run), signAt: platform.now() });
      return answer;
    } catch (error) {
      return {
        ok: false,
        failure: {
          code: "internal-error",
          detail: `The database's object did not answer: ${describeException(error)}`,
          hint: "If this persists, look at the Worker's logs.",
          retryable: true,
        },
      };
    }
  }

  /** Looks after runs that have given no sign of life. */
  async revive(): Promise<void> {
    const { registry, platform } = this.#parts;
    const silent = registry.silentSince(platform.now() - SILENT_MS, REVIVED_AT_ONCE);
    await Promise.all(
      silent.map(async ({ id, name, runId }) => {
        try {
          const run = await this.#parts.database(id).revive();
          registry.change(id, { runId: run === null ? null : underWay(run), signAt: platform.now() });
        } catch (error) {
          // The next heartbeat tries again, and the next slot starts a run in any case.
          const detail = describeException(error);
          console.error({ event: "run-silent", run: runId, database: name, detail });
          registry.change(id, { signAt: platform.now() });
        }
      }),
    );
  }
}

function underWay(run: RunView): string | null {
  return run.finishedAt === null ? run.id : null;
}
