import { accessRules, connect } from "./connect.ts";
import type { Places } from "./core/ports.ts";
import type { Dependencies } from "./http/dependencies.ts";
import { api } from "./http/api.ts";
import { accountPlaces } from "./jobs/account-places.ts";
import { accountQueue, type WakeableRuns } from "./jobs/account-queue.ts";
import { backupVerification } from "./jobs/backup-verification.ts";
import { startScheduled } from "./jobs/cron.ts";
import { databaseBackups } from "./jobs/database-backups.ts";

/** One object per database: the lock and the state machine of its runs. */
export class DatabaseBackups extends databaseBackups<Env>({
  connect,
  places: (env: Env, accountId: string): Places => accountPlaces(env.ACCOUNT_QUEUE.getByName(accountId)),
}) {}

/** One object for the account: lists the databases, starts them, gives out places. */
export class AccountQueue extends accountQueue<Env>({
  connect,
  database: (env: Env, id: string): WakeableRuns => env.DATABASE_BACKUPS.getByName(id),
}) {}

/** One object per backup: reads it again, and says what is not as it was written. */
export class BackupVerification extends backupVerification<Env>({ connect }) {}

export default {
  fetch(request, env, ctx) {
    const dependencies: Dependencies = {
      access: accessRules(env),
      identity: ctx.access ?? null,
      platform: connect(env),
      databaseRuns: (id) => env.DATABASE_BACKUPS.getByName(id),
      accountRuns: (id) => env.ACCOUNT_QUEUE.getByName(id),
      verifications: (id) => env.VERIFICATIONS.getByName(id),
    };
    return api.fetch(request, dependencies, ctx);
  },

  async scheduled(controller, env) {
    await startScheduled(connect(env), (id) => env.ACCOUNT_QUEUE.getByName(id), controller.scheduledTime);
  },
} satisfies ExportedHandler<Env>;
