import type { Result } from "./failure.ts";
import type { KeyProof } from "./key-proof.ts";
import type { DefaultPolicy, FullPolicy, Policy } from "./policy.ts";
import type { BackupRequest } from "./run.ts";
import type { RunView } from "./run-view.ts";
import type { Trigger } from "./triggers.ts";

/** Turns to work: so many exports and so many copies at once, for the whole account. */
export type PlaceKind = "export" | "copy";

export interface Places {
  /**
   * True when the database holds a place now; asking again keeps it. False puts it into the queue, where it
   * stays while it asks again every so often; it is woken when its turn comes.
   */
  take(kind: PlaceKind, databaseId: string): Promise<boolean>;
  /** Places that are not given back end by themselves. */
  release(kind: PlaceKind, databaseId: string): Promise<void>;
}

/**
 * Calls of Cloudflare's API, of which the whole account has a budget. A poll of a running export is counted and never
 * refused: a late one loses the export. Work waits; somebody at the API is told to come back.
 */
export type CallKind = "poll" | "work" | "reader";

/** What the account's object does for whoever works on one database. */
export interface AccountDesk extends Places {
  /** Counts the call and answers 0, or how many milliseconds to wait before asking again. */
  admit(kind: CallKind): Promise<number>;
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

/** One request for a backup of every database. */
export interface SweepView {
  readonly id: string;
  readonly state: "listing" | "starting" | "done" | "failed";
  readonly trigger: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly databases: number;
  readonly started: number;
  readonly error: { code: string; detail: string; hint: string } | null;
}

export type SweepAnswer =
  | { readonly kind: "begun"; readonly sweep: SweepView; readonly runs: RunView[] }
  | { readonly kind: "under-way"; readonly sweep: SweepView };

/** What the account's object adds to health. */
export interface AccountHealth {
  /** The latest complete list of the account's databases. */
  readonly listing: {
    readonly at: string;
    readonly databases: number;
    /** Since when the catalogue was to be told of it, or of what is told with it; null when it was. */
    readonly untoldSince: string | null;
  } | null;
  /** Why the list of databases could not be read last; null when it could. */
  readonly listingFailure: { readonly code: string; readonly detail: string; readonly hint: string } | null;
  /** Databases that the account no longer has, for some days. */
  readonly gone: readonly { readonly id: string; readonly name: string; readonly goneAt: string }[];
  readonly triggers: TriggersView;
  /** The latest request for every database. */
  readonly sweep: SweepView | null;
  /** Recipients whose private key nobody has shown. */
  readonly unproven: readonly string[];
}

/** The Worker's Cron Triggers as they were seen to fire. */
export interface TriggersView {
  /** Databases follow these. */
  readonly nightly: readonly string[];
  /** None is known, though there should be one by now: they are gone, or none has ever fired. */
  readonly nightlyMissing: boolean;
  /** The last time that one fired which fires at least every 15 minutes. */
  readonly heartbeatAt: string | null;
  /** Whether that is later than it should be. */
  readonly heartbeatLate: boolean;
  /** Whether some database follows the nightly ones. */
  readonly followed: boolean;
}

/** What the account knows of one database. */
export interface AccountDatabase {
  readonly id: string;
  readonly name: string;
  /** Since when the account no longer has it; null while it does. */
  readonly goneAt: string | null;
  /** With everything filled in. */
  readonly policy: FullPolicy;
  /** Only what was set of it. */
  readonly ownPolicy: Policy;
  /** The latest first. */
  readonly policyChanges: readonly { readonly at: string; readonly who: string; readonly policy: unknown }[];
  /** When it starts next by its schedule; null: not by itself. */
  readonly nextAt: string | null;
  readonly freshnessMs: number;
  /** Its own policy and its name let its schedule work. */
  readonly watched: boolean;
  readonly lastBackupId: string | null;
  /** The last time that the latest backup was found to stand for the database's state still. */
  readonly unchanged: { readonly backupId: string; readonly checkedAt: string } | null;
  /** Why runs no longer end as `unchanged`: a full backup disproved what they rely on. */
  readonly unchangedOff: { readonly at: string; readonly detail: string } | null;
  /** The last time that the database was asked for values that its dumps alter. */
  readonly examinedAt: string | null;
}

export interface DefaultPolicyView {
  readonly policy: DefaultPolicy;
  /** What it comes to, everything filled in. */
  readonly effective: FullPolicy;
  readonly policyChanges: AccountDatabase["policyChanges"];
}

/** What the bucket remembers of a database's policy. */
export interface MirroredDatabase {
  readonly databaseId: string;
  readonly databaseName: string;
  readonly policy: Policy;
  readonly unchanged: { readonly backupId: string; readonly checkedAt: string } | null;
}

/**
 * The account's one object: it lists the databases and starts them, gives out places, and knows whose key was shown.
 * The recipients are always all that are configured: of others it forgets what it knew.
 */
export interface AccountRuns {
  /** Backs up every database: starts the first at once, and the others as places become free. */
  startAll(request: BackupRequest): Promise<Result<SweepAnswer>>;
  latestSweep(): Promise<SweepView | null>;
  /** A Cron Trigger fired. The same firing told twice starts nothing twice. */
  tick(cron: string, scheduledTime: number): Promise<Result<void>>;
  defaultPolicy(): Promise<Result<DefaultPolicyView>>;
  setDefaultPolicy(policy: DefaultPolicy, who: string): Promise<Result<DefaultPolicyView>>;
  /** By UUID or name, gone ones included; null for one that the account never had. */
  database(nameOrId: string): Promise<Result<AccountDatabase | null>>;
  /** What is known of a database that the account has, were it nothing. */
  describe(database: { id: string; name: string }): Promise<Result<AccountDatabase>>;
  /** Replaces the database's own policy. */
  setPolicy(
    database: { id: string; name: string },
    policy: Policy,
    who: string,
  ): Promise<Result<AccountDatabase>>;
  triggers(): Promise<Result<readonly Trigger[]>>;
  /** After the account's object was lost: policies that the bucket remembers, of databases that have none. */
  restorePolicies(mirrors: readonly MirroredDatabase[]): Promise<void>;
  /** The catalogue has to be told everything again. `policy` is the default one that the bucket remembers. */
  catalogRebuilt(policy: DefaultPolicy | null): Promise<void>;
  keyProofs(recipients: readonly string[]): Promise<Result<KeyProof[]>>;
  /** `refused` are the positions, from 0, of answers to no challenge; the other answers count all the same. */
  proveKeys(
    recipients: readonly string[],
    answers: readonly string[],
  ): Promise<Result<{ items: KeyProof[]; refused: number[] }>>;
  health(recipients: readonly string[]): Promise<AccountHealth>;
}
