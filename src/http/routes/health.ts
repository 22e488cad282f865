import { Hono } from "hono";
import type { AccountHealth } from "../../core/account/account-health.ts";
import type { DamagedBackups } from "../../core/bucket/damaged-backup.ts";
import { describeException, ok, type Result } from "../../core/failure.ts";
import { type Health, type HealthFacts, evaluateHealth, PROBLEMS_LISTED } from "../../core/health/health.ts";
import { iso } from "../../core/time.ts";
import type { ApiEnv, Dependencies } from "../dependencies.ts";

/** Anybody may ask for the status, so it is computed at most this often, and not for each request. */
export const STATUS_KEPT_MS = 10_000;

/** The last status that this isolate computed, for which account and recipients, and until when it is valid. */
let kept: { of: string; status: Health["status"]; until: number } | null = null;

/** For monitors, without a token: only the status. */
export const healthz = new Hono<ApiEnv>().get("/healthz", async (context) => {
  const status = await currentStatus(context.env);
  return context.json({ status }, status === "failing" ? 503 : 200, { "Cache-Control": "no-store" });
});

export const health = new Hono<ApiEnv>().get("/health", async (context) =>
  context.json(await look(context.env, PROBLEMS_LISTED), 200, { "Cache-Control": "no-store" }),
);

async function currentStatus(dependencies: Dependencies): Promise<Health["status"]> {
  const { platform } = dependencies;
  // A broken configuration is known without asking anybody.
  if (!platform.ok || !dependencies.access.ok) return "failing";
  const { accountId, recipients } = platform.value.settings;
  const of = [accountId, ...recipients].join();
  const now = platform.value.now();
  if (kept?.of === of && now < kept.until) return kept.status;
  // Requests during the computation get the last status, unless that is too old.
  if (kept?.of === of && now < kept.until + STATUS_KEPT_MS) kept.until = now + STATUS_KEPT_MS;
  const { status } = await look(dependencies, 1);
  kept = { of, status, until: now + STATUS_KEPT_MS };
  return status;
}

/** The worst database decides the status, so a limit of 1 is enough if only the status is needed. */
async function look(dependencies: Dependencies, limit: number): Promise<Health> {
  const now = dependencies.platform.ok ? dependencies.platform.value.now() : Date.now();
  return evaluateHealth(await factsOf(dependencies, now, limit), now);
}

async function factsOf(dependencies: Dependencies, now: number, limit: number): Promise<Result<HealthFacts>> {
  const { access, platform } = dependencies;
  if (!platform.ok) return platform;
  if (!access.ok) return access;
  const { keyPrefix } = platform.value.settings;
  const [databases, account, damaged, outside] = await Promise.all([
    platform.value.databases.troubled(iso(now), limit),
    accountOf(dependencies, platform.value.settings),
    damagedOf(dependencies, platform.value.settings, limit),
    platform.value.catalog.folderOutside(keyPrefix),
  ]);
  // A catalogue that cannot be read is a problem by itself.
  const folder = outside.ok ? outside.value : null;
  const elsewhere = folder === null ? null : { folder, keyPrefix };
  return ok({ databases, account, damaged, elsewhere });
}

/** Null when the object for the bucket's maintenance does not answer. */
async function damagedOf(
  dependencies: Dependencies,
  { accountId }: { accountId: string },
  limit: number,
): Promise<DamagedBackups | null> {
  try {
    return await dependencies.bucketMaintenance(accountId).damaged(limit);
  } catch (error) {
    console.error({ event: "maintenance-silent", detail: describeException(error) });
    return null;
  }
}

/** Null if the account's object does not answer: health reports that instead of failing. */
async function accountOf(
  dependencies: Dependencies,
  { accountId, recipients }: { accountId: string; recipients: readonly string[] },
): Promise<AccountHealth | null> {
  try {
    return await dependencies.accountRuns(accountId).health(recipients);
  } catch (error) {
    console.error({ event: "account-silent", detail: describeException(error) });
    return null;
  }
}
