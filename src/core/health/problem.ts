/**
 * Whether the backups are as fresh as they should be. Judged by what was committed, never by activity: a schedule
 * that fires, or a run that works, is no backup.
 */

/** How old the list of databases may be; and a database's latest backup, while nothing tells its own limit. */
export const FRESHNESS_LIMIT_MS = 26 * 60 * 60_000;

export type Severity = "failing" | "degraded";

export interface HealthProblem {
  readonly code: string;
  readonly severity: Severity;
  /** The name of the database that it concerns, and its UUID. */
  readonly database?: string;
  readonly databaseId?: string;
  readonly detail: string;
  readonly hint: string;
}
