import type { SweepView } from "./sweep.ts";

/** The account object's part of health. */
export interface AccountHealth {
  /** The latest complete list of the account's databases. */
  readonly listing: {
    readonly at: string;
    readonly databases: number;
    /** Since when this list, or what goes with it, waits for the catalogue to accept it; null if it was accepted. */
    readonly pendingSince: string | null;
  } | null;
  /** Why the list of databases could not be read the last time; null if it could. */
  readonly listingFailure: { readonly code: string; readonly detail: string; readonly hint: string } | null;
  /** What the rows of the latest list say of themselves that could not be read. */
  readonly unreadableRows: readonly string[];
  /** The name by which the catalogue is left out, when no database of the account bears it; else null. */
  readonly catalogNotFound: string | null;
  /** The same name, when the database that bears it is another one, which therefore has no backups; else null. */
  readonly catalogIsAnother: string | null;
  /** Databases that the account no longer has, for some days. */
  readonly gone: readonly { readonly id: string; readonly name: string; readonly goneAt: string }[];
  readonly triggers: TriggersView;
  /** The latest request for every database. */
  readonly sweep: SweepView | null;
  /** Recipients whose private key nobody has proved to hold. */
  readonly unproven: readonly string[];
}

/** The Worker's Cron Triggers that have been seen to fire. */
export interface TriggersView {
  /** Databases follow these. */
  readonly nightly: readonly string[];
  /** Those that do not tell how often they fire, while databases are measured by nothing else. */
  readonly unread: readonly string[];
  /** None is known, though there should be one by now: they are gone, or none has ever fired. */
  readonly nightlyMissing: boolean;
  /** The last fire of a trigger that fires at least every 15 minutes. */
  readonly heartbeatAt: string | null;
  /** Whether the heartbeat is late. */
  readonly heartbeatLate: boolean;
  /** Whether some database follows the nightly ones. */
  readonly followed: boolean;
}
