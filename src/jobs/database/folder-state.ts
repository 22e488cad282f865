import type { FolderState } from "../../core/bucket/damaged-backup.ts";
import type { Platform } from "../../core/platform.ts";
import { copyOf, isOver } from "../../core/run/run.ts";
import { idOfFolder } from "../retention/backup-store.ts";
import type { DatabaseRetention } from "../retention/database-retention.ts";
import { folderOfRun } from "../run/step.ts";
import type { RunStore } from "./run-store.ts";

/**
 * What a database's object knows about a folder without a manifest: `in-use` while its run works there or while it
 * deletes the files there, `committed` if it knows of a backup there that it has not deleted.
 */
export function folderState(
  folder: string,
  store: RunStore,
  retention: DatabaseRetention,
  platform: Platform,
): FolderState {
  const backupId = idOfFolder(folder);
  const run = store.run(platform.now());
  const copy = run === null || isOver(run) ? null : copyOf(run);
  const working = run !== null && copy !== null && folderOfRun(run, copy, platform) === folder;
  const left = store.leftovers.some((leftover) => leftover.folder === folder);
  if (working || left || retention.isDeleting(folder)) return "in-use";
  const committed =
    store.last?.backupId === backupId ||
    store.keptManifests.textOf(folder) !== null ||
    store.catalogRows.backups[backupId]?.folder === folder ||
    retention.backups.hasRead(folder);
  return committed ? "committed" : "unknown";
}
