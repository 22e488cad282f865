import type { Context } from "hono";
import { readClaim } from "../core/bucket/claim.ts";
import type { FolderState } from "../core/bucket/damaged-backup.ts";
import { CHECKSUMS, CLAIM, RESTORE_GUIDE } from "../core/bucket/object-keys.ts";
import { ok, type Result } from "../core/failure.ts";
import type { ApiEnv } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";

/** What is left of a backup whose manifest was lost. */
export interface Remains {
  readonly folder: string;
  /** Null where neither RUN.json nor the catalogue tells. */
  readonly databaseId: string | null;
  /** Whether any file with a known name is still there. */
  readonly anything: boolean;
  /** Whether the catalogue or the database's object knows the backup; otherwise only its files show what it was. */
  readonly known: boolean;
}

const UNKNOWN: FolderState = "unknown";

/**
 * Whether a folder without a manifest was once a complete backup, judging by its SHA256SUMS or RESTORE.md, by the
 * catalogue (unless it is down), or by its database's object. Null for a run in progress, for a backup that is being
 * deleted, and for anything else.
 */
export async function findRemains(
  context: Context<ApiEnv>,
  id: string,
  folder: string,
): Promise<Result<Remains | null>> {
  const { vault, catalog } = context.get("platform");
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
  const known = recorded !== null || state.value === "committed";
  return ok({ folder, databaseId, anything: finished || claim.value !== null, known });
}

/** The response for a backup without a manifest. */
export async function withoutManifest(
  context: Context<ApiEnv>,
  id: string,
  folder: string,
): Promise<Response> {
  const remains = await findRemains(context, id, folder);
  if (!remains.ok) return failureProblem(remains.failure);
  if (remains.value === null) return noSuchBackup(id);
  return remains.value.anything ? damaged(id, remains.value.known) : nothingLeft(id);
}

/** What nobody knows is not a backup, though its manifest can perhaps be made anew. */
function damaged(id: string, known: boolean): Response {
  const path = `/api/backups/${encodeURIComponent(id)}`;
  return problem({
    title: known ? "The backup is damaged" : "No such backup",
    status: known ? 409 : 404,
    code: known ? "backup-damaged" : "backup-not-found",
    detail: `The manifest of backup ${id.slice(0, 200)} is gone from the bucket.`,
    hint: `POST ${path}/repair makes it anew, as far as that can be proven. POST ${path}/verify shows what is left. d1-nightly does not delete it by itself; DELETE ${path}?damaged=true does.`,
  });
}

function nothingLeft(id: string): Response {
  return problem({
    title: "The backup is gone",
    status: 404,
    code: "backup-not-found",
    detail: `The catalogue lists backup ${id.slice(0, 200)}, but the bucket has none of its files.`,
    hint: `Check whether a lifecycle rule or another tool deletes from the bucket. DELETE /api/backups/${encodeURIComponent(id)}?damaged=true removes the backup from the list.`,
  });
}

/** The response if neither RUN.json nor the catalogue names the database, so that no object can be asked. */
export function databaseUnknown(id: string): Response {
  return problem({
    title: "The backup's database is not known",
    status: 409,
    code: "manifest-unproven",
    detail: `Neither RUN.json in the folder of ${id.slice(0, 200)} nor the catalogue names the database of this backup. Nothing was changed.`,
    hint: "If you have a copy of RUN.json or manifest.json, put it back. Otherwise delete the folder by hand.",
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
