import { Hono } from "hono";
import { isUuid } from "../../core/bucket/object-keys.ts";
import { policySchema } from "../../core/policy/policy.ts";
import type { ApiEnv } from "../dependencies.ts";
import { findDatabase } from "../find-database.ts";
import { failureProblem } from "../problem.ts";
import { readBody } from "../requests.ts";

/** Shows what a policy would do to the existing backups, before it is saved. */
export const retention = new Hono<ApiEnv>().post("/databases/:db/retention/preview", async (context) => {
  const platform = context.get("platform");
  const body = await readBody(context, policySchema, "required");
  if (!body.ok) return body.response;
  const asked = context.req.param("db");
  const account = context.env.accountRuns(platform.settings.accountId);
  const known = await account.database(asked);
  if (!known.ok) return failureProblem(known.failure);
  // The backups of a deleted database still exist, and its UUID is enough to find them.
  const gone = known.value !== null && known.value.goneAt !== null;
  const database =
    known.value !== null && (gone || isUuid(asked))
      ? known.value
      : isUuid(asked)
        ? { id: asked.toLowerCase(), name: null }
        : await findDatabase(platform, context.env, asked);
  if (database instanceof Response) return database;
  // As if it were saved: missing keys follow the default policy, not the database's present policy.
  const shared = await account.defaultPolicy();
  if (!shared.ok) return failureProblem(shared.failure);
  const rules = { ...shared.value.effective.retention, ...body.value.retention };
  const { id, name } = database;
  const plan = await context.env.databaseRuns(id).previewRetention({ id, name }, rules);
  return plan.ok ? context.json(plan.value) : failureProblem(plan.failure);
});
