import type { AccountDesk } from "../../core/account/coordinator.ts";
import { describeException, failed } from "../../core/failure.ts";

/**
 * The account's object as seen from a database's. A call that fails costs nothing but time: who did not get a place or
 * a policy asks again, a place that was not given back ends by itself, and an export is not lost to bookkeeping.
 */
export function accountDesk(account: AccountDesk): AccountDesk {
  return {
    async take(kind, databaseId) {
      try {
        return await account.take(kind, databaseId);
      } catch {
        return false;
      }
    },
    async release(kind, databaseId) {
      try {
        await account.release(kind, databaseId);
      } catch {
        // its lease runs out
      }
    },
    async admit(kind) {
      try {
        return await account.admit(kind);
      } catch {
        return 0;
      }
    },
    async slowDown(forMs, left) {
      try {
        await account.slowDown(forMs, left);
      } catch {
        // the next answer of Cloudflare's says it again
      }
    },
    async policy(databaseId) {
      try {
        return await account.policy(databaseId);
      } catch (error) {
        return failed({
          code: "account-silent",
          detail: `The account's object did not answer: ${describeException(error)}`,
          hint: "Usually passes by itself. If it stays, look at the Worker's logs.",
          retryable: true,
        });
      }
    },
    report: (report) => account.report(report),
  };
}
