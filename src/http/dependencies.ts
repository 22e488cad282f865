import type { AccountRuns } from "../core/account/account.ts";
import type { BackupVerifications } from "../core/backup/verification-view.ts";
import type { MaintenanceJobs } from "../core/bucket/maintenance.ts";
import type { Result } from "../core/failure.ts";
import type { Platform } from "../core/platform.ts";
import type { DatabaseRuns } from "../core/run/database-runs.ts";

/** Who may call. If nothing is set, nobody may. */
export interface AccessRules {
  readonly adminToken: string | null;
  readonly viewerToken: string | null;
  readonly accessAudience: string | null;
  readonly accessAdmins: readonly string[];
}

/** The identity that Cloudflare Access has authenticated, if the Worker is behind Access. */
export interface AccessIdentity {
  readonly aud: string;
  getIdentity(): Promise<{ email?: string } | undefined>;
}

export interface Dependencies {
  readonly access: Result<AccessRules>;
  readonly identity: AccessIdentity | null;
  readonly platform: Result<Platform>;
  /** The object that owns the runs of the database with this UUID. */
  databaseRuns(databaseId: string): DatabaseRuns;
  accountRuns(accountId: string): AccountRuns;
  /** The object that verifies the backup with this id. */
  verifications(backupId: string): BackupVerifications;
  /** The object for the account's long work on the bucket. */
  bucketMaintenance(accountId: string): MaintenanceJobs;
}

export type Role = "admin" | "viewer";

/** Hono's environment: what each handler finds in its context. */
export interface ApiEnv {
  Bindings: Dependencies;
  Variables: { role: Role; who: string; platform: Platform };
}
