import type { Result } from "../core/failure.ts";
import type { AccountRuns, Platform } from "../core/ports.ts";

/**
 * A Cron Trigger fired: one call to the account's object, which does the rest from its own alarms. A trigger that
 * Cloudflare delivers twice starts one round only. Throws when nothing can be started, so that the cron event
 * itself is shown as failed.
 */
export async function startScheduled(
  platform: Result<Platform>,
  account: (accountId: string) => AccountRuns,
  scheduledTime: number,
): Promise<void> {
  if (!platform.ok) throw new Error(`${platform.failure.code}: ${platform.failure.detail}`);
  const request = {
    trigger: "scheduled",
    label: null,
    pinned: false,
    force: false,
    examine: false,
    key: `cron-${scheduledTime}`,
  } as const;
  const answer = await account(platform.value.settings.accountId).startAll(request, false);
  if (!answer.ok) throw new Error(`${answer.failure.code}: ${answer.failure.detail}`);
}
