import { type Context, Hono } from "hono";
import { z } from "zod";
import { backupRow, type BackupRow } from "../../core/backup/backup-row.ts";
import type { DeletionAnswer, DeletionView } from "../../core/backup/deletion.ts";
import { MANIFEST, PINNED } from "../../core/bucket/object-keys.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { ApiEnv, Dependencies } from "../dependencies.ts";
import { findBackup, type FoundBackup } from "../find-backup.ts";
import { databaseUnknown, findRemains, noSuchBackup } from "../find-damaged.ts";
import { placeOf } from "../place-of-backup.ts";
import { failureProblem, problem } from "../problem.ts";
import { pageBody, paging, readBody, readQuery } from "../requests.ts";
import { downloadDump, inWords } from "./dump-download.ts";

const backupsQuery = z.strictObject({ ...paging, database: z.string().min(1).optional() });

const yesOrNo = z.enum(["true", "false"], { error: 'must be "true" or "false"' });

const deletionQuery = z.strictObject({
  last: yesOrNo.optional(),
  damaged: yesOrNo.optional(),
});

const pinBody = z.strictObject({ pinned: z.boolean({ error: "must be true or false" }) });

export const backups = new Hono<ApiEnv>()
  .get("/backups", async (context) => {
    const query = readQuery(context, backupsQuery);
    if (!query.ok) return query.response;
    const { database = null, limit, cursor = null } = query.value;
    const listed = await context.get("platform").catalog.backups({ database }, limit, cursor);
    return listed.ok ? context.json(pageBody(listed.value)) : failureProblem(listed.failure);
  })
  .get("/backups/:id", async (context) => {
    const platform = context.get("platform");
    const found = await findBackup(context, context.req.param("id"));
    if (found instanceof Response) return found;
    const pinned = await platform.vault.head(found.folder + PINNED);
    if (!pinned.ok) return failureProblem(pinned.failure);
    return context.json(await viewOf(found, pinned.value !== null, context.env));
  })
  .put("/backups/:id/pin", async (context) => {
    const body = await readBody(context, pinBody, "required");
    if (!body.ok) return body.response;
    const id = context.req.param("id");
    const found = await findBackup(context, id);
    if (found instanceof Response) return found;
    const { pinned } = body.value;
    const databaseId = found.manifest.database.id;
    const set = await context.env.databaseRuns(databaseId).setPinned(databaseId, found.folder, pinned);
    if (!set.ok) return deletionProblem(set.failure);
    return set.value === "not-there"
      ? noSuchBackup(id)
      : context.json(await viewOf(found, pinned, context.env));
  })
  .delete("/backups/:id", async (context) => {
    const query = readQuery(context, deletionQuery);
    if (!query.ok) return query.response;
    const id = context.req.param("id");
    if (query.value.damaged === "true") return deleteDamaged(context, id);
    const found = await findBackup(context, id);
    if (found instanceof Response) return found;
    // The database's own object deletes it, so that this cannot happen between two effects of a run.
    const databaseId = found.manifest.database.id;
    const answer = await context.env
      .databaseRuns(databaseId)
      .deleteBackup(databaseId, found.folder, query.value.last === "true");
    return deletionAnswer(id, answer);
  })
  .get("/backups/:id/files/:name", async (context) => {
    const { id, name } = context.req.param();
    const platform = context.get("platform");
    const found = await findBackup(context, id);
    if (found instanceof Response) return found;
    if (!filesOf(found.manifest).includes(name)) return noSuchFile(name);
    const file = await platform.vault.download(found.folder + name, context.req.raw);
    if (!file.ok) return failureProblem(file.failure);
    return file.value === null ? noSuchFile(name) : inWords(file.value);
  })
  .get("/backups/:id/dump.sql", async (context) => {
    const platform = context.get("platform");
    const found = await findBackup(context, context.req.param("id"));
    return found instanceof Response ? found : downloadDump(platform, found, context.req.raw);
  });

