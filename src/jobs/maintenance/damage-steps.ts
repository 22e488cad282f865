import { type BucketFolder, groupPage } from "../../core/bucket/folders.ts";
import { MANIFEST, prefixOfFolder } from "../../core/bucket/object-keys.ts";
import { listFolder } from "../../core/bucket/vault.ts";
import type { PlacedBackup } from "../../core/catalog/catalog-repair.ts";
import { ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { idOfFolder } from "../retention/backup-store.ts";
import type { MaintenanceStep } from "./bucket-walk.ts";
import type { MaintenanceJob } from "./maintenance-job.ts";
import type { MaintenanceStore } from "./maintenance-store.ts";
import { askDatabase, type FolderCollector } from "./orphan-steps.ts";

const ROWS_COMPARED = 500;

/** So many folders are looked at in one step, with two calls each. */
const LOOKS = 5;

/** Behind every key that begins with a prefix. */
const LAST = "\u{10ffff}";

/**
 * Compares the catalogue's rows with the part of the bucket that the listing has gone past. A folder of theirs that
 * holds no manifest, asked once more, is a damaged backup, or one that is just being deleted.
 */
export async function findLostManifests(
  job: MaintenanceJob,
  store: MaintenanceStore,
  platform: Platform,
): Promise<Result<MaintenanceStep>> {
  const { keyPrefix } = platform.settings;
  // Below another prefix nobody has looked.
  const from = job.comparedTo === "" ? keyPrefix : job.comparedTo;
  const until = job.compareUntil ?? keyPrefix + LAST;
  const rows = await platform.repair.backupsByFolder(from, until, ROWS_COMPARED);
  if (!rows.ok) return rows;
  const lost: { row: PlacedBackup; left: BucketFolder | null }[] = [];
  let calls = 1;
  let comparedTo = from;
  let finished = rows.value.length < ROWS_COMPARED;
  for (const row of rows.value) {
    if (!store.holdsBackup(row.folder)) {
      if (calls > 2 * LOOKS) {
        finished = false;
        break;
      }
      const left = await lookAt(row.folder, platform);
      if (!left.ok) return left;
      calls += 2;
      if (left.value !== "backup") lost.push({ row, left: left.value });
    }
    comparedTo = `${row.folder}\u0000`;
  }
  const changes = (): void => {
    for (const { row, left } of lost) store.search.addRecorded(row, left);
    if (finished) store.endPage();
  };
  if (!finished) return ok({ job: { ...job, attempt: 0, comparedTo }, calls, changes });
  const step = job.listed ? "asking" : "listing";
  return ok({
    job: { ...job, step, attempt: 0, comparedTo: job.compareUntil ?? comparedTo },
    calls,
    changes,
  });
}

/** The files in a folder; null if there are none. */
export async function lookAt(
  folder: string,
  { vault }: Pick<Platform, "vault">,
): Promise<Result<BucketFolder | "backup" | null>> {
  const manifest = await vault.head(folder + MANIFEST);
  if (!manifest.ok) return manifest;
  if (manifest.value !== null) return ok("backup");
  const listed = await listFolder(folder, vault);
  if (!listed.ok) return listed;
  return ok(groupPage(prefixOfFolder(folder), null, listed.value, true).complete[0] ?? null);
}

/**
 * Asks the next candidate's database what it knows of the folder; after the last one, the lists are complete. Then looks
 * once more: since the walk has passed it, the manifest may be back, or a deletion may have come to its end.
 */
export async function askNext(
  job: MaintenanceJob,
  store: MaintenanceStore,
  { vault, catalog }: Platform,
  database: (id: string) => FolderCollector,
): Promise<Result<MaintenanceStep>> {
  const next = store.search.nextUnasked();
  if (next === null) {
    const step = job.kind === "daily" ? "collecting" : "done";
    const changes = (): void => {
      const found = store.search.listFindings(job.startedAt);
      // Somebody who watches the Worker's log learns of it too.
      if (found.length > 0)
        console.error({ event: "backups-damaged", count: found.length, backups: found.slice(0, 20) });
    };
    return ok({ job: { ...job, step, attempt: 0 }, calls: 0, changes });
  }
  const { folder, databaseId } = next;
  const state = await askDatabase(databaseId, () => database(databaseId).folderState(folder));
  if (!state.ok) return state;
  const manifest = await vault.head(folder + MANIFEST);
  if (!manifest.ok) return manifest;
  const row = await catalog.backup(idOfFolder(folder));
  if (!row.ok) return row;
  const changes = (): void => {
    if (manifest.value === null) store.search.answered(folder, state.value, row.value?.folder === folder);
    else store.search.forget(folder);
  };
  return ok({ job: { ...job, attempt: 0 }, calls: 3, changes });
}
