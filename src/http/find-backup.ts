import type { Context } from "hono";
import { type Manifest, readManifest } from "../core/backup/manifest.ts";
import { sha256Of } from "../core/bucket/codecs.ts";
import { MANIFEST } from "../core/bucket/object-keys.ts";
import type { ApiEnv } from "./dependencies.ts";
import { findRemains, noSuchBackup, withoutManifest } from "./find-damaged.ts";
import { placeOf } from "./place-of-backup.ts";
import { failureProblem, problem } from "./problem.ts";

export interface FoundBackup {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
}

export type FoundFolder =
  | { readonly folder: string; readonly lost: false }
  /** `databaseId` is null where neither RUN.json nor the catalogue tells. */
  | { readonly folder: string; readonly lost: true; readonly databaseId: string | null };

/** Reads the backup's manifest from the bucket: a backup exists if and only if its manifest does. */
export async function findBackup(context: Context<ApiEnv>, id: string): Promise<FoundBackup | Response> {
  const platform = context.get("platform");
  const place = await placeOf(platform, id);
  if (!place.ok) return failureProblem(place.failure);
  if (place.value === null) return noSuchBackup(id);
  const { folder } = place.value;
  const text = await platform.vault.readText(folder + MANIFEST);
  if (!text.ok) return failureProblem(text.failure);
  if (text.value === null) return withoutManifest(context, id, folder);
  const reading = readManifest(text.value);
  if (reading.kind === "manifest") {
    const manifestSha256 = sha256Of(text.value, platform.codecs);
    return { folder, manifest: reading.manifest, manifestSha256 };
  }
  const newer = reading.kind === "newer";
  return problem({
    title: newer ? "The backup has a newer format" : "The manifest cannot be read",
    status: newer ? 409 : 500,
    code: newer ? "format-newer" : "manifest-invalid",
    detail: newer
      ? `Its manifest has formatVersion ${reading.formatVersion}, which this release does not know.`
      : `${folder}${MANIFEST}: ${reading.problem}.`,
    hint: newer
      ? "Update d1-nightly. RESTORE.md in the same folder restores the backup without d1-nightly."
      : "This does not affect the volumes in the same folder: RESTORE.md there says how to read them.",
  });
}

/** The folder of a backup, even of one whose manifest is lost (`lost`); otherwise the response to send. */
export async function findFolder(context: Context<ApiEnv>, id: string): Promise<FoundFolder | Response> {
  const place = await placeOf(context.get("platform"), id);
  if (!place.ok) return failureProblem(place.failure);
  if (place.value === null) return noSuchBackup(id);
  const { folder, standing } = place.value;
  if (standing) return { folder, lost: false };
  const remains = await findRemains(context, id, folder);
  if (!remains.ok) return failureProblem(remains.failure);
  if (remains.value?.anything !== true) return noSuchBackup(id);
  return { folder, lost: true, databaseId: remains.value.databaseId };
}
