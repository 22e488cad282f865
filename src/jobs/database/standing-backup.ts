import type { CommittedBackup } from "../../core/backup/committed-backup.ts";
import { type Manifest, readManifest } from "../../core/backup/manifest.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import { folderOfBackup, MANIFEST } from "../../core/bucket/object-keys.ts";
import { ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";

/** The last backup's manifest, if it is unchanged in the bucket and its oldest volume exists. */
export async function standingBackup(
  last: Pick<CommittedBackup, "backupId" | "manifestSha256"> | null,
  platform: Platform,
): Promise<Result<Manifest | null>> {
  const folder = last === null ? null : folderOfBackup(platform.settings.keyPrefix, last.backupId);
  if (last === null || folder === null) return ok(null);
  const text = await platform.vault.readText(folder + MANIFEST);
  if (!text.ok) return text;
  if (text.value === null || sha256Of(text.value, platform.codecs) !== last.manifestSha256) return ok(null);
  const reading = readManifest(text.value);
  const [first] = reading.kind === "manifest" ? reading.manifest.volumes : [];
  if (reading.kind !== "manifest" || first === undefined) return ok(null);
  // A lifecycle rule that deletes by age deletes the volumes before the manifest.
  const stored = await platform.vault.head(folder + first.name);
  if (!stored.ok) return stored;
  return ok(stored.value?.bytes === first.bytes ? reading.manifest : null);
}
