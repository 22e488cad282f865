import { Hono } from "hono";
import { z } from "zod";
import type { MaintenanceView } from "../../core/bucket/maintenance.ts";
import type { ApiEnv } from "../dependencies.ts";
import { failureProblem, problem } from "../problem.ts";
import { readBody } from "../requests.ts";

const LOCATION = "/api/orphans";

const nothing = z.strictObject({});

/** What runs left behind: GET shows the latest dry run, POST starts one, DELETE deletes what it lists. */
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
        title: "Nothing was listed",
        status: 409,
        code: "orphans-not-listed",
        detail: "What would be deleted has not been listed yet, and only what was listed is deleted.",
        hint: "POST /api/orphans looks through the bucket; then read GET /api/orphans.",
      });
    }
    const { begun, job } = asked.value;
    return begun ? context.json({ job }, 202, { Location: LOCATION }) : underWay(job);
  });

function underWay(job: MaintenanceView): Response {
  return problem({
    title: "Orphans are being looked at",
    status: 409,
    code: "orphans-under-way",
    detail: `Such work is ${job.state} (${job.kind}).`,
    hint: "Follow it at GET /api/orphans, and ask again when it is over.",
    job,
  });
}
