import { backoffMs } from "../../core/backoff.ts";
import { startOfFolder, volumesAmong } from "../../core/bucket/folders.ts";
import {
  CHECKSUMS,
  CLAIM,
  MANIFEST,
  NOT_EXPORTED,
  PINNED,
  RESTORE_GUIDE,
} from "../../core/bucket/object-keys.ts";
import type { Notice } from "../../core/catalog/database-row.ts";
import { ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { copyOf, isOver } from "../../core/run/run.ts";
import { folderOfRun } from "../run/step.ts";
import type { Leftover, RunStore } from "./run-store.ts";

/**
 * Makes sure that the files that a run of this database left in a folder are deleted, unless the active run works there.
 * Deletes only files that a run writes; others stay. May be called twice.
 */
export function collectFolder(
  store: RunStore,
  platform: Platform,
  { folder, runId, names }: { folder: string; runId: string; names: readonly string[] },
): "collected" | "in-use" {
  const now = platform.now();
  // Somebody who asks for something else has not looked.
  if (startOfFolder(platform.settings.keyPrefix, folder) === null) return "in-use";
  const run = store.run(now);
  if (run !== null && !isOver(run)) {
    const copy = copyOf(run);
    if (run.id === runId || (copy !== null && folderOfRun(run, copy, platform) === folder)) return "in-use";
  }
  const known = store.leftovers.find((leftover) => leftover.folder === folder);
  const leftover: Leftover = {
    folder,
    volumes: [...new Set([...(known?.volumes ?? []), ...volumesAmong(folder, names)])],
    upload: known?.upload ?? null,
    attempt: 0,
    dueAt: now,
    problem: null,
  };
  store.leftovers = [...store.leftovers.filter((other) => other.folder !== folder), leftover];
  return "collected";
}

/** After so many tries in a row a failure is no longer a passing one, and health reports it. */
const TOLD_AFTER = 3;

/** A lock rule ends on some day. */
const LOCKED_AGAIN_MS = 24 * 60 * 60_000;

/** The active run may work in the same folder, if it started in the same second as the run that left it. */
const IN_USE_MS = 60_000;

/** Deletes what failed runs left in the bucket. May run twice. */
export async function removeLeftovers(store: RunStore, platform: Platform): Promise<void> {
  const now = platform.now();
  const kept: Leftover[] = [];
  const before = store.leftovers;
  if (before.every((leftover) => leftover.dueAt > now)) return;
  const run = store.run(now);
  const copy = run === null || isOver(run) ? null : copyOf(run);
  const inUse = run === null || copy === null ? null : folderOfRun(run, copy, platform);
  for (const leftover of before) {
    if (leftover.dueAt > now) {
      kept.push(leftover);
      continue;
    }
    if (leftover.folder === inUse) {
      kept.push({ ...leftover, dueAt: now + IN_USE_MS });
      continue;
    }
    const removed = await removeLeftover(leftover, platform);
    if (removed.ok) continue;
    const { code, detail } = removed.failure;
    const delay =
      code === "stored-object-locked"
        ? LOCKED_AGAIN_MS
        : backoffMs(leftover.attempt, platform.random(), 10_000, 3_600_000);
    kept.push({ ...leftover, attempt: leftover.attempt + 1, dueAt: now + delay, problem: detail });
  }
  // Keep what was added while we waited.
  const added = store.leftovers.filter(({ folder }) => !before.some((other) => other.folder === folder));
  store.leftovers = [...kept, ...added];
}

/** Deletes what is left; nothing, when the folder turns out to be a backup. */
async function removeLeftover(
  { folder, volumes, upload }: Leftover,
  { vault }: Platform,
): Promise<Result<void>> {
  const aborted = upload === null ? ok(undefined) : await vault.abortUpload(upload.key, upload.uploadId);
  if (!aborted.ok) return aborted;
  // A folder with a manifest is a backup, even if its run never learned that: nothing is deleted then.
  const manifest = await vault.head(folder + MANIFEST);
  if (!manifest.ok) return manifest;
  if (manifest.value !== null) return ok(undefined);
  const beside = [CHECKSUMS, RESTORE_GUIDE, NOT_EXPORTED, PINNED];
  const removed = await vault.remove([...volumes, ...beside].map((name) => folder + name));
  // The claim is deleted last, so that the remaining files can be recognized as ours.
  return removed.ok ? vault.remove([folder + CLAIM]) : removed;
}

/** For health: what a failed or cancelled run left behind, and the bucket does not delete. It is tried again and again. */
export function leftoverNotices(leftovers: readonly Leftover[]): Notice[] {
  const failing = leftovers.filter(({ attempt, problem }) => problem !== null && attempt >= TOLD_AFTER);
  const [first] = failing;
  if (first === undefined) return [];
  const more = failing.length === 1 ? "" : ` and ${failing.length - 1} more`;
  const detail = `What a run left in ${first.folder}${more} could not be deleted: ${first.problem ?? ""}`;
  return [{ kind: "leftovers-failing", detail }];
}
