import type { Coordinator } from "../../core/account/coordinator.ts";
import { describeException, failed } from "../../core/failure.ts";

/**
 * A database object's client of the account's object. A failed call costs only time: the caller asks again for a lease
 * or a policy, a lease that was not released expires, and no export is lost because it could not be counted.
 */
export function coordinatorClient(account: Coordinator): Coordinator {
  return {
    async acquireLease(kind, databaseId) {
      try {
        return await account.acquireLease(kind, databaseId);
      } catch {
        return false;
      }
    },
    async releaseLease(kind, databaseId) {
      try {
        await account.releaseLease(kind, databaseId);
      } catch {
        // its lease expires
      }
    },
    async acquireCall(kind) {
      try {
        return await account.acquireCall(kind);
      } catch {
        return 0;
      }
    },
    async slowDown(forMs, left) {
      try {
        await account.slowDown(forMs, left);
      } catch {
        // Cloudflare's next answer says it again
      }
    },
    async policy(databaseId) {
      try {
        return await account.policy(databaseId);
      } catch (error) {
        return failed({
          code: "account-silent",
          detail: `The account's object did not answer: ${describeException(error)}`,
          hint: "This usually resolves itself. If it persists, look at the Worker's logs.",
          retryable: true,
        });
      }
    },
    report: (report) => account.report(report),
  };
}
