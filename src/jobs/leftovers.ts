import { backoffMs } from "../core/backoff.ts";
import type { Platform } from "../core/ports.ts";
import type { Leftover, RunStore } from "./run-store.ts";

/** After this many tries a leftover stays where it is, recognisable by its RUN.json and the missing manifest. */
const TRIES = 20;

/** Deletes what failed runs left in the bucket. May run twice. */
export async function removeLeftovers(store: RunStore, platform: Platform): Promise<void> {
  const now = platform.now();
  const kept: Leftover[] = [];
  const before = store.leftovers;
  if (before.every((leftover) => leftover.dueAt > now)) return;
  for (const leftover of before) {
    if (leftover.dueAt > now) {
      kept.push(leftover);
      continue;
    }
    const { upload } = leftover;
    const aborted = upload === null || (await platform.vault.abortUpload(upload.key, upload.uploadId)).ok;
    const removed = (await platform.vault.remove(leftover.keys)).ok;
    if (aborted && removed) continue;
    const dueAt = now + backoffMs(leftover.attempt, platform.random(), 10_000, 3_600_000);
    if (leftover.attempt + 1 < TRIES) kept.push({ ...leftover, attempt: leftover.attempt + 1, dueAt });
  }
  store.leftovers = kept;
}
