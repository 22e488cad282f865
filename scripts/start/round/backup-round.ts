import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { RUN_STATES } from "../../../src/core/run/run-view.ts";
import { type HttpClient, Refusal } from "./http-client.ts";
import { Trouble } from "../trouble.ts";

const count = z.number().nullable();

const runSchema = z.object({
  id: z.string(),
  databaseName: z.string(),
  state: z.enum(RUN_STATES),
  createdAt: z.string(),
  finishedAt: z.string().nullable(),
  progress: z.object({
    step: z.string(),
    bytesDone: count,
    bytesTotal: count,
    message: z.string().nullable(),
  }),
  error: z.object({ code: z.string(), detail: z.string(), hint: z.string() }).nullable(),
  backupId: z.string().nullable(),
});
/** A run as the API shows it. */
export type Run = z.infer<typeof runSchema>;

const sweepSchema = z.object({
  databases: z.number(),
  started: z.number(),
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  error: z.object({ detail: z.string(), hint: z.string() }).nullable(),
});
type Sweep = z.infer<typeof sweepSchema>;

const begunSchema = z.object({ runs: z.array(runSchema), sweep: sweepSchema });
const latestSweepSchema = z.object({ sweep: sweepSchema.nullable() });
const runsSchema = z.object({ items: z.array(runSchema) });

const POLL_MS = 200;
const SWEEP_LIMIT_MS = 120_000;

/** Starts a backup of every database; those that are under way already are followed in place of new ones. */
export async function startBackups(api: HttpClient): Promise<Run[]> {
  const deadline = Date.now() + SWEEP_LIMIT_MS;
  for (;;) {
    try {
      const begun = await api.send("POST", "/api/backups", {}, begunSchema);
      return begun.runs.length >= begun.sweep.databases
        ? begun.runs
        : await runsOf(api, begun.sweep, deadline);
    } catch (error) {
      // A round that was cut short goes on by itself. When all is started, this asks for what that round began.
      const underWay = error instanceof Refusal && error.code === "sweep-under-way";
      if (!underWay || Date.now() > deadline) throw error;
      await sweepEnd(api, deadline);
    }
  }
}

/** Asks for the run's state until it is over, and tells each answer. */
export async function followRun(api: HttpClient, begun: Run, tell: (run: Run) => void): Promise<Run> {
  let run = begun;
  tell(run);
  while (run.finishedAt === null) {
    await sleep(POLL_MS);
    run = await api.get(`/api/runs/${encodeURIComponent(run.id)}`, runSchema);
    tell(run);
  }
  return run;
}

/** Databases beyond the first few are started after the answer: their runs are in the catalogue then. */
async function runsOf(api: HttpClient, { startedAt, databases }: Sweep, deadline: number): Promise<Run[]> {
  await sweepEnd(api, deadline);
  for (;;) {
    const { items } = await api.get("/api/runs?limit=100", runsSchema);
    const runs = items.filter((run) => run.finishedAt === null || run.createdAt >= startedAt);
    if (runs.length >= Math.min(databases, 100)) return runs;
    if (Date.now() > deadline)
      throw new Trouble(
        `Only ${runs.length} of ${databases} backups were started. Start again to try the others.`,
      );
    await sleep(POLL_MS);
  }
}

async function sweepEnd(api: HttpClient, deadline: number): Promise<void> {
  for (;;) {
    const { sweep } = await api.get("/api/sweeps/latest", latestSweepSchema);
    if (sweep === null || sweep.finishedAt !== null) {
      if (sweep?.error)
        throw new Trouble(`The backups could not be started: ${sweep.error.detail} ${sweep.error.hint}`);
      return;
    }
    if (Date.now() > deadline)
      throw new Trouble(
        `Only ${sweep.started} of ${sweep.databases} backups were started within two minutes. Start again.`,
      );
    await sleep(POLL_MS);
  }
}
