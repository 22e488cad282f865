import { type Manifest, readManifest } from "../core/backup/manifest.ts";
import { sha256Of } from "../core/bucket/codecs.ts";
import { folderOfBackup, MANIFEST } from "../core/bucket/object-keys.ts";
import type { Platform } from "../core/platform.ts";
import { failureProblem, problem } from "./problem.ts";

export interface FoundBackup {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
}

/** A backup exists if and only if its manifest does: so that is what is read, from the bucket. */
export async function findBackup(platform: Platform, id: string): Promise<FoundBackup | Response> {
  const folder = folderOfBackup(platform.settings.keyPrefix, id);
  const text = folder === null ? null : await platform.vault.readText(folder + MANIFEST);
  if (text !== null && !text.ok) return failureProblem(text.failure);
  if (folder === null || text === null || text.value === null) return noSuchBackup(id);
  const reading = readManifest(text.value);
  if (reading.kind === "manifest") {
    const manifestSha256 = sha256Of(text.value, platform.codecs);
    return { folder, manifest: reading.manifest, manifestSha256 };
  }
  const newer = reading.kind === "newer";
  return problem({
    title: newer ? "The backup is of a newer format" : "The manifest cannot be read",
    status: newer ? 409 : 500,
    code: newer ? "format-newer" : "manifest-invalid",
    detail: newer
      ? `Its manifest has formatVersion ${reading.formatVersion}, which this release does not know.`
      : `${folder}${MANIFEST}: ${reading.problem}.`,
    hint: newer
      ? "Update d1-nightly; RESTORE.md beside the manifest restores it without."
      : "The volumes beside it are untouched; RESTORE.md there says how to read them.",
  });
}

/** The folder of a backup whose manifest is there, in whatever state; else the answer to give. */
export async function findFolder({ settings, vault }: Platform, id: string): Promise<string | Response> {
  const folder = folderOfBackup(settings.keyPrefix, id);
  const manifest = folder === null ? null : await vault.head(folder + MANIFEST);
  if (manifest !== null && !manifest.ok) return failureProblem(manifest.failure);
  return folder === null || manifest === null || manifest.value === null ? noSuchBackup(id) : folder;
}

export function noSuchBackup(id: string): Response {
  return problem({
    title: "No such backup",
    status: 404,
    code: "backup-not-found",
    detail: `The bucket holds no manifest of a backup ${id.slice(0, 200)}.`,
    hint: "GET /api/backups lists them.",
  });
}
