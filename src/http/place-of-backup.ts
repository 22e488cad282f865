import { folderOfBackup, MANIFEST, prefixOfFolder } from "../core/bucket/object-keys.ts";
import { ok, type Result } from "../core/failure.ts";
import type { Platform } from "../core/platform.ts";

/** The folder that is a backup's, and whether a manifest stands in it. */
export interface Place {
  readonly folder: string;
  readonly standing: boolean;
}

/**
 * Where a backup lies: below KEY_PREFIX, or in the folder that its row in the catalogue names, when it was made below
 * another prefix. Null for what cannot be one of our ids.
 */
export async function placeOf(
  { settings, vault, catalog }: Platform,
  id: string,
): Promise<Result<Place | null>> {
  const folder = folderOfBackup(settings.keyPrefix, id);
  if (folder === null) return ok(null);
  const manifest = await vault.head(folder + MANIFEST);
  if (!manifest.ok) return manifest;
  if (manifest.value !== null) return ok({ folder, standing: true });
  const row = await catalog.backup(id);
  const elsewhere = row.ok ? (row.value?.folder ?? folder) : folder;
  // No row may lead to a folder that is not the backup's own.
  if (elsewhere === folder || folderOfBackup(prefixOfFolder(elsewhere), id) !== elsewhere)
    return ok({ folder, standing: false });
  const moved = await vault.head(elsewhere + MANIFEST);
  return moved.ok ? ok({ folder: elsewhere, standing: moved.value !== null }) : moved;
}
