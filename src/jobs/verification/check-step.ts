import type { Verification, VerificationView } from "../../core/backup/verification-view.ts";
import { checkFile, type FileCheck } from "../../core/backup/verification.ts";
import { MANIFEST } from "../../core/bucket/object-keys.ts";
import { failed, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { gone, readStored } from "./stored-file.ts";
import type { VerificationStore } from "./verification-store.ts";

/** Reads and checks one object, and saves what was found. Repeated after a crash, it finds the same. */
export async function verifyNext(
  verification: Verification,
  ordinal: number,
  store: VerificationStore,
  platform: Platform,
): Promise<Result<void>> {
  const check = store.check(ordinal);
  const { backupId, folder, lost } = verification;
  // The end is stored with the last file's verdict.
  if (check === null) throw new Error("a verification under way has nothing left to read");
  const stored = await readStored(folder + check.name, isText(check), platform);
  if (!stored.ok) return stored;
  if (stored.value === null && !lost) {
    // A backup that was deleted meanwhile has no missing files.
    const manifest = await platform.vault.head(folder + MANIFEST);
    if (!manifest.ok) return manifest;
    if (manifest.value === null) return failed(gone(backupId));
  }
  const owner = stored.value === null ? null : store.ownerOf(stored.value.sha256, ordinal);
  const verdict = checkFile(check, stored.value, backupId, owner);
  const now = platform.now();
  const saved = store.record(ordinal, stored.value?.bytes ?? 0, verdict, (last) => {
    const step = { ...verification, next: ordinal + 1, attempt: 0, wakeAt: now };
    return last ? { ...step, state: "complete", finishedAt: now } : step;
  });
  if (saved.state === "complete") tellIfDamaged(store.view(saved));
  return ok(undefined);
}

/** RUN.json and SHA256SUMS have to say something, besides being as they were written. */
function isText({ kind }: FileCheck): boolean {
  return kind === "claim" || kind === "checksums";
}

/** Somebody who watches the Worker's log learns of it too. */
function tellIfDamaged({ id, sound, files }: VerificationView): void {
  if (sound !== false) return;
  const damaged = files.filter((file) => file.sound === false);
  const named = damaged.slice(0, 20).map(({ name, problem }) => `${name}: ${problem?.code ?? ""}`);
  console.error({ event: "backup-damaged", verification: id, files: damaged.length, named });
}
