import type { Coordinator } from "../../core/account/coordinator.ts";
import { describeException, failed } from "../../core/failure.ts";

/**
 * The account's object as seen from a database's. A call that fails costs nothing but time: who did not get a slot or
 * a policy asks again, a slot that was not given back ends by itself, and an export is not lost to bookkeeping.
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
        // its lease runs out
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
          hint: "This usually resolves itself. If it persists, look at the Worker's logs.",
          retryable: true,
        });
      }
    },
    report: (report) => account.report(report),
  };
}
