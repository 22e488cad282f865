import { Hono } from "hono";
import { z } from "zod";
import type { ApiEnv } from "../dependencies.ts";
import { failureProblem, problem } from "../problem.ts";
import { readBody } from "../requests.ts";

const LOCATION = "/api/catalog/rebuild";

const nothing = z.strictObject({});

export const catalog = new Hono<ApiEnv>()
  .post("/catalog/rebuild", async (context) => {
    const body = await readBody(context, nothing);
    if (!body.ok) return body.response;
    const care = context.env.bucketMaintenance(context.get("platform").settings.accountId);
    const asked = await care.rebuild();
    if (!asked.ok) return failureProblem(asked.failure);
    const rebuild = asked.value.job;
    if (asked.value.begun) return context.json({ rebuild }, 202, { Location: LOCATION });
    return problem(
      {
        title: "A rebuild is in progress",
        status: 409,
        code: "rebuild-under-way",
        detail: `The catalogue is being rebuilt; ${rebuild.progress.backups} backups have been read so far.`,
        hint: `Follow it at ${LOCATION}.`,
        rebuild,
      },
      { Location: LOCATION },
    );
  })
  .get("/catalog/rebuild", async (context) => {
    const care = context.env.bucketMaintenance(context.get("platform").settings.accountId);
    return context.json({ rebuild: await care.latestRebuild() });
  });
