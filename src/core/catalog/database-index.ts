import type { Result } from "../failure.ts";
import type { Cursor, Page } from "../page.ts";
import type { RunView } from "../run/run-view.ts";
import type { DatabaseRow, Notice, TroubledDatabases } from "./database-row.ts";

/** What the account tells of one of its databases. */
export interface ListingEntry {
  readonly id: string;
  readonly name: string;
  /** How old its latest backup may become. */
  readonly freshnessMs: number;
  /** Neither paused nor excluded: its lateness counts. */
  readonly watched: boolean;
}

/** The catalogue's table of databases: like all of the catalogue it can be thrown away, and may be down. */
export interface DatabaseIndex {
  /** `writtenAt` orders writes of one database: an older one never overwrites a newer. */
  saveDatabase(row: DatabaseRow): Promise<Result<void>>;
  /** The account's databases at a moment, all of them. Taken whole or not at all. */
  saveListing(databases: readonly ListingEntry[], at: string): Promise<Result<void>>;
  /** Databases that were found not written to since their latest backup, and the runs that say so. Freshness never moves back. */
  saveUnchanged(runs: readonly RunView[]): Promise<Result<void>>;
  /** After a deletion, freshness is what is left: null when nothing is. Counts against `writtenAt` as a row does. */
  setFreshness(
    databaseId: string,
    left: { freshAt: string | null; lastBackupId: string | null },
    writtenAt: string,
  ): Promise<Result<void>>;
  /** Of the databases that are watched: those later than their own limit, the oldest first, then those in other trouble. */
  troubled(now: string, limit: number): Promise<Result<TroubledDatabases>>;
  /** By name. `gone` are those that the latest listing lacks; null asks for all, as does no name. */
  list(
    filter: { gone: boolean | null; name: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<DatabaseListItem>>>;
}

/** A database as the catalogue knows it. */
export interface DatabaseListItem {
  readonly id: string;
  readonly name: string;
  readonly firstSeenAt: string;
  /** Up to when its latest backup stands for it. */
  readonly freshAt: string | null;
  /** How old that may become; null when no listing has told. */
  readonly freshnessMs: number | null;
  readonly watched: boolean;
  /** Since when the account has it no more. */
  readonly goneAt: string | null;
  readonly lastBackupId: string | null;
  readonly lastRunState: string | null;
  readonly lastRunError: string | null;
  readonly notices: readonly Notice[];
}
