import type { Result } from "../failure.ts";
import type { Cursor, Page } from "../page.ts";
import type { RunView } from "../run/run-view.ts";
import type { DatabaseRow, Notice, TroubledDatabases } from "./database-row.ts";

/** What the account reports about one of its databases. */
export interface ListingEntry {
  readonly id: string;
  readonly name: string;
  /** How old its latest backup may become. */
  readonly freshnessMs: number;
  /** Neither paused nor excluded, so health counts it. */
  readonly watched: boolean;
}

/** The catalogue's table of databases. Like the entire catalogue, it can be rebuilt, and may be down. */
export interface DatabaseIndex {
  /** `writtenAt` orders writes of one database: an older one never overwrites a newer. */
  saveDatabase(row: DatabaseRow): Promise<Result<void>>;
  /** All the account's databases at a moment. Written completely or not at all. */
  saveListing(databases: readonly ListingEntry[], at: string): Promise<Result<void>>;
  /** Databases unchanged since their latest backup, and the runs that found that. Freshness never moves back. */
  saveUnchanged(runs: readonly RunView[]): Promise<Result<void>>;
  /** Sets freshness after a deletion: null if no backup is left. `writtenAt` orders it like a row. */
  setFreshness(
    databaseId: string,
    left: { freshAt: string | null; lastBackupId: string | null },
    writtenAt: string,
  ): Promise<Result<void>>;
  /** Watched databases with problems: first those beyond their limit, the oldest first, then the others. */
  troubled(now: string, limit: number): Promise<Result<TroubledDatabases>>;
  /** By name. `gone` selects databases that the latest listing lacks; null selects all, and so does a null name. */
  list(
    filter: { gone: boolean | null; name: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<DatabaseListItem>>>;
}

/** What the catalogue knows about a database. */
export interface DatabaseListItem {
  readonly id: string;
  readonly name: string;
  readonly firstSeenAt: string;
  /** The latest moment for which its latest backup is confirmed. */
  readonly freshAt: string | null;
  /** How old that may become; null if no listing has reported it. */
  readonly freshnessMs: number | null;
  readonly watched: boolean;
  /** Since when it is gone from the account. */
  readonly goneAt: string | null;
  readonly lastBackupId: string | null;
  readonly lastRunState: string | null;
  readonly lastRunError: string | null;
  readonly notices: readonly Notice[];
}
