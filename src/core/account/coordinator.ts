import type { CallKind } from "../d1/api-budget.ts";
import type { Result } from "../failure.ts";
import type { FullPolicy } from "../policy/policy.ts";

/** Leases: they limit how many exports and copies run at the same time in the account. */
export type LeaseKind = "export" | "copy";

export interface LeaseLimiter {
  /**
   * True if the database holds a lease now; asking again keeps it. False puts the database into the queue, where it
   * stays as long as it asks again regularly; it is woken when its turn comes.
   */
  acquireLease(kind: LeaseKind, databaseId: string): Promise<boolean>;
  /** A lease that is not released expires. */
  releaseLease(kind: LeaseKind, databaseId: string): Promise<void>;
}

/** What the account's object does for the objects of databases. */
export interface Coordinator extends LeaseLimiter {
  /** Counts the call and answers 0, or how many milliseconds to wait before asking again. */
  acquireCall(kind: CallKind): Promise<number>;
  /**
   * Cloudflare asked us to slow down: only polls are admitted for so long. If `left` says how many calls are left until
   * then, this holds only if the running exports need those for their polls.
   */
  slowDown(forMs: number, left?: number): Promise<void>;
  /** The database's policy, with all defaults filled in. */
  policy(databaseId: string): Promise<Result<FullPolicy>>;
  /** A database object's report. The latest report counts; each may arrive twice. */
  report(report: DatabaseReport): Promise<void>;
}

export interface DatabaseReport {
  readonly databaseId: string;
  readonly databaseName: string;
  /** The run in progress; null if there is none. */
  readonly runId: string | null;
  readonly last: { backupId: string; manifestSha256: string; bookmark: string | null } | null;
  readonly unchanged: { backupId: string; checkedAt: number } | null;
  readonly unchangedOff: { at: number; detail: string } | null;
  /** It has turned out to be the Worker's own catalogue. */
  readonly isCatalog: boolean;
  readonly examinedAt: number | null;
}
