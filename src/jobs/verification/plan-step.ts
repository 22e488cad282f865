import { readChecksums } from "../../core/backup/checksums.ts";
import type { Verification } from "../../core/backup/verification-view.ts";
import {
  checkManifest,
  checksBy,
  checksWithout,
  type ManifestFinding,
} from "../../core/backup/verification.ts";
import { CHECKSUMS, MANIFEST } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { gone, readStored } from "./stored-file.ts";
import type { VerificationStore } from "./verification-store.ts";

/** Reads the manifest, and records what else has to be read. */
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
  // The catalogue is only a second opinion: if it is down, or does not know the backup, it is ignored.
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

function newerFormat(formatVersion: number): Failure {
  return {
    code: "format-newer",
    detail: `The backup's manifest has formatVersion ${formatVersion}, which this release does not know.`,
    hint: "Update d1-nightly. You can also check the volumes with `sha256sum -c SHA256SUMS`.",
    retryable: false,
  };
}
