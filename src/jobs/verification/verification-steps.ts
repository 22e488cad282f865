import type { StoredFile } from "../../core/backup/verification.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";

/** Larger than the manifest of 10,000 volumes: what is longer is none of ours, and is not held in memory. */
const TEXT_LIMIT = 16 * 1024 * 1024;

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

export function gone(backupId: string): Failure {
  return {
    code: "backup-gone",
    detail: `The manifest of ${backupId.slice(0, 200)} was there when the verification was asked for, and is in the bucket no more.`,
    hint: "If nobody deleted this backup meanwhile: does a lifecycle rule or another tool delete from the bucket? What is left has no manifest, and is no backup.",
    retryable: false,
  };
}

export function newerFormat(formatVersion: number): Failure {
  return {
    code: "format-newer",
    detail: `The backup's manifest has formatVersion ${formatVersion}, which this release does not know.`,
    hint: "Update d1-nightly; without it, `sha256sum -c SHA256SUMS` checks the volumes.",
    retryable: false,
  };
}
