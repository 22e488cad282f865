import { Hono } from "hono";
import { z } from "zod";
import type { AccountRuns } from "../../core/account/account.ts";
import { defaultPolicySchema, type Policy, policySchema } from "../../core/policy/policy.ts";
import { scheduleSchema } from "../../core/schedule/schedule-schema.ts";
import { previewSchedule } from "../../core/schedule/schedule.ts";
import type { ApiEnv, Dependencies } from "../dependencies.ts";
import { findDatabase } from "../find-database.ts";
import { failureProblem } from "../problem.ts";
import { malformed, readBody } from "../requests.ts";
import { databaseView } from "./databases.ts";

const previewBody = z.strictObject({ schedule: scheduleSchema });

/** How databases are backed up, and when. */
export const policies = new Hono<ApiEnv>()
  .get("/policy", async (context) => {
    const found = await accountOf(context.env, context.get("platform").settings).defaultPolicy();
    return found.ok ? context.json(found.value) : failureProblem(found.failure);
  })
  .put("/policy", async (context) => {
    const body = await readBody(context, defaultPolicySchema, "required");
    if (!body.ok) return body.response;
    const account = accountOf(context.env, context.get("platform").settings);
    const set = await account.setDefaultPolicy(body.value, context.get("who"));
    return set.ok ? context.json(set.value) : failureProblem(set.failure);
  })
  .put("/databases/:db/policy", async (context) => {
    const platform = context.get("platform");
    const body = await readBody(context, policySchema, "required");
    if (!body.ok) return body.response;
    const found = await findDatabase(platform, context.env, context.req.param("db"));
    if (found instanceof Response) return found;
    const { id, name } = found;
    const account = accountOf(context.env, platform.settings);
    const shared = await account.defaultPolicy();
    if (!shared.ok) return failureProblem(shared.failure);
    const nothing = nothingLeft(body.value, shared.value.policy);
    if (nothing !== null) return nothing;
    const set = await account.setPolicy({ id, name }, body.value, context.get("who"));
    if (!set.ok) return failureProblem(set.failure);
    const again = await context.env.databaseRuns(id).policySet({ id, name });
    if (!again.ok) return failureProblem(again.failure);
    return context.json(databaseView(set.value, platform));
  })
  .post("/schedules/preview", async (context) => {
    const platform = context.get("platform");
    const body = await readBody(context, previewBody, "required");
    if (!body.ok) return body.response;
    const triggers = await accountOf(context.env, platform.settings).triggers();
    if (!triggers.ok) return failureProblem(triggers.failure);
    return context.json(previewSchedule(body.value.schedule, triggers.value, platform.now()));
  });

/** Each of the two policies may leave something to back up, but both together may leave nothing. */
function nothingLeft(own: Policy, shared: Policy): Response | null {
  const { noData, noSchema } = { ...shared.exportOptions, ...own.exportOptions };
  if (noData !== true || noSchema !== true) return null;
  const problem =
    "noData and noSchema together leave nothing to back up; the default policy sets one of them";
  return malformed([{ field: "exportOptions", problem }]);
}

function accountOf(dependencies: Dependencies, { accountId }: { accountId: string }): AccountRuns {
  return dependencies.accountRuns(accountId);
}
