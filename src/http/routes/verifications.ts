import { Hono } from "hono";
import { z } from "zod";
import { backupOfVerification } from "../../core/backup/verification-view.ts";
import type { ApiEnv } from "../dependencies.ts";
import { findFolder } from "../find-backup.ts";
import { failureProblem, problem } from "../problem.ts";
import { readBody } from "../requests.ts";

const nothing = z.strictObject({});

export const verifications = new Hono<ApiEnv>()
  .post("/backups/:id/verify", async (context) => {
    const body = await readBody(context, nothing);
    if (!body.ok) return body.response;
    const id = context.req.param("id");
    // A manifest that is lost or cannot be read is what a verification is to tell.
    const place = await findFolder(context, id);
    if (place instanceof Response) return place;
    const { folder, lost } = place;
    const started = await context.env.verifications(id).start(id, { folder, lost });
    if (!started.ok) return failureProblem(started.failure);
    const verification = started.value;
    const location = `/api/verifications/${encodeURIComponent(verification.id)}`;
    return context.json({ verification }, 202, { Location: location });
  })
  .get("/verifications/:id", async (context) => {
    const id = context.req.param("id");
    const backupId = backupOfVerification(id);
    const found = backupId === null ? null : await context.env.verifications(backupId).verification(id);
    if (found !== null) return context.json(found);
    return problem({
      title: "No such verification",
      status: 404,
      code: "verification-not-found",
      detail: `There is no verification ${id.slice(0, 200)}. Only the latest one of each backup is kept.`,
      hint: "POST /api/backups/ID/verify starts one.",
    });
  });
