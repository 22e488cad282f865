import { Hono } from "hono";
import { z } from "zod";
import type { MaintenanceView } from "../../core/bucket/maintenance.ts";
import type { ApiEnv } from "../dependencies.ts";
import { failureProblem, problem } from "../problem.ts";
import { readBody } from "../requests.ts";

const LOCATION = "/api/orphans";

const nothing = z.strictObject({});

/** Files that runs left behind: GET shows the latest search, POST starts one, DELETE deletes what it found. */
export const orphans = new Hono<ApiEnv>()
  .get("/orphans", async (context) => {
    const care = context.env.bucketMaintenance(context.get("platform").settings.accountId);
    return context.json(await care.orphans());
  })
  .post("/orphans", async (context) => {
    const body = await readBody(context, nothing);
    if (!body.ok) return body.response;
    const asked = await context.env
      .bucketMaintenance(context.get("platform").settings.accountId)
      .findOrphans();
    if (!asked.ok) return failureProblem(asked.failure);
    const { begun, job } = asked.value;
    return begun ? context.json({ job }, 202, { Location: LOCATION }) : underWay(job);
  })
  .delete("/orphans", async (context) => {
    const asked = await context.env
      .bucketMaintenance(context.get("platform").settings.accountId)
      .collectOrphans();
    if (!asked.ok) return failureProblem(asked.failure);
    if (asked.value === null) {
      return problem({
        title: "No orphans are listed",
        status: 409,
        code: "orphans-not-listed",
        detail: "Only listed orphans are deleted, and none have been listed yet.",
        hint: "POST /api/orphans searches the bucket. Then check the list with GET /api/orphans.",
      });
    }
    const { begun, job } = asked.value;
    return begun ? context.json({ job }, 202, { Location: LOCATION }) : underWay(job);
  });

function underWay(job: MaintenanceView): Response {
  return problem({
    title: "Work on orphans is in progress",
    status: 409,
    code: "orphans-under-way",
    detail: `A job of kind ${job.kind} is ${job.state}.`,
    hint: "Follow it with GET /api/orphans, and ask again when it has ended.",
    job,
  });
}
