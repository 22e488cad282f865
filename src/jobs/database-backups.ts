import { DurableObject } from "cloudflare:workers";
import { attemptLimit, backoffMs, RUN_DEADLINE_MS } from "../core/backoff.ts";
import { describeException, failed, ok, type Failure, type Result } from "../core/failure.ts";
import { runIdOf } from "../core/object-keys.ts";
import type { Policy } from "../core/policy.ts";
import type { Connect, DatabaseRuns, DatabaseStatus, Places, Platform, StartAnswer } from "../core/ports.ts";
import {
  advance,
  copyOf,
  fail,
  isOver,
  newRun,
  retry,
  volumesWritten,
  type BackupRequest,
  type Run,
} from "../core/run.ts";
import { viewRun, type LiveProgress, type RunView } from "../core/run-view.ts";
import { CatalogOutbox } from "./catalog-outbox.ts";
import { committing, verifying } from "./commit-step.ts";
import { copying } from "./copy-step.ts";
import { RecordStore, statusOf } from "./database-record.ts";
import { examining } from "./examine-step.ts";
import { exporting } from "./export-step.ts";
import { removeLeftovers } from "./leftovers.ts";
import { preflight } from "./preflight-step.ts";
import { RunStore } from "./run-store.ts";
import { folderOfRun, Superseded, type StepContext, type StepOutcome } from "./step.ts";

/**
 * While an alarm works, the next one is already set: if the object dies in between, that one goes on. Short,
 * because an export that nobody polls for 15 s is lost; an alarm never starts while another one is running.
 */
const WATCHDOG_MS = 5_000;

/** How often a waiting database asks for its place again, in case that the call that wakes it was lost. */
const PLACE_RETRY_MS = 15_000;

/** Before work goes on that a broken configuration or a defect stopped. */
const REST_MS = 60_000;

export interface DatabaseBackupsOptions<Env> {
  readonly connect: Connect<Env>;
  readonly places: (env: Env, accountId: string) => Places;
  /** Told of each persisted state of a run, after the fact. */
  readonly saved?: (env: Env, run: Run) => Promise<void>;
}

/**
 * One object per database (its name is the database's UUID): the lock that keeps runs from overlapping, and the
 * state machine of the one run at a time, driven by alarms. Each alarm does one bounded step and saves.
 */
