import { readChecksums } from "../../core/backup/checksums.ts";
import type { Verification, VerificationView } from "../../core/backup/verification-view.ts";
import {
  checkFile,
  checkManifest,
  checksBy,
  checksWithout,
  type FileCheck,
  type ManifestFinding,
  type StoredFile,
} from "../../core/backup/verification.ts";
import { CHECKSUMS, MANIFEST } from "../../core/bucket/object-keys.ts";
import { TEXT_LIMIT } from "../../core/bucket/vault.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { VerificationStore } from "./verification-store.ts";

/** Reads the manifest, and notes what else is to be read. */
export async function planVerification(
  verification: Verification,
  store: VerificationStore,
  platform: Platform,
): Promise<Result<void>> {
  const { codecs, catalog } = platform;
  const { backupId, folder, lost } = verification;
  const stored = await readStored(folder + MANIFEST, true, platform);
  if (!stored.ok) return stored;
  if (stored.value === null && !lost) return failed(gone(backupId));
  // The catalogue is a second opinion, and no more: one that is down, or does not know the backup, says nothing.
  const row = await catalog.backup(backupId);
  const sha256 = row.ok ? (row.value?.manifestSha256 ?? null) : null;
  const finding = stored.value === null ? LOST : checkManifest(stored.value, { backupId, sha256 }, codecs);
  const next = { ...verification, lost: stored.value === null, attempt: 0, wakeAt: platform.now() };
  const manifest = { name: MANIFEST, bytes: stored.value?.bytes ?? 0 };
  switch (finding.kind) {
    case "newer":
      return failed(newerFormat(finding.formatVersion));
    case "sound": {
      const verdict = { sound: true, problem: null };
      store.plan(next, { ...manifest, verdict }, checksBy(finding.manifest, codecs));
      return ok(undefined);
    }
    case "damaged": {
      const sums = await readStored(folder + CHECKSUMS, true, platform);
      if (!sums.ok) return sums;
      const lines = readChecksums(sums.value?.text ?? "", backupId);
      const checks = checksWithout(finding.witness, lines, codecs);
      store.plan(next, { ...manifest, verdict: finding.verdict }, checks);
      return ok(undefined);
    }
  }
}

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
    // A backup that is deleted meanwhile has no missing files: it is none.
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

/** The bytes decide, as they are measured; text is read beside, where there is a meaning to look at. */
async function readStored(
  key: string,
  asText: boolean,
  { vault }: Platform,
): Promise<Result<StoredFile | null>> {
  const measured = await vault.measure(key);
  if (!measured.ok || measured.value === null) return measured.ok ? ok(null) : measured;
  if (!asText || measured.value.bytes > TEXT_LIMIT) return ok({ ...measured.value, text: null });
  const text = await vault.readText(key);
  return text.ok ? ok({ ...measured.value, text: text.value }) : text;
}

/** Without the manifest, the other files of a backup are checked against SHA256SUMS. */
const LOST: ManifestFinding = {
  kind: "damaged",
  verdict: {
    sound: false,
    problem: {
      code: "stored-object-missing",
      detail: "It is not in the bucket, and without it this is no longer a backup.",
      hint: "You can still restore the volumes that match SHA256SUMS, as RESTORE.md says. POST /api/backups/ID/repair rebuilds the manifest. Check whether a lifecycle rule or another tool changes the bucket.",
    },
  },
  witness: null,
};

function gone(backupId: string): Failure {
  return {
    code: "backup-gone",
    detail: `The manifest of ${backupId.slice(0, 200)} has disappeared from the bucket since the verification was requested.`,
    hint: "If nobody deleted this backup meanwhile, check whether a lifecycle rule or another tool deletes from the bucket. Without its manifest, the rest is not a backup.",
    retryable: false,
  };
}

function newerFormat(formatVersion: number): Failure {
  return {
    code: "format-newer",
    detail: `The backup's manifest has formatVersion ${formatVersion}, which this release does not know.`,
    hint: "Update d1-nightly. You can also check the volumes with `sha256sum -c SHA256SUMS`.",
    retryable: false,
  };
}
