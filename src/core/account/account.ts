import type { Result } from "../failure.ts";
import type { PolicyCopy } from "../policy/policy-copy.ts";
import type { DefaultPolicy, FullPolicy, Policy } from "../policy/policy.ts";
import type { BackupRequest } from "../run/request.ts";
import type { Trigger } from "../schedule/cron-triggers.ts";
import type { AccountHealth } from "./account-health.ts";
import type { KeyProof } from "./key-proof.ts";
import type { SweepAnswer, SweepView } from "./sweep.ts";

/** What the account knows of one database. */
export interface DatabaseDescription {
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

/** Names of databases that are known without asking Cloudflare. */
export interface KnownNames {
  /** When the account's databases were listed last; null: never. */
  readonly listedAt: string | null;
  /** Those that are about as long as the wanted one first; not all of them. */
  readonly names: readonly string[];
}

export interface DefaultPolicyView {
  readonly policy: DefaultPolicy;
  /** What it comes to, everything filled in. */
  readonly effective: FullPolicy;
  readonly policyChanges: DatabaseDescription["policyChanges"];
}

/**
 * The account's one object: it lists the databases and starts them, gives out slots, and knows whose key was shown.
 * The recipients are always all that are configured: of others it forgets what it knew.
 */
export interface AccountRuns {
  /** Backs up every database: starts the first at once, and the others as slots become free. */
  startAll(request: BackupRequest): Promise<Result<SweepAnswer>>;
  latestSweep(): Promise<SweepView | null>;
  /** A Cron Trigger fired. The same firing told twice starts nothing twice. */
  tick(cron: string, scheduledTime: number): Promise<Result<void>>;
  defaultPolicy(): Promise<Result<DefaultPolicyView>>;
  setDefaultPolicy(policy: DefaultPolicy, who: string): Promise<Result<DefaultPolicyView>>;
  /** By UUID or name, gone ones included; null for one that the account never had. */
  database(nameOrId: string): Promise<Result<DatabaseDescription | null>>;
  /** Names to suggest instead of one that is unknown. */
  knownNames(wanted: string): Promise<KnownNames>;
  /** What is known of a database that the account has, were it nothing. */
  describe(database: { id: string; name: string }): Promise<Result<DatabaseDescription>>;
  /** Replaces the database's own policy. */
  setPolicy(
    database: { id: string; name: string },
    policy: Policy,
    who: string,
  ): Promise<Result<DatabaseDescription>>;
  triggers(): Promise<Result<readonly Trigger[]>>;
  /** After the account's object was lost: policies that the bucket remembers, of databases that have none. */
  restorePolicies(copies: readonly PolicyCopy[]): Promise<void>;
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
