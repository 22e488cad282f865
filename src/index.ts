import { accessRules, connect } from "./connect.ts";
import { ok, type Result } from "./core/failure.ts";
import type { Platform } from "./core/platform.ts";
import { api } from "./http/api.ts";
import type { Dependencies } from "./http/dependencies.ts";
import { AccountObject, type DailyMaintenance } from "./jobs/account-object.ts";
import type { WakeableRuns } from "./jobs/account/work.ts";
import { tellTrigger } from "./jobs/cron.ts";
import { DatabaseObject } from "./jobs/database-object.ts";
import { coordinatorClient } from "./jobs/limits/coordinator-client.ts";
import { meteredApi } from "./jobs/limits/metered-api.ts";
import { MaintenanceObject } from "./jobs/maintenance-object.ts";
import type { FolderCollector } from "./jobs/maintenance/orphan-steps.ts";
import type { PolicyKeeper } from "./jobs/maintenance/rebuild-steps.ts";
import { VerificationObject } from "./jobs/verification-object.ts";

/** One object per database: the lock and the state machine of its runs. */
export class DatabaseBackups extends DatabaseObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, {
      connect,
      coordinator: (accountId) => coordinatorClient(env.ACCOUNT_COORDINATOR.getByName(accountId)),
      maintenance: (accountId) => env.BUCKET_MAINTENANCE.getByName(accountId),
    });
  }
}

/** One object for the account: knows the databases and their policies, starts them, gives out slots and calls. */
export class AccountCoordinator extends AccountObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, {
      connect,
      database: (id): WakeableRuns => env.DATABASE_BACKUPS.getByName(id),
      maintenance: (accountId): DailyMaintenance => env.BUCKET_MAINTENANCE.getByName(accountId),
    });
  }
}

/** One object per backup: reads it again, and says what is not as it was written. */
export class BackupVerification extends VerificationObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, { connect });
  }
}

/** One object for the account: long work on the bucket, such as filling the catalogue anew. */
export class BucketMaintenance extends MaintenanceObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, {
      connect,
      account: (accountId): PolicyKeeper => env.ACCOUNT_COORDINATOR.getByName(accountId),
      database: (id): FolderCollector => env.DATABASE_BACKUPS.getByName(id),
    });
  }
}

export default {
  fetch(request, env, ctx) {
    const dependencies: Dependencies = {
      access: accessRules(env),
      identity: ctx.access ?? null,
      platform: metered(connect(env), env, request.method),
      databaseRuns: (id) => env.DATABASE_BACKUPS.getByName(id),
      accountRuns: (id) => env.ACCOUNT_COORDINATOR.getByName(id),
      verifications: (id) => env.VERIFICATIONS.getByName(id),
      bucketMaintenance: (id) => env.BUCKET_MAINTENANCE.getByName(id),
    };
    return api.fetch(request, dependencies, ctx);
  },

  async scheduled(controller, env) {
    await tellTrigger(connect(env), (id) => env.ACCOUNT_COORDINATOR.getByName(id), controller);
  },
} satisfies ExportedHandler<Env>;

/**
 * What a request to the HTTP API asks of Cloudflare counts against the account's budget. One that only reads has a small
 * part of that for itself; one that changes something is an admin's, and is work.
 */
function metered(platform: Result<Platform>, env: Env, method: string): Result<Platform> {
  if (!platform.ok) return platform;
  const coordinator = coordinatorClient(env.ACCOUNT_COORDINATOR.getByName(platform.value.settings.accountId));
  const kind = method === "GET" || method === "HEAD" ? "reader" : "work";
  return ok({ ...platform.value, api: meteredApi(platform.value.api, coordinator, kind) });
}
