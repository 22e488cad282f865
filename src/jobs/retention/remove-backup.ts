import { isOurs } from "../../core/bucket/folders.ts";
import { CLAIM, MANIFEST, PINNED } from "../../core/bucket/object-keys.ts";
import { listFolder } from "../../core/bucket/vault.ts";
import { ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { Deletion } from "./deletion-store.ts";

/** `pinned` and `altered`: it is not what was decided about any more, and nothing was deleted. */
export type Removal = "removed" | "pinned" | "altered" | "kept";

/**
 * Deletes a backup: its manifest first, so that what is left is none, whatever comes between; the claim last, so that
 * what is left can be told to be ours. What others have put into the folder stays. May run twice. `gone` is called
 * when the manifest is gone, before anything else is deleted.
 */
export async function removeBackup(
  { folder, etag, manifestGone, withdrawn }: Deletion,
  { vault }: Platform,
  gone: () => void,
): Promise<Result<Removal>> {
  const manifest = await vault.head(folder + MANIFEST);
  if (!manifest.ok) return manifest;
  if (manifest.value !== null) {
    if (withdrawn) return ok("kept");
    if (manifestGone || manifest.value.etag !== etag) return ok("altered");
    const pinned = await vault.head(folder + PINNED);
    if (!pinned.ok) return pinned;
    if (pinned.value !== null) return ok("pinned");
    const removed = await vault.remove([folder + MANIFEST]);
    if (!removed.ok) return removed;
  }
  if (!manifestGone) gone();
  const left = await listFolder(folder, vault);
  if (!left.ok) return left;
  const beside = left.value
    .map(({ key }) => key)
    .filter((key) => isOurs(folder, key.slice(folder.length)) && key !== folder + CLAIM);
  for (const keys of [beside, [folder + CLAIM]]) {
    const removed = keys.length === 0 ? ok(undefined) : await vault.remove(keys);
    if (!removed.ok) return removed;
  }
  return ok("removed");
}
