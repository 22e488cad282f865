import { type BucketFolder, groupPage, suspicionOf } from "../../core/bucket/folders.ts";
import { CLAIM, MANIFEST } from "../../core/bucket/object-keys.ts";
import { ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { MaintenanceJob } from "./maintenance-job.ts";
import type { MaintenanceStore, ToRead } from "./maintenance-store.ts";

/** What a step comes to. */
export interface MaintenanceStep {
  /** As it is to be saved. */
  readonly job: MaintenanceJob;
  /** Of those the free plan allows 50 an invocation. */
  readonly calls: number;
  /** What is stored together with the job. */
  readonly changes?: () => void;
}

/** One, and some of the time that an invocation may take. */
const CALLS_A_PAGE = 3;

/** Reads the next page of the bucket's listing, and records what has to be read for the walk's purpose. */
export async function listPage(
  job: MaintenanceJob,
  store: MaintenanceStore,
  platform: Platform,
): Promise<Result<MaintenanceStep>> {
  const { vault, settings } = platform;
  const { keyPrefix } = settings;
  const listed = await vault.list(keyPrefix, { folders: false, cursor: job.cursor });
  if (!listed.ok) return listed;
  const { objects, cursor } = listed.value;
  const last = cursor === null;
  const { complete, open, records } = groupPage(keyPrefix, job.open, objects, last);
  const rebuilds = job.kind === "rebuild";
  const now = platform.now();
  const suspects = rebuilds ? [] : complete.filter((folder) => suspicionOf(keyPrefix, folder, now) !== null);
  const backups = complete.filter(({ manifest }) => manifest !== null);
  const next: MaintenanceJob = {
    ...job,
    // Most pages of a search hold nothing that would have to be read.
    step: rebuilds || suspects.length > 0 ? "reading" : "comparing",
    attempt: 0,
    cursor,
    open,
    listed: last,
    objects: job.objects + objects.length,
    // Everything before the listing's end is complete, except the folder that it may continue.
    compareUntil: last ? null : (open?.folder ?? objects.at(-1)?.key ?? job.comparedTo),
  };
  const changes = (): void => {
    if (job.cursor === null) store.beginWalk();
    for (const { folder } of backups) store.addBackupFolder(folder);
    for (const folder of suspects) {
      store.search.addCandidate(folder);
      if (folder.claim !== null) store.addToRead(fileOf(folder, CLAIM, folder.claim));
    }
    if (!rebuilds) return;
    for (const folder of backups) store.addToRead(fileOf(folder, MANIFEST, folder.manifest ?? 0));
    for (const { key, databaseId } of records)
      store.addToRead({ key, bytes: 0, folder: null, record: databaseId, pinned: false });
  };
  return ok({ job: next, calls: CALLS_A_PAGE, changes });
}

function fileOf({ folder, pinned }: BucketFolder, name: string, bytes: number): ToRead {
  return { key: folder + name, bytes, folder, record: null, pinned };
}