export function databaseBackups<Env extends Cloudflare.Env>(options: DatabaseBackupsOptions<Env>) {
  return class DatabaseBackups extends DurableObject<Env> implements DatabaseRuns {
    readonly #store: RunStore;
    readonly #records: RecordStore;
    #live: LiveProgress | null = null;
    #heldBytes = 0;
    #peakBytes = 0;

    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env);
      this.#store = new RunStore(ctx.storage);
      this.#records = new RecordStore(ctx.storage);
    }

    async start(
      database: { id: string; name: string },
      request: BackupRequest,
    ): Promise<Result<StartAnswer>> {
      const connected = options.connect(this.env);
      if (!connected.ok) return connected;
      const platform = connected.value;
      const now = platform.now();
      const before = this.#store.run(now);
      if (before !== null && request.key !== null && before.key === request.key) {
        return ok({ kind: "started", run: viewRun(before) });
      }
      if (before !== null && !isOver(before)) {
        // An alarm that got lost, for whatever reason, must not stop this database for ever.
        if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(now);
        return ok({ kind: "under-way", run: viewRun(before, this.#live) });
      }
      const createdAt = Math.max(now, (before?.createdAt ?? 0) + 1);
      const identity = { ...database, accountId: platform.settings.accountId };
      const run = newRun(runIdOf(database.id, createdAt), identity, request, createdAt);
      this.#store.replace(run);
      const outbox = new CatalogOutbox(this.#store, platform);
      outbox.addRun(run);
      await this.ctx.storage.setAlarm(now);
      await outbox.flush();
      return ok({ kind: "started", run: viewRun(run) });
    }

    async run(id: string): Promise<RunView | null> {
      const run = this.#store.run(Date.now());
      return run?.id === id ? viewRun(run, this.#live) : null;
    }

    async latest(): Promise<RunView | null> {
      const run = this.#store.run(Date.now());
      return run === null ? null : viewRun(run, this.#live);
    }

    async status(): Promise<DatabaseStatus> {
      return statusOf(this.#records.known, this.#store.last);
    }

    async setPolicy(database: { id: string; name: string }, policy: Policy): Promise<Result<DatabaseStatus>> {
      const connected = options.connect(this.env);
      if (!connected.ok) return connected;
      const now = connected.value.now();
      // Whoever sets a policy anew has looked at what was wrong with the old one.
      this.#store.together(() => {
        this.#records.change(database, { policy, unchangedOff: null }, now);
        new CatalogOutbox(this.#store, connected.value).addComparingAgain();
      });
      await this.#wakeBy(now);
      return ok(await this.status());
    }

    /** Called when a place may have become free. */
    async wake(): Promise<void> {
      const now = Date.now();
      const run = this.#store.run(now);
      if (run === null || isOver(run) || run.wakeAt <= now) return;
      if (run.phase.at !== "queued" && run.phase.at !== "copying") return;
      this.#store.save({ ...run, wakeAt: now }, now);
      await this.ctx.storage.setAlarm(now);
    }

    /** The most bytes that this object's copies have held at once since it was created. */
    async peakBytes(): Promise<number> {
      return this.#peakBytes;
    }

    override async alarm(): Promise<void> {
      await this.ctx.storage.setAlarm(Date.now() + WATCHDOG_MS);
      const soonest = await this.#workOrRest();
      // No await between looking for what is next and setting the alarm: a request could come in between.
      const next = this.#nextDue();
      if (next === null) await this.ctx.storage.deleteAlarm();
      else await this.ctx.storage.setAlarm(Math.max(next, soonest));
    }

    /**
     * Does what is due; returns the earliest time for the next alarm. Nothing may be thrown out of an alarm: the
     * platform drops it after six throws. Outside a step, whose exceptions end the run, an exception is told to
     * the Worker's log, and the same work is tried again.
     */
    async #workOrRest(): Promise<number> {
      const connected = options.connect(this.env);
      if (!connected.ok) return Date.now() + REST_MS;
      try {
        await this.#work(connected.value);
        return Date.now();
      } catch (error) {
        console.error({ event: "alarm-exception", detail: describeException(error) });
        return Date.now() + REST_MS;
      }
    }

    /** Sees to it that an alarm comes at this time or before. */
    async #wakeBy(time: number): Promise<void> {
      const next = await this.ctx.storage.getAlarm();
      if (next === null || next > time) await this.ctx.storage.setAlarm(time);
    }

    /** One step of whatever is due. */
    async #work(platform: Platform): Promise<void> {
      const due = this.#store.run(platform.now());
      if (due !== null && !isOver(due) && due.wakeAt <= platform.now()) await this.#step(due, platform);
      await new CatalogOutbox(this.#store, platform).flush();
      await this.#records.flush(platform);
      await removeLeftovers(this.#store, platform);
    }

    /** When there is something to do next; null when nothing is left. */
    #nextDue(): number | null {
      const run = this.#store.run(Date.now());
      const times = [
        run === null || isOver(run) ? null : run.wakeAt,
        this.#store.outbox?.dueAt ?? null,
        this.#records.mirrorDueAt,
        ...this.#store.leftovers.map((leftover) => leftover.dueAt),
      ].filter((time) => time !== null);
      return times.length === 0 ? null : Math.min(...times);
    }

    async #step(run: Run, platform: Platform): Promise<void> {
      const places = options.places(this.env, run.accountId);
      const step = this.#context(run, platform);
      try {
        const stepped = await this.#guarded(run, step.context, places);
        const base = step.latest();
        const next: StepOutcome = stepped.ok
          ? stepped.value
          : { run: afterFailure(base, stepped.failure, platform) };
        await this.#settle(base, next, platform, places);
      } catch (error) {
        if (!(error instanceof Superseded)) throw error;
      }
    }

    /** Saves the step's outcome together with what follows from it, then gives back the places. */
    async #settle(
      base: Run,
      { run: next, commit, record }: StepOutcome,
      platform: Platform,
      places: Places,
    ): Promise<void> {
      this.#live = null;
      let saved = base;
      this.#store.together(() => {
        saved = this.#store.save({ ...next, revision: base.revision }, platform.now());
        const outbox = new CatalogOutbox(this.#store, platform);
        if (commit !== undefined) {
          this.#store.last = commit.backup;
          outbox.addBackup(commit.row);
        }
        const database = { id: saved.databaseId, name: saved.databaseName };
        if (record !== undefined) this.#records.change(database, record, platform.now());
        if (isOver(saved)) outbox.addDatabase(saved, this.#records.known?.unchangedOff?.detail ?? null);
        if (saved.phase.at === "failed") this.#rememberLeftovers(base, platform);
        if (viewRun(saved).state !== viewRun(base).state || saved.startedAt !== base.startedAt)
          outbox.addRun(saved);
      });
      await options.saved?.(this.env, saved);
      if (isOver(saved) || ["examining", "copying"].includes(saved.phase.at))
        await places.release("export", saved.databaseId);
      // One that waits before it tries again lets others copy meanwhile; one in the queue keeps its position there.
      const copiesOn = saved.phase.at === "copying" && (saved.attempt === 0 || saved.phase.waiting);
      if (isOver(saved) || (base.phase.at === "copying" && !copiesOn)) {
        await places.release("copy", saved.databaseId);
      }
    }

    /** An exception is a bug: it ends the run after a few tries, and never the alarm. */
    async #guarded(run: Run, context: StepContext, places: Places): Promise<Result<StepOutcome>> {
      try {
        return await this.#dispatch(run, context, places);
      } catch (error) {
        if (error instanceof Superseded) throw error;
        return failed({
          code: "internal-error",
          detail: `The step "${run.phase.at}" threw: ${describeException(error)}`,
          hint: "This is a defect of d1-nightly; please report it with this text.",
          retryable: run.attempt < 2,
        });
      }
    }

    async #dispatch(run: Run, context: StepContext, places: Places): Promise<Result<StepOutcome>> {
      const now = context.platform.now();
      if (run.startedAt !== null && now - run.startedAt > RUN_DEADLINE_MS) return failed(tooLate(run));
      if (run.phase.at === "preflight") return preflight(run, context);
      if (run.phase.at === "examining") return examining(run, run.phase, context);
      if (run.phase.at === "committing") return committing(run, run.phase, context);
      const stepped = await this.#next(run, context, places);
      return stepped.ok ? ok({ run: stepped.value }) : stepped;
    }

    async #next(run: Run, context: StepContext, places: Places): Promise<Result<Run>> {
      const now = context.platform.now();
      const { phase } = run;
      switch (phase.at) {
        case "queued": {
          if (!(await places.take("export", run.databaseId)))
            return ok({ ...run, wakeAt: now + PLACE_RETRY_MS });
          return ok({ ...advance(run, { at: "preflight" }, now), startedAt: run.startedAt ?? now });
        }
        case "exporting":
          // Asked again with each poll, which keeps the place; a running export is polled with or without one.
          await places.take("export", run.databaseId);
          return exporting(run, phase, context);
        case "copying":
          if (!(await places.take("copy", run.databaseId))) {
            return ok({ ...run, phase: { ...phase, waiting: true }, wakeAt: now + PLACE_RETRY_MS });
          }
          return copying(run, { ...phase, waiting: false }, context);
        case "verifying":
          return verifying(run, phase, context);
        default:
          return ok(run);
      }
    }

    /** `latest` is the run as this step itself has saved it last. */
    #context(run: Run, platform: Platform): { context: StepContext; latest: () => Run } {
      let latest = run;
      const context: StepContext = {
        platform,
        previous: this.#store.last,
        record: this.#records.read({ id: run.databaseId, name: run.databaseName }),
        save: async (changed) => {
          latest = this.#store.save({ ...changed, revision: latest.revision }, platform.now());
          await options.saved?.(this.env, latest);
          return latest;
        },
        observer: {
          progress: (bytes, totalBytes) => {
            this.#live = { bytes, totalBytes };
          },
          gauge: {
            hold: (bytes) => {
              this.#heldBytes += bytes;
              this.#peakBytes = Math.max(this.#peakBytes, this.#heldBytes);
            },
            release: (bytes) => {
              this.#heldBytes -= bytes;
            },
          },
        },
      };
      return { context, latest: () => latest };
    }

    /** A failed run leaves nothing behind: what it wrote is deleted, its claim on the folder last. */
    #rememberLeftovers(run: Run, platform: Platform): void {
      const copy = copyOf(run);
      if (copy === null || !copy.claimed) return;
      const folder = folderOfRun(run, copy, platform);
      const leftover = {
        folder,
        volumes: volumesWritten(run, copy),
        upload: copy.upload,
        attempt: 0,
        dueAt: platform.now(),
      };
      this.#store.leftovers = [...this.#store.leftovers, leftover];
    }
  };
}

/** The same step again later, or the end of the run. */
function afterFailure(run: Run, failure: Failure, platform: Platform): Run {
  const now = platform.now();
  if (!failure.retryable || run.attempt + 1 >= attemptLimit(failure.code)) return fail(run, failure, now);
  // A poll that comes late loses the export, so those are tried again soon, unless D1's API itself asks us to wait.
  const polling = run.phase.at === "exporting" && run.phase.bookmark !== null;
  const delay =
    failure.retryAfterMs ?? backoffMs(run.attempt, platform.random(), 1_000, polling ? 4_000 : 60_000);
  return retry(run, failure, now, delay);
}

function tooLate(run: Run): Failure {
  return {
    code: "deadline-exceeded",
    detail: `The run was not done after ${RUN_DEADLINE_MS / 3_600_000} hours (it was ${run.phase.at}).`,
    hint: run.lastFailure?.hint ?? "Look at the run's progress: which step took so long?",
    retryable: false,
  };
}
