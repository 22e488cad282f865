import { Hono } from "hono";
import { z } from "zod";
import { backupRow } from "../core/build-manifest.ts";
import { readManifest, sha256Of, type Manifest } from "../core/manifest.ts";
import { folderOfBackup, MANIFEST, PINNED } from "../core/object-keys.ts";
import type { Platform } from "../core/ports.ts";
import type { ApiEnv } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";
import { pageBody, paging, readQuery } from "./requests.ts";

const backupsQuery = z.object({ ...paging, database: z.string().min(1).optional() });

/** Above this, joining the volumes in one download is refused: they are better fetched one by one. */
export const JOINED_LIMIT = 2 * 1024 ** 3;

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
    const file = await platform.vault.download(found.folder + name, context.req.raw.headers);
    if (!file.ok) return failureProblem(file.failure);
    return file.value ?? noSuchFile(name);
  })
  .get("/backups/:id/dump.sql", async (context) => {
    const found = await findBackup(context.get("platform"), context.req.param("id"));
    return found instanceof Response ? found : joinedDump(context.get("platform"), found);
  });

interface FoundBackup {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
}

/** A backup exists if and only if its manifest does: so that is what is read, from the bucket. */
async function findBackup(platform: Platform, id: string): Promise<FoundBackup | Response> {
  const folder = folderOfBackup(platform.settings.keyPrefix, id);
  const text = folder === null ? null : await platform.vault.readText(folder + MANIFEST);
  if (text !== null && !text.ok) return failureProblem(text.failure);
  if (folder === null || text === null || text.value === null) {
    return problem({
      title: "No such backup",
      status: 404,
      code: "backup-not-found",
      detail: `The bucket holds no manifest of a backup ${id.slice(0, 200)}.`,
      hint: "GET /api/backups lists them.",
    });
  }
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

function noSuchFile(name: string): Response {
  return problem({
    title: "No such file",
    status: 404,
    code: "file-not-found",
    detail: `The backup has no file ${name.slice(0, 200)}.`,
    hint: "Its manifest names the volumes; beside them stand SHA256SUMS, RESTORE.md and manifest.json.",
  });
}

/** The plain SQL of all volumes, one behind the other. What breaks on the way breaks the download visibly. */
async function joinedDump(platform: Platform, { folder, manifest }: FoundBackup): Promise<Response> {
  const { volumes, dump, compression, encryption } = manifest;
  const tooBig = dump.bytes > JOINED_LIMIT;
  if (compression === "zstd" || encryption !== null || tooBig) {
    return problem({
      title: "The dump is not joined here",
      status: 409,
      code: tooBig ? "dump-too-large" : "dump-not-readable-here",
      detail: tooBig
        ? `It has ${dump.bytes} bytes; up to ${JOINED_LIMIT} are joined in one download.`
        : "This Worker cannot read its volumes.",
      hint: `Fetch the volumes one by one: ${volumes.map((volume) => `/api/backups/${encodeURIComponent(manifest.backupId)}/files/${encodeURIComponent(volume.name)}`).join(" ")}`,
      volumes: volumes.map((volume) => volume.name),
    });
  }
  const first = volumes[0] === undefined ? null : await platform.vault.head(folder + volumes[0].name);
  if (first?.ok === false) return failureProblem(first.failure);
  if (first?.value === null) return noSuchFile(volumes[0]?.name ?? "");
  const joined = new FixedLengthStream(dump.bytes);
  const pump = async (): Promise<void> => {
    for (const volume of volumes) {
      const opened = await platform.vault.decoded(folder + volume.name, compression);
      if (!opened.ok) throw new Error(opened.failure.detail);
      if (opened.value === null) throw new Error(`${volume.name} is missing`);
      await opened.value.pipeTo(joined.writable, { preventClose: true });
    }
    await joined.writable.close();
  };
  pump().catch((error: unknown) => joined.writable.abort(error).catch(() => undefined));
  return new Response(joined.readable, {
    headers: {
      "Content-Type": "application/sql",
      "Content-Length": String(dump.bytes),
      "Content-Disposition": `attachment; filename*=UTF-8''${encodeURIComponent(manifest.backupId)}.sql`,
    },
  });
}
