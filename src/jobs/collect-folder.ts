import { startOfFolder, volumesAmong } from "../core/bucket-folders.ts";
import type { Platform } from "../core/ports.ts";
import { copyOf, isOver } from "../core/run.ts";
import type { Leftover, RunStore } from "./run-store.ts";
import { folderOfRun } from "./step.ts";

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
