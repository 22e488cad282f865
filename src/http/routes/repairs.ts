import { Hono } from "hono";
import { z } from "zod";
import { readClaim } from "../../core/bucket/claim.ts";
import { CLAIM } from "../../core/bucket/object-keys.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { ApiEnv } from "../dependencies.ts";
import { findFolder } from "../find-backup.ts";
import { databaseUnknown } from "../find-damaged.ts";
import { placeOf } from "../place-of-backup.ts";
import { failureProblem, problem } from "../problem.ts";
import { readBody } from "../requests.ts";

const nothing = z.strictObject({});

/** Lost manifests, made anew. */
export const repairs = new Hono<ApiEnv>()
  .post("/backups/:id/repair", async (context) => {
    const body = await readBody(context, nothing);
    if (!body.ok) return body.response;
    const id = context.req.param("id");
    const place = await findFolder(context, id);
    if (place instanceof Response) return place;
    if (!place.lost) return nothingLost(id);
    const { folder, databaseId } = place;
    if (databaseId === null) return databaseUnknown(id);
    const answer = await context.env
      .databaseRuns(databaseId)
      .repairManifest({ backupId: id, folder, databaseId });
    if (!answer.ok) return refused(answer.failure);
    const { kind, repair } = answer.value;
    if (kind !== "busy") return context.json({ repair }, 202, { Location: locationOf(id) });
    return problem({
      title: "Another backup is being repaired",
      status: 409,
      code: "repair-under-way",
      detail: `The manifest of ${repair.backupId}, of the same database, is being made anew.`,
      hint: `Follow it at ${locationOf(repair.backupId)}, and ask again when it is over.`,
      repair,
    });
  })
  .get("/backups/:id/repair", async (context) => {
    const id = context.req.param("id");
    const databaseId = await databaseOf(context.get("platform"), id);
    if (!databaseId.ok) return failureProblem(databaseId.failure);
    const repair =
      databaseId.value === null ? null : await context.env.databaseRuns(databaseId.value).manifestRepair(id);
    if (repair !== null) return context.json({ repair });
    return problem({
      title: "No such repair",
      status: 404,
      code: "repair-not-found",
      detail: `No manifest of backup ${id.slice(0, 200)} was made anew lately; of each database the latest repair is kept.`,
      hint: "POST to the same address begins one, where a manifest was lost.",
    });
  });

/** Whose backup it is: by its RUN.json, else by the catalogue. */
async function databaseOf(platform: Platform, id: string): Promise<Result<string | null>> {
  const { vault, catalog } = platform;
  const place = await placeOf(platform, id);
  if (!place.ok || place.value === null) return place.ok ? ok(null) : place;
  const claim = await vault.readText(place.value.folder + CLAIM);
  if (!claim.ok) return claim;
  const claimed = readClaim(claim.value)?.databaseId ?? null;
  if (claimed !== null) return ok(claimed);
  const row = await catalog.backup(id);
  return row.ok ? ok(row.value?.databaseId ?? null) : row;
}

function locationOf(id: string): string {
  return `/api/backups/${encodeURIComponent(id)}/repair`;
}

function nothingLost(id: string): Response {
  return problem({
    title: "Nothing is lost",
    status: 409,
    code: "manifest-conflict",
    detail: `Backup ${id.slice(0, 200)} has its manifest. Nothing was written over it.`,
    hint: "POST /api/backups/ID/verify says whether it is as it was written.",
  });
}

function refused(failure: Failure): Response {
  const { code, detail, hint } = failure;
  if (code !== "manifest-unproven" && code !== "manifest-conflict") return failureProblem(failure);
  return problem({ title: "The manifest was not made anew", status: 409, code, detail, hint });
}
