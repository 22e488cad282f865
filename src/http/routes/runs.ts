import { Hono } from "hono";
import { z } from "zod";
import { databaseOfRun } from "../../core/bucket/object-keys.ts";
import { RUN_STATES, type RunView } from "../../core/run/run-view.ts";
import type { ApiEnv, Dependencies } from "../dependencies.ts";
import { failureProblem, problem } from "../problem.ts";
import { pageBody, paging, readQuery } from "../requests.ts";

const runsQuery = z.strictObject({
  ...paging,
  database: z.string().min(1).optional(),
  state: z.enum(RUN_STATES, { error: `must be one of ${RUN_STATES.join(", ")}` }).optional(),
});

/** So many runs of a list are asked for their progress. Each is a subrequest, and the free plan allows 50. */
const LIVE_LIMIT = 25;

export const runs = new Hono<ApiEnv>()
  .get("/runs", async (context) => {
    const query = readQuery(context, runsQuery);
    if (!query.ok) return query.response;
    const { database = null, state = null, limit, cursor = null } = query.value;
    const listed = await context.get("platform").catalog.runs({ database, state }, limit, cursor);
    if (!listed.ok) return failureProblem(listed.failure);
    const asked = new Set(listed.value.items.filter(isActive).slice(0, LIVE_LIMIT));
    const items = await Promise.all(
      listed.value.items.map((run) => (asked.has(run) ? live(context.env, run) : run)),
    );
    return context.json(pageBody({ ...listed.value, items }));
  })
  .get("/runs/:id", async (context) => {
    const id = context.req.param("id");
    const databaseId = databaseOfRun(id);
    const current = databaseId === null ? null : await context.env.databaseRuns(databaseId).run(id);
    if (current !== null) return context.json(current);
    const stored = await context.get("platform").catalog.run(id);
    if (!stored.ok) return failureProblem(stored.failure);
    return stored.value === null ? noSuchRun(id) : context.json(stored.value);
  })
  .post("/runs/:id/cancel", async (context) => {
    const id = context.req.param("id");
    const databaseId = databaseOfRun(id);
    const answer = databaseId === null ? null : await context.env.databaseRuns(databaseId).cancel(id);
    if (answer === null) return noSuchRun(id);
    if (!answer.ok) return failureProblem(answer.failure);
    const { value } = answer;
    switch (value.kind) {
      case "cancelled":
        return context.json(value.run);
      case "too-late":
        return problem({
          title: "Too late to cancel",
          status: 409,
          code: "run-committing",
          detail: `Run ${id} is writing its manifest, which completes the backup.`,
          hint: "It will end in a moment. Then you can delete the backup.",
          run: value.run,
        });
      case "over":
        return isOverAlready(value.run);
      case "unknown": {
        // This is not the latest run of its database: if it existed, another run has followed it.
        const stored = await context.get("platform").catalog.run(id);
        if (!stored.ok) return failureProblem(stored.failure);
        return stored.value === null ? noSuchRun(id) : isOverAlready(stored.value);
      }
    }
  });

function noSuchRun(id: string): Response {
  return problem({
    title: "No such run",
    status: 404,
    code: "run-not-found",
    detail: `There is no run ${id.slice(0, 100)}.`,
    hint: "GET /api/runs lists the runs.",
  });
}

function isOverAlready(run: RunView): Response {
  return problem({
    title: "The run has ended",
    status: 409,
    code: "run-over",
    detail: `Run ${run.id} has already ended: it is ${run.state}.`,
    hint: "There is nothing to cancel.",
    run,
  });
}

function isActive(run: RunView): boolean {
  return run.finishedAt === null;
}

/** The catalogue knows a run's last state; the object that works on the run knows its progress. */
async function live(dependencies: Dependencies, run: RunView): Promise<RunView> {
  return (await dependencies.databaseRuns(run.databaseId).run(run.id)) ?? run;
}
