import { Hono } from "hono";
import { closestMatch } from "leven";
import { z } from "zod";
import {
  backupOptions,
  effectivePolicy,
  policySchema,
  type FullPolicy,
  type Policy,
} from "../core/policy.ts";
import type { DatabaseStatus, DatabaseSummary, Platform } from "../core/ports.ts";
import type { BackupRequest } from "../core/run.ts";
import type { Result } from "../core/failure.ts";
import type { ApiEnv } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";
import { readBody } from "./requests.ts";

const backupBody = z.strictObject({
  label: z.string().trim().min(1, "is empty").max(200, "is longer than 200 characters").optional(),
  pinned: z.boolean().optional(),
  force: z.boolean().optional(),
  examine: z.boolean().optional(),
});

/** How many names are looked at for those closest to a misspelt one. */
const NAMES_LOOKED_AT = 1_000;

export const databases = new Hono<ApiEnv>()
  .get("/databases/:db", async (context) => {
    const platform = context.get("platform");
    const found = await findDatabase(platform, context.req.param("db"));
    if (found instanceof Response) return found;
    const runs = context.env.databaseRuns(found.id);
    const [latestRun, status] = await Promise.all([runs.latest(), runs.status()]);
    return context.json({ ...found, latestRun, ...policies(status, platform) });
  })
  .put("/databases/:db/policy", async (context) => {
    const platform = context.get("platform");
    const body = await readBody(context, policySchema, "required");
    if (!body.ok) return body.response;
    const found = await findDatabase(platform, context.req.param("db"));
    if (found instanceof Response) return found;
    const { id, name } = found;
    const set = await context.env.databaseRuns(id).setPolicy({ id, name }, body.value);
    return set.ok
      ? context.json({ id, name, ...policies(set.value, platform) })
      : failureProblem(set.failure);
  })
  .post("/databases/:db/backups", async (context) => {
    const platform = context.get("platform");
    const body = await readBody(context, backupBody);
    if (!body.ok) return body.response;
    const found = await findDatabase(platform, context.req.param("db"));
    if (found instanceof Response) return found;
    const request = manualRequest(body.value);
    const started = await context.env
      .databaseRuns(found.id)
      .start({ id: found.id, name: found.name }, request);
    if (!started.ok) return failureProblem(started.failure);
    const { kind, run } = started.value;
    if (kind === "started") return context.json({ run }, 202, { Location: `/api/runs/${run.id}` });
    return problem({
      title: "A run is under way",
      status: 409,
      code: "run-under-way",
      detail: `${run.databaseName} is being backed up: run ${run.id} is ${run.state}.`,
      hint: `Follow it at /api/runs/${run.id}; start the next one when it is over.`,
      runId: run.id,
      run,
    });
  })
  .post("/backups", async (context) => {
    const body = await readBody(context, backupBody);
    if (!body.ok) return body.response;
    const account = context.env.accountRuns(context.get("platform").settings.accountId);
    const answer = await account.startAll(manualRequest(body.value), true);
    if (!answer.ok) return failureProblem(answer.failure);
    const { sweep } = answer.value;
    if (answer.value.kind === "begun") {
      return context.json({ runs: answer.value.runs, sweep }, 202, { Location: "/api/sweeps/latest" });
    }
    return problem({
      title: "All databases are being started already",
      status: 409,
      code: "sweep-under-way",
      detail:
        sweep.state === "listing"
          ? "The databases are being listed."
          : `${sweep.started} of ${sweep.databases} databases are started so far.`,
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

/** A database's status, with what its policy comes to beside what was set of it. */
function policies(
  { policy, ...status }: DatabaseStatus,
  { settings }: Platform,
): Omit<DatabaseStatus, "policy"> & { policy: FullPolicy; ownPolicy: Policy } {
  const full = effectivePolicy(policy, settings);
  // Lean overrides some of it.
  const { compression, volumeBytes } = backupOptions(full, settings.recipients);
  return { policy: { ...full, compression, volumeBytes }, ownPolicy: policy, ...status };
}

/** The database of this name or UUID; else the answer to give: for an unknown one, 404 with the closest names. */
async function findDatabase(
  platform: Platform,
  nameOrId: string,
): Promise<(DatabaseSummary & { fileSize: number | null }) | Response> {
  const found = await platform.api.getDatabase(nameOrId);
  if (found.ok) return found.value;
  if (found.failure.code !== "database-not-found") return failureProblem(found.failure);
  const closest = await closestNames(platform, nameOrId);
  if (!closest.ok) return failureProblem(closest.failure);
  return problem({
    title: "No such database",
    status: 404,
    code: "database-not-found",
    detail: `This account has no D1 database named "${nameOrId.slice(0, 100)}".`,
    hint:
      closest.value.length === 0
        ? "The account has no databases yet."
        : `Did you mean ${closest.value.join(", ")}?`,
    closest: closest.value,
  });
}

async function closestNames(platform: Platform, wanted: string): Promise<Result<string[]>> {
  const listed = await platform.api.listDatabases(1, NAMES_LOOKED_AT);
  if (!listed.ok) return listed;
  const left = new Set(listed.value.databases.map((database) => database.name));
  const closest: string[] = [];
  while (closest.length < 3) {
    const name = closestMatch(wanted, [...left]);
    if (name === undefined) break;
    left.delete(name);
    closest.push(name);
  }
  return { ok: true, value: closest };
}
