import type { CallKind } from "../d1/api-budget.ts";
import type { Result } from "../failure.ts";
import type { FullPolicy } from "../policy/policy.ts";

/** Turns to work: so many exports and so many copies at once, for the whole account. */
export type LeaseKind = "export" | "copy";

export interface LeaseLimiter {
  /**
   * True when the database holds a slot now; asking again keeps it. False puts it into the queue, where it
   * stays while it asks again every so often; it is woken when its turn comes.
   */
  acquireLease(kind: LeaseKind, databaseId: string): Promise<boolean>;
  /** Slots that are not given back end by themselves. */
  releaseLease(kind: LeaseKind, databaseId: string): Promise<void>;
}

/** What the account's object does for whoever works on one database. */
export interface Coordinator extends LeaseLimiter {
  /** Counts the call and answers 0, or how many milliseconds to wait before asking again. */
  acquireCall(kind: CallKind): Promise<number>;
  /**
   * Cloudflare asked us to slow down: nothing but polls is admitted for so long. When `left` tells how many calls are
   * left until then, only if the exports that run need those for their polls.
   */
  slowDown(forMs: number, left?: number): Promise<void>;
  /** The database's policy, with everything filled in. */
  policy(databaseId: string): Promise<Result<FullPolicy>>;
  /** What a database's object has come to. The latest report counts; may be told twice. */
  report(report: DatabaseReport): Promise<void>;
}

export interface DatabaseReport {
  readonly databaseId: string;
  readonly databaseName: string;
  /** The run under way; null when none is. */
  readonly runId: string | null;
  readonly last: { backupId: string; manifestSha256: string; bookmark: string | null } | null;
  readonly unchanged: { backupId: string; checkedAt: number } | null;
  readonly unchangedOff: { at: number; detail: string } | null;
  readonly examinedAt: number | null;
}
