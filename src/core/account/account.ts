import type { Result } from "../failure.ts";
import type { DefaultPolicyCopy, PolicyCopy } from "../policy/policy-copy.ts";
import type { DefaultPolicy, FullPolicy, Policy } from "../policy/policy.ts";
import type { BackupRequest } from "../run/request.ts";
import type { Trigger } from "../schedule/cron-triggers.ts";
import type { AccountHealth } from "./account-health.ts";
import type { KeyProof } from "./key-proof.ts";
import type { SweepAnswer, SweepView } from "./sweep.ts";

/** What the account knows about one database. */
export interface DatabaseDescription {
  readonly id: string;
  readonly name: string;
  /** Since when the account no longer has it; null while it does. */
  readonly goneAt: string | null;
  /** With all defaults filled in. */
  readonly policy: FullPolicy;
  /** Only the keys that were set. */
  readonly ownPolicy: Policy;
  /** The latest first. */
  readonly policyChanges: readonly { readonly at: string; readonly who: string; readonly policy: unknown }[];
  /** When its schedule starts it next; null if never. */
  readonly nextAt: string | null;
  readonly freshnessMs: number;
  /** Whether its policy and its name let its schedule start backups. */
  readonly watched: boolean;
  readonly lastBackupId: string | null;
  /** The last time that the latest backup was found to match the database's state. */
  readonly unchanged: { readonly backupId: string; readonly checkedAt: string } | null;
  /** Why runs no longer end as `unchanged`: a full backup has disproved that equal bookmarks mean equal dumps. */
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
  /** The policy with all defaults filled in. */
  readonly effective: FullPolicy;
  readonly policyChanges: DatabaseDescription["policyChanges"];
}

/**
 * The account's single object: it lists the databases and starts them, grants leases, and knows which private keys were
 * proved. `recipients` are always all configured ones: it forgets the others.
 */
export interface AccountRuns {
  /** Backs up every database: starts the first ones immediately, and the others as leases become free. */
  startAll(request: BackupRequest): Promise<Result<SweepAnswer>>;
  latestSweep(): Promise<SweepView | null>;
  /** A Cron Trigger fired. The same fire reported twice starts nothing twice. */
  tick(cron: string, scheduledTime: number): Promise<Result<void>>;
  defaultPolicy(): Promise<Result<DefaultPolicyView>>;
  setDefaultPolicy(policy: DefaultPolicy, who: string): Promise<Result<DefaultPolicyView>>;
  /** Finds a database by UUID or name, including deleted ones; null for one that the account never had. */
  database(nameOrId: string): Promise<Result<DatabaseDescription | null>>;
  /** Names to suggest instead of one that is unknown. */
  knownNames(wanted: string): Promise<KnownNames>;
  /** What is known about a database of the account, which may be nothing. */
  describe(database: { id: string; name: string }): Promise<Result<DatabaseDescription>>;
  /** Replaces the database's own policy. */
  setPolicy(
    database: { id: string; name: string },
    policy: Policy,
    who: string,
  ): Promise<Result<DatabaseDescription>>;
  triggers(): Promise<Result<readonly Trigger[]>>;
  /** After the account's object was lost: restores the bucket's policies of databases that have none. */
  restorePolicies(copies: readonly PolicyCopy[]): Promise<void>;
  /** Sends everything to the catalogue again. `policy` is the default policy from the bucket. */
  catalogRebuilt(copy: DefaultPolicyCopy | null): Promise<void>;
  keyProofs(recipients: readonly string[]): Promise<Result<KeyProof[]>>;
  /** `refused` are the positions (from 0) of answers that match no challenge. The other answers are accepted. */
  proveKeys(
    recipients: readonly string[],
    answers: readonly string[],
  ): Promise<Result<{ items: KeyProof[]; refused: number[] }>>;
  health(recipients: readonly string[]): Promise<AccountHealth>;
}
