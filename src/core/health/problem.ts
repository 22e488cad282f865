/**
 * Whether the backups are fresh enough. Only committed backups count, never activity: neither a schedule that fires
 * nor an active run is a backup.
 */

/** How old the list of databases may be, and the latest backup of a database whose own limit is unknown. */
export const FRESHNESS_LIMIT_MS = 26 * 60 * 60_000;

export type Severity = "failing" | "degraded";

export interface HealthProblem {
  readonly code: string;
  readonly severity: Severity;
  /** The name and UUID of the database with the problem. */
  readonly database?: string;
  readonly databaseId?: string;
  readonly detail: string;
  readonly hint: string;
}
