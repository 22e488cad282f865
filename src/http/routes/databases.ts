import { Hono } from "hono";
import { z } from "zod";
import type { DatabaseDescription } from "../../core/account/account.ts";
import type { Platform } from "../../core/platform.ts";
import { backupOptions } from "../../core/policy/backup-options.ts";
import type { BackupRequest } from "../../core/run/request.ts";
import type { ApiEnv } from "../dependencies.ts";
import { findDatabase } from "../find-database.ts";
import { failureProblem, problem } from "../problem.ts";
import { pageBody, paging, readBody, readQuery } from "../requests.ts";

const backupBody = z.strictObject({
  label: z.string().trim().min(1, "is empty").max(200, "is longer than 200 characters").optional(),
  pinned: z.boolean().optional(),
  force: z.boolean().optional(),
  examine: z.boolean().optional(),
});

const databasesQuery = z.strictObject({
  ...paging,
  name: z.string().min(1).optional(),
  gone: z.enum(["true", "false"], { error: 'must be "true" or "false"' }).optional(),
});

export const databases = new Hono<ApiEnv>()
  .get("/databases", async (context) => {
    const query = readQuery(context, databasesQuery);
    if (!query.ok) return query.response;
    const { name = null, gone, limit, cursor = null } = query.value;
    const filter = { name, gone: gone === undefined ? null : gone === "true" };
    const listed = await context.get("platform").databases.list(filter, limit, cursor);
    return listed.ok ? context.json(pageBody(listed.value)) : failureProblem(listed.failure);
  })
  .get("/databases/:db", async (context) => {
    const platform = context.get("platform");
    const account = context.env.accountRuns(platform.settings.accountId);
    const asked = context.req.param("db");
    const known = await account.database(asked);
    if (!known.ok) return failureProblem(known.failure);
    // A database that is gone from the account is still known here, with its backups.
    const gone = known.value === null || known.value.goneAt === null ? null : known.value;
    const found = gone ?? (await findDatabase(platform, context.env, asked, known.value));
    if (found instanceof Response) return found;
    const { id, name } = found;
    const status = await account.describe({ id, name });
    if (!status.ok) return failureProblem(status.failure);
    const latestRun = await context.env.databaseRuns(id).latest();
    const { fileSize = null, createdAt = null } = "fileSize" in found ? found : {};
    return context.json({ ...databaseView(status.value, platform), createdAt, fileSize, latestRun });
  })
  .post("/databases/:db/backups", async (context) => {
    const platform = context.get("platform");
    const body = await readBody(context, backupBody);
    if (!body.ok) return body.response;
    const found = await findDatabase(platform, context.env, context.req.param("db"));
    if (found instanceof Response) return found;
    const request = manualRequest(body.value);
    const started = await context.env
      .databaseRuns(found.id)
      .start({ id: found.id, name: found.name }, request);
    if (!started.ok) return failureProblem(started.failure);
    const { kind, run } = started.value;
    if (kind === "started") return context.json({ run }, 202, { Location: `/api/runs/${run.id}` });
    return problem({
      title: "A run is in progress",
      status: 409,
      code: "run-under-way",
      detail: `${run.databaseName} is being backed up: run ${run.id} is ${run.state}.`,
      hint: `Follow it at /api/runs/${run.id}. Start the next one when it has ended.`,
      runId: run.id,
      run,
    });
  })
  .post("/backups", async (context) => {
    const body = await readBody(context, backupBody);
    if (!body.ok) return body.response;
    const account = context.env.accountRuns(context.get("platform").settings.accountId);
    const answer = await account.startAll(manualRequest(body.value));
    if (!answer.ok) return failureProblem(answer.failure);
    const { sweep } = answer.value;
    if (answer.value.kind === "begun") {
      return context.json({ runs: answer.value.runs, sweep }, 202, { Location: "/api/sweeps/latest" });
    }
    return problem({
      title: "A backup of all databases is already starting",
      status: 409,
      code: "sweep-under-way",
      detail:
        sweep.state === "listing"
          ? "The databases are being listed."
          : `${sweep.started} of ${sweep.databases} databases have been started so far.`,
      hint: "Follow it at /api/sweeps/latest, and the runs at /api/runs.",
      sweep,
    });
  })
  .get("/sweeps/latest", async (context) => {
    const sweep = await context.env.accountRuns(context.get("platform").settings.accountId).latestSweep();
    return context.json({ sweep });
  });

function manualRequest(body: z.infer<typeof backupBody>): BackupRequest {
  const { label = null, pinned = false, force = false, examine = false } = body;
  return { trigger: "manual", label, pinned, force, examine, key: null };
}

/** What the account knows about a database, with the policy as it takes effect: lean overrides some of it. */
export function databaseView(known: DatabaseDescription, { settings }: Platform): DatabaseDescription {
  const { compression, volumeBytes } = backupOptions(known.policy, settings.recipients);
  return { ...known, policy: { ...known.policy, compression, volumeBytes } };
}
