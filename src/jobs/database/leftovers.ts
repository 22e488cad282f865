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
import type { Platform } from "../../core/platform.ts";
import { copyOf, isOver } from "../../core/run/run.ts";
import { folderOfRun } from "../run/step.ts";
import type { Leftover, RunStore } from "./run-store.ts";

/**
 * Sees to it that what a run of this database left in a folder is deleted, unless the run under way works there. Only
 * files that a run writes: others that lie there stay. May be asked twice.
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
  };
  store.leftovers = [...store.leftovers.filter((other) => other.folder !== folder), leftover];
  return "collected";
}

/** After this many tries a leftover stays until it is found as an orphan, by its RUN.json and the missing manifest. */
const TRIES = 20;

/** A run under way may have come to work in the very folder, within one second of the run that left it. */
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
    if (await removed(leftover, platform)) continue;
    const dueAt = now + backoffMs(leftover.attempt, platform.random(), 10_000, 3_600_000);
    if (leftover.attempt + 1 < TRIES) kept.push({ ...leftover, attempt: leftover.attempt + 1, dueAt });
  }
  // What was added while we waited stays.
  const added = store.leftovers.filter(({ folder }) => !before.some((other) => other.folder === folder));
  store.leftovers = [...kept, ...added];
}

/** True when nothing of it is left, or when it turns out to be a backup. */
async function removed({ folder, volumes, upload }: Leftover, { vault }: Platform): Promise<boolean> {
  if (upload !== null && !(await vault.abortUpload(upload.key, upload.uploadId)).ok) return false;
  // With its manifest a folder is a backup, whatever the run that wrote it came to know: nothing is deleted then.
  const manifest = await vault.head(folder + MANIFEST);
  if (!manifest.ok) return false;
  if (manifest.value !== null) return true;
  const beside = [CHECKSUMS, RESTORE_GUIDE, NOT_EXPORTED, PINNED];
  if (!(await vault.remove([...volumes, ...beside].map((name) => folder + name))).ok) return false;
  // The claim goes last: as long as anything of ours lies there, it can be told to be ours.
  return (await vault.remove([folder + CLAIM])).ok;
}
