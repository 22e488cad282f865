import { DEFAULT_POLICY, recordKey } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import {
  type DefaultPolicyCopy,
  type PolicyCopy,
  readDefaultPolicyCopy,
  readPolicyCopy,
} from "../../core/policy/policy-copy.ts";
import type { AccountSchedule } from "./account-schedule.ts";
import type { DatabaseRegistry } from "./database-registry.ts";

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
    const stored = await storedDefaultCopy(platform);
    if (!stored.ok) return stored;
    // Somebody may have set one while we read.
    if (this.#kv.get("policy-loaded") === true) return ok(undefined);
    if (stored.value !== null) schedule.restoreDefault(stored.value, platform.now());
    this.#kv.put("policy-loaded", true);
    return ok(undefined);
  }

  /** The policy of one database, and that of all before it. */
  async load(databaseId: string, schedule: AccountSchedule, platform: Platform): Promise<Result<void>> {
    const shared = await this.loadDefault(schedule, platform);
    if (!shared.ok || this.#registry.get(databaseId)?.loaded === true) return shared;
    const stored = await storedCopyOf(databaseId, platform);
    if (!stored.ok) return stored;
    if (stored.value !== null) schedule.restore(stored.value, platform.now());
    this.#registry.change(databaseId, { loaded: true });
    return ok(undefined);
  }
}

/** What the bucket remembers of the policy of all databases; null when it remembers nothing. */
export function storedDefaultCopy(platform: Platform): Promise<Result<DefaultPolicyCopy | null>> {
  return storedCopy(DEFAULT_POLICY, readDefaultPolicyCopy, platform);
}

/** What the bucket remembers of a database's policy; null when it remembers nothing. */
export function storedCopyOf(databaseId: string, platform: Platform): Promise<Result<PolicyCopy | null>> {
  return storedCopy(databaseId, (text) => readPolicyCopy(databaseId, text), platform);
}

async function storedCopy<T>(
  of: string,
  read: (text: string) => T | string,
  { vault, settings }: Platform,
): Promise<Result<T | null>> {
  const key = recordKey(settings.keyPrefix, of);
  const text = await vault.readText(key);
  if (!text.ok || text.value === null) return text.ok ? ok(null) : text;
  const copy = read(text.value);
  return typeof copy === "string" ? failed(unreadable(key, copy)) : ok(copy);
}

function unreadable(key: string, problem: string): Failure {
  return {
    code: "policy-unreadable",
    detail: `The policy in ${key} in the bucket cannot be read: ${problem}.`,
    hint: "Set the policy again (PUT), which overwrites that object, or delete the object. Until then, retention deletes nothing and the schedule starts nothing.",
    retryable: true,
  };
}
