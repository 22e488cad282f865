import { z } from "zod";
import { DEFAULT_POLICY, recordKey } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { storedDefaultPolicySchema, storedPolicySchema } from "../../core/policy/policy.ts";
import type { AccountSchedule } from "./account-schedule.ts";
import type { DatabaseRegistry } from "./database-registry.ts";

const policyCopySchema = z.object({
  databaseId: z.string(),
  databaseName: z.string(),
  policy: storedPolicySchema,
  unchanged: z.object({ backupId: z.string(), checkedAt: z.iso.datetime() }).nullable().catch(null),
});
const defaultPolicyCopySchema = z.object({ policy: storedDefaultPolicySchema });

/**
 * What the bucket remembers of policies. An account's object that is new, on a bucket that is not, must not act by
 * defaults that somebody has replaced long ago, nor write them over what lies there: so each policy is loaded, once,
 * before it is used or written for the first time.
 */
export class PolicyCopies {
  readonly #kv: SyncKvStorage;
  readonly #registry: DatabaseRegistry;

  constructor(storage: DurableObjectStorage, registry: DatabaseRegistry) {
    this.#kv = storage.kv;
    this.#registry = registry;
  }

  /** The policy of all databases. */
  async loadDefault(schedule: AccountSchedule, platform: Platform): Promise<Result<void>> {
    if (this.#kv.get("policy-loaded") === true) return ok(undefined);
    const stored = await copy(DEFAULT_POLICY, defaultPolicyCopySchema, platform);
    if (!stored.ok) return stored;
    // Somebody may have set one while we read.
    if (this.#kv.get("policy-loaded") === true) return ok(undefined);
    if (stored.value !== null) schedule.restoreDefault(stored.value.policy, platform.now());
    this.#kv.put("policy-loaded", true);
    return ok(undefined);
  }

  /** The policy of one database, and that of all before it. */
  async load(databaseId: string, schedule: AccountSchedule, platform: Platform): Promise<Result<void>> {
    const shared = await this.loadDefault(schedule, platform);
    if (!shared.ok || this.#registry.get(databaseId)?.loaded === true) return shared;
    const stored = await copy(databaseId, policyCopySchema, platform);
    if (!stored.ok) return stored;
    if (stored.value !== null) schedule.restore({ ...stored.value, databaseId }, platform.now());
    this.#registry.change(databaseId, { loaded: true });
    return ok(undefined);
  }
}

async function copy<T>(
  of: string,
  schema: z.ZodType<T>,
  { vault, settings }: Platform,
): Promise<Result<T | null>> {
  const key = recordKey(settings.keyPrefix, of);
  const text = await vault.readText(key);
  if (!text.ok) return text;
  if (text.value === null) return ok(null);
  try {
    const stored = schema.safeParse(JSON.parse(text.value));
    return stored.success ? ok(stored.data) : failed(unreadable(key));
  } catch {
    return failed(unreadable(key));
  }
}

function unreadable(key: string): Failure {
  return {
    code: "policy-unreadable",
    detail: `${key} in the bucket holds a policy that cannot be read.`,
    hint: "Nothing is deleted or started by its schedule until then. Set the policy anew (PUT), which writes it, or delete that object.",
    retryable: true,
  };
}
