import type { AccountRuns } from "../core/account/account.ts";
import type { Result } from "../core/failure.ts";
import type { Platform } from "../core/platform.ts";

/**
 * Reports a Cron Trigger's fire to the account's object, which does the rest from its own alarms. Throws if the object
 * does not answer, so that the cron event itself counts as failed.
 */
export async function tellTrigger(
  platform: Result<Platform>,
  account: (accountId: string) => AccountRuns,
  { cron, scheduledTime }: { readonly cron: string; readonly scheduledTime: number },
): Promise<void> {
  if (!platform.ok) throw new Error(`${platform.failure.code}: ${platform.failure.detail}`);
  const answer = await account(platform.value.settings.accountId).tick(cron, scheduledTime);
  if (!answer.ok) throw new Error(`${answer.failure.code}: ${answer.failure.detail}`);
}
