import type { StoredFile } from "../../core/backup/verification.ts";
import { TEXT_LIMIT } from "../../core/bucket/vault.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";

/** The bytes decide, as they are measured; text is read beside, where there is a meaning to look at. */
export async function readStored(
  key: string,
  asText: boolean,
  { vault }: Platform,
): Promise<Result<StoredFile | null>> {
  const measured = await vault.measure(key);
  if (!measured.ok || measured.value === null) return measured.ok ? ok(null) : measured;
  if (!asText || measured.value.bytes > TEXT_LIMIT) return ok({ ...measured.value, text: null });
  const text = await vault.readText(key);
  return text.ok ? ok({ ...measured.value, text: text.value }) : text;
}

/** The manifest is gone from the bucket. */
export function gone(backupId: string): Failure {
  return {
    code: "backup-gone",
    detail: `The manifest of ${backupId.slice(0, 200)} has disappeared from the bucket since the verification was requested.`,
    hint: "If nobody deleted this backup meanwhile, check whether a lifecycle rule or another tool deletes from the bucket. Without its manifest, the rest is not a backup.",
    retryable: false,
  };
}