/** Deletes what is left of a backup that has lost its manifest; one that has it is deleted without being called damaged. */
async function deleteDamaged(context: Context<ApiEnv>, id: string): Promise<Response> {
  const place = await placeOf(context.get("platform"), id);
  if (!place.ok) return failureProblem(place.failure);
  const remains = place.value === null ? ok(null) : await findRemains(context, id, place.value.folder);
  if (!remains.ok) return failureProblem(remains.failure);
  if (remains.value === null) return noSuchBackup(id);
  const { folder, databaseId } = remains.value;
  if (databaseId === null) return databaseUnknown(id);
  const answer = await context.env.databaseRuns(databaseId).deleteRemains(databaseId, folder);
  if (answer.ok && (answer.value.kind === "deleted" || answer.value.kind === "begun"))
    await context.env.bucketMaintenance(context.get("platform").settings.accountId).settled(folder);
  return deletionAnswer(id, answer);
}

function deletionAnswer(id: string, answer: Result<DeletionAnswer>): Response {
  if (!answer.ok) return deletionProblem(answer.failure);
  switch (answer.value.kind) {
    case "deleted":
      return new Response(null, { status: 204 });
    case "begun":
      return Response.json({ id, deletion: answer.value.deletion }, { status: 202 });
    case "not-there":
      return noSuchBackup(id);
    case "pinned":
      return pinnedProblem(id);
    case "last":
      return lastBackupProblem(id);
    case "refused":
      return lockedProblem(answer.value.detail);
  }
}

function lastBackupProblem(id: string): Response {
  return problem({
    title: "This is the last backup of its database",
    status: 409,
    code: "last-backup",
    detail: `${id} is the only backup of its database. Nothing was deleted.`,
    hint: `To delete it anyway: DELETE /api/backups/${encodeURIComponent(id)}?last=true.`,
  });
}

/** The files of a backup that can be downloaded: the manifest, and those that it lists. */
function filesOf({ volumes, files }: FoundBackup["manifest"]): string[] {
  return [...volumes, ...files].map(({ name }) => name).concat(MANIFEST);
}

/** A backup as the API shows it. */
async function viewOf(
  { manifest, manifestSha256, folder }: FoundBackup,
  pinned: boolean,
  dependencies: Dependencies,
): Promise<BackupRow & { deletion: DeletionView | null; manifest: FoundBackup["manifest"] }> {
  const row = backupRow(manifest, manifestSha256, folder, pinned);
  const deletion = await dependencies.databaseRuns(row.databaseId).deletionOf(row.id);
  return { ...row, deletion, manifest };
}

function deletionProblem(failure: Failure): Response {
  if (failure.code === "stored-object-locked") return lockedProblem(failure.detail);
  if (failure.code !== "manifest-conflict" && failure.code !== "stored-object-altered")
    return failureProblem(failure);
  const { code, detail, hint } = failure;
  return problem({ title: "The backup is damaged", status: 409, code, detail, hint });
}

function pinnedProblem(id: string): Response {
  return problem({
    title: "The backup is pinned",
    status: 409,
    code: "backup-pinned",
    detail: `Backup ${id} is pinned, so it cannot be deleted.`,
    hint: `Unpin it first: PUT /api/backups/${encodeURIComponent(id)}/pin with {"pinned":false}.`,
  });
}

/** `detail` is the bucket's own message, which names the object. */
function lockedProblem(detail: string): Response {
  return problem({
    title: "The bucket refuses the deletion",
    status: 409,
    code: "stored-object-locked",
    detail: `A lock rule of the bucket protects the backup. Nothing was changed. ${detail}`,
    hint: "Try again when the rule no longer applies. `npx wrangler r2 bucket lock list BUCKET` shows the rules.",
  });
}

function noSuchFile(name: string): Response {
  return problem({
    title: "No such file",
    status: 404,
    code: "file-not-found",
    detail: `The backup has no file ${name.slice(0, 200)}.`,
    hint: "manifest.json lists the volumes; the other files are SHA256SUMS, RESTORE.md and RUN.json.",
  });
}
