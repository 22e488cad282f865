import type { Context } from "hono";
import { type Manifest, readManifest } from "../core/backup/manifest.ts";
import { sha256Of } from "../core/bucket/codecs.ts";
import { readClaim } from "../core/bucket/claim.ts";
import type { FolderState } from "../core/bucket/damaged-backup.ts";
import { CHECKSUMS, CLAIM, folderOfBackup, MANIFEST, RESTORE_GUIDE } from "../core/bucket/object-keys.ts";
import { ok, type Result } from "../core/failure.ts";
import type { ApiEnv } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";

export interface FoundBackup {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
}

/** Reads the backup's manifest from the bucket: a backup exists if and only if its manifest does. */
export async function findBackup(context: Context<ApiEnv>, id: string): Promise<FoundBackup | Response> {
  const platform = context.get("platform");
  const folder = folderOfBackup(platform.settings.keyPrefix, id);
  const text = folder === null ? null : await platform.vault.readText(folder + MANIFEST);
  if (text !== null && !text.ok) return failureProblem(text.failure);
  if (folder === null || text === null || text.value === null) return withoutManifest(context, id);
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
export async function findFolder(
  context: Context<ApiEnv>,
  id: string,
): Promise<{ folder: string; lost: boolean } | Response> {
  const { settings, vault } = context.get("platform");
  const folder = folderOfBackup(settings.keyPrefix, id);
  const manifest = folder === null ? null : await vault.head(folder + MANIFEST);
  if (manifest !== null && !manifest.ok) return failureProblem(manifest.failure);
  if (folder === null || manifest === null) return noSuchBackup(id);
  if (manifest.value !== null) return { folder, lost: false };
  const remains = await findRemains(context, id);
  if (!remains.ok) return failureProblem(remains.failure);
  return remains.value?.anything === true ? { folder, lost: true } : noSuchBackup(id);
}

/** What is left of a backup whose manifest was lost. */
interface Remains {
  /** Whether any file with a known name is still there. */
  readonly anything: boolean;
}

/**
 * Whether a folder without a manifest was once a complete backup, judging by its SHA256SUMS or RESTORE.md, by the
 * catalogue (unless it is down), or by its database's object. Null for a run in progress, for a backup that is being
 * deleted, and for anything else.
 */
async function findRemains(context: Context<ApiEnv>, id: string): Promise<Result<Remains | null>> {
  const { vault, catalog, settings } = context.get("platform");
  const folder = folderOfBackup(settings.keyPrefix, id);
  if (folder === null) return ok(null);
  const [sums, guide, claim, row] = await Promise.all([
    vault.head(folder + CHECKSUMS),
    vault.head(folder + RESTORE_GUIDE),
    vault.readText(folder + CLAIM),
    catalog.backup(id),
  ]);
  if (!sums.ok) return sums;
  if (!guide.ok) return guide;
  if (!claim.ok) return claim;
  const recorded = row.ok ? row.value : null;
  const finished = sums.value !== null || guide.value !== null;
  const databaseId = recorded?.databaseId ?? readClaim(claim.value)?.databaseId ?? null;
  const state =
    databaseId === null ? ok(UNKNOWN) : await context.env.databaseRuns(databaseId).folderState(folder);
  if (!state.ok) return state;
  if (state.value === "in-use") return ok(null);
  if (!finished && recorded === null && state.value === "unknown") return ok(null);
  return ok({ anything: finished || claim.value !== null });
}

const UNKNOWN: FolderState = "unknown";

async function withoutManifest(context: Context<ApiEnv>, id: string): Promise<Response> {
  const remains = await findRemains(context, id);
  if (!remains.ok) return failureProblem(remains.failure);
  if (remains.value === null) return noSuchBackup(id);
  if (!remains.value.anything) return nothingLeft(id);
  return problem({
    title: "The backup is damaged",
    status: 409,
    code: "backup-damaged",
    detail: `The manifest of backup ${id.slice(0, 200)} is gone from the bucket.`,
    hint: "d1-nightly does not delete it by itself. POST /api/backups/ID/verify shows what is left. If you have a copy of manifest.json, put it back.",
  });
}

function nothingLeft(id: string): Response {
  return problem({
    title: "The backup is gone",
    status: 404,
    code: "backup-not-found",
    detail: `The catalogue lists backup ${id.slice(0, 200)}, but the bucket has none of its files.`,
    hint: "Check whether a lifecycle rule or another tool deletes from the bucket. POST /api/catalog/rebuild removes the backup from the list.",
  });
}

export function noSuchBackup(id: string): Response {
  return problem({
    title: "No such backup",
    status: 404,
    code: "backup-not-found",
    detail: `The bucket has no manifest of a backup ${id.slice(0, 200)}.`,
    hint: "GET /api/backups lists the backups.",
  });
}
