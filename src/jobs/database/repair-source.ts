import type { BackupRow } from "../../core/backup/backup-row.ts";
import { readChecksums } from "../../core/backup/checksums.ts";
import type { DamagedPlace } from "../../core/backup/manifest-repair.ts";
import { type Manifest, readSoundManifest } from "../../core/backup/manifest.ts";
import { type Claim, readClaim } from "../../core/bucket/claim.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import { CHECKSUMS, CLAIM, type Compression } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";

/** A volume as it was written; `bytes` is null where only SHA256SUMS tells. */
export interface WantedVolume {
  readonly name: string;
  readonly bytes: number | null;
  readonly sha256: string;
}

/** Of what a manifest can be made anew. */
export type RepairSource =
  /** Its very text, which its database's object keeps. */
  | {
      readonly kind: "text";
      readonly text: string;
      readonly manifest: Manifest;
      readonly volumes: readonly WantedVolume[];
    }
  /** The files of the folder, and the catalogue's row where there is one. */
  | {
      readonly kind: "files";
      readonly claim: Claim;
      readonly row: BackupRow | null;
      readonly compression: Compression;
      readonly encrypted: boolean;
      readonly volumes: readonly WantedVolume[];
    };

/** What is known of the backup; a failure says what would have to be known to make its manifest anew. */
export async function repairSource(
  { backupId, folder, databaseId }: DamagedPlace,
  kept: string | null,
  { vault, catalog, codecs }: Platform,
): Promise<Result<RepairSource>> {
  const [claim, sums, recorded] = await Promise.all([
    vault.readText(folder + CLAIM),
    vault.readText(folder + CHECKSUMS),
    catalog.backup(backupId),
  ]);
  if (!claim.ok) return claim;
  if (!sums.ok) return sums;
  // What the catalogue may know must not be passed over because it is down.
  if (!recorded.ok) return recorded;
  const row = recorded.value?.folder === folder ? recorded.value : null;
  const reading = kept === null ? null : readSoundManifest(kept, backupId, codecs);
  const lost = reading?.kind === "manifest" ? reading.manifest : null;
  const identity =
    identityOf(claim.value, row) ??
    (claim.value === null && lost !== null ? { runId: lost.runId, databaseId: lost.database.id } : null);
  if (identity === null)
    return failed(unproven(backupId, "Neither its RUN.json nor the catalogue tells whose backup it is."));
  if (identity.databaseId !== databaseId || (row !== null && row.runId !== identity.runId))
    return failed(unproven(backupId, "Its RUN.json and the catalogue contradict one another."));
  if (kept !== null && lost !== null && lost.runId === identity.runId) {
    const recordedSha256 = row?.manifestSha256 ?? null;
    if (recordedSha256 === null || recordedSha256 === sha256Of(kept, codecs))
      return ok({ kind: "text", text: kept, manifest: lost, volumes: lost.volumes });
  }
  const lines = readChecksums(sums.value ?? "", backupId);
  if (lines === null)
    return failed(
      unproven(backupId, "Its SHA256SUMS is missing or damaged: nothing tells what its volumes have to be."),
    );
  if (row !== null && row.volumes !== lines.length)
    return failed(
      unproven(
        backupId,
        `SHA256SUMS names ${lines.length} volumes, and the catalogue knows of ${row.volumes}.`,
      ),
    );
  const form = formOf(lines[0]?.name ?? "");
  const volumes = lines.map(({ name, sha256 }) => ({ name, sha256, bytes: null }));
  return ok({ kind: "files", claim: identity, row, ...form, volumes });
}

/** Whose backup it is: by RUN.json, or by the row where there is no such file. */
function identityOf(claim: string | null, row: BackupRow | null): Claim | null {
  if (claim !== null) return readClaim(claim);
  return row === null ? null : { runId: row.runId, databaseId: row.databaseId };
}

/** How a volume of this name is stored. */
function formOf(name: string): { compression: Compression; encrypted: boolean } {
  const compressed = name.replace(/\.age$/, "");
  const compression = compressed.endsWith(".gz") ? "gzip" : compressed.endsWith(".zst") ? "zstd" : "none";
  return { compression, encrypted: compressed !== name };
}

export function unproven(backupId: string, why: string): Failure {
  return {
    code: "manifest-unproven",
    detail: `The manifest of backup ${backupId} cannot be made anew: ${why}`,
    hint: "Nothing was changed. Put what is missing back if a copy exists elsewhere, and ask again; RESTORE.md says how to restore what is left.",
    retryable: false,
  };
}
