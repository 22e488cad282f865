import { Hono } from "hono";
import { z } from "zod";
import { backupRow } from "../core/build-manifest.ts";
import { PINNED } from "../core/object-keys.ts";
import type { ApiEnv } from "./dependencies.ts";
import { downloadDump, inWords } from "./dump-download.ts";
import { findBackup } from "./find-backup.ts";
import { failureProblem, problem } from "./problem.ts";
import { pageBody, paging, readQuery } from "./requests.ts";

const backupsQuery = z.object({ ...paging, database: z.string().min(1).optional() });

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
    const found = await findBackup(platform, context.req.param("id"));
    if (found instanceof Response) return found;
    const pinned = await platform.vault.head(found.folder + PINNED);
    if (!pinned.ok) return failureProblem(pinned.failure);
    const { manifest, folder } = found;
    return context.json({
      ...backupRow(manifest, found.manifestSha256, folder, pinned.value !== null),
      manifest,
    });
  })
  .get("/backups/:id/files/:name", async (context) => {
    const { id, name } = context.req.param();
    const platform = context.get("platform");
    const found = await findBackup(platform, id);
    if (found instanceof Response) return found;
    if (name.includes("/")) return noSuchFile(name);
    const file = await platform.vault.download(found.folder + name, context.req.raw);
    if (!file.ok) return failureProblem(file.failure);
    return file.value === null ? noSuchFile(name) : inWords(file.value);
  })
  .get("/backups/:id/dump.sql", async (context) => {
    const platform = context.get("platform");
    const found = await findBackup(platform, context.req.param("id"));
    return found instanceof Response ? found : downloadDump(platform, found, context.req.raw);
  });

function noSuchFile(name: string): Response {
  return problem({
    title: "No such file",
    status: 404,
    code: "file-not-found",
    detail: `The backup has no file ${name.slice(0, 200)}.`,
    hint: "Its manifest names the volumes; beside them stand SHA256SUMS, RESTORE.md and manifest.json.",
  });
}
