import type { Coordinator } from "../../core/account/coordinator.ts";
import {
  attemptLimit,
  backoffMs,
  LATEST_POLL_MS,
  LONGEST_WAIT_MS,
  RUN_DEADLINE_MS,
} from "../../core/backoff.ts";
import { describeException, failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { type LiveProgress, viewRun } from "../../core/run/run-view.ts";
import { copyOf, isOver, type PhaseOf, type Run, volumesWritten } from "../../core/run/run.ts";
import { advance, cancel, deadlineExceeded, fail, retry, waitForBudget } from "../../core/run/transitions.ts";
import { CatalogOutbox } from "../database/catalog-outbox.ts";
import type { RecordStore } from "../database/database-record.ts";
import { type RunStore, Superseded } from "../database/run-store.ts";
import { committing } from "./commit-step.ts";
import { copying } from "./copy-step.ts";
import { examining } from "./examine-step.ts";
import { exporting } from "./export-step.ts";
import { preflight } from "./preflight-step.ts";
import { folderOfRun, type StepContext, type StepOutcome } from "./step.ts";
import { verifying } from "./verify-step.ts";

/** How often a waiting database asks for its lease again, in case the call that wakes it was lost. */
const SLOT_RETRY_MS = 15_000;

/** The steps of one database's runs: what each phase does, and how its outcome is saved. */
export class RunSteps {
  /** The progress of the present volume. */
  live: LiveProgress | null = null;
  /** The most bytes that copies have held at the same time. */
  peakBytes = 0;
  #heldBytes = 0;
  /** Belongs to the active step. */
  #stop: AbortController | null = null;
  readonly #store: RunStore;
  readonly #records: RecordStore;
  readonly #saved: (run: Run) => Promise<void>;

  constructor(store: RunStore, records: RecordStore, saved: (run: Run) => Promise<void>) {
    this.#store = store;
    this.#records = records;
    this.#saved = saved;
  }

  /** Does the next step of the run and saves its outcome. */
  async step(run: Run, platform: Platform, coordinator: Coordinator): Promise<void> {
    const stop = new AbortController();
    const step = this.#context(run, platform, stop.signal);
    this.#stop = stop;
    try {
      const stepped = await this.#untilStopped(run, step.context, coordinator, stop.signal);
      const base = step.latest();
      const next: StepOutcome = stepped.ok
        ? stepped.value
        : { run: afterStepFailure(base, stepped.failure, platform) };
      await this.#settle(base, next, platform, coordinator);
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
      // Only now has the step ended.
      if (stop.signal.aborted) await release(run, coordinator);
    } finally {
      this.live = null;
      this.#stop = null;
    }
  }

  /**
   * Ends the run as cancelled in any phase: the active step stops within seconds, without effect, and the next alarm
   * deletes what was written.
   */
  async cancel(run: Run, platform: Platform, coordinator: Coordinator): Promise<Run> {
    const stepping = this.#stop !== null;
    const saved = this.#end(run, cancel(run, stepping, platform.now()), platform);
    await this.#saved(saved);
    if (!stepping) await release(saved, coordinator);
    return saved;
  }

  /** Fails a run on which nothing has worked for so long that its lease has expired, too. */
  giveUp(run: Run, platform: Platform): Run {
    return this.#end(run, fail(run, deadlineExceeded(run), platform.now()), platform);
  }

  /** Ends the run from outside of its steps. Call it in the same turn in which the run was read, without an await. */
  #end(run: Run, ended: Run, platform: Platform): Run {
    const saved = this.#keep(run, { run: ended }, platform);
    this.#stop?.abort(new Superseded());
    return saved;
  }

  /** Saves the step's outcome, then releases the leases. */
  async #settle(
    base: Run,
    outcome: StepOutcome,
    platform: Platform,
    coordinator: Coordinator,
  ): Promise<void> {
    const saved = this.#keep(base, outcome, platform);
    await this.#saved(saved);
    if (isOver(saved)) return release(saved, coordinator);
    if (["examining", "copying"].includes(saved.phase.at))
      await coordinator.releaseLease("export", saved.databaseId);
    // A run that waits for a retry lets others copy meanwhile; a queued run keeps its position.
    const copiesOn = saved.phase.at === "copying" && (saved.attempt === 0 || saved.phase.waiting);
    if (base.phase.at === "copying" && !copiesOn) await coordinator.releaseLease("copy", saved.databaseId);
  }

  /** Saves the run's next state and what follows from it, all or nothing. */
  #keep(base: Run, { run: next, commit, record }: StepOutcome, platform: Platform): Run {
    this.live = null;
    let saved = base;
    this.#store.together(() => {
      saved = this.#store.save({ ...next, revision: base.revision }, platform.now());
      const outbox = new CatalogOutbox(this.#store, platform);
      if (commit !== undefined) {
        this.#store.last = commit.backup;
        this.#store.keptManifests.keep(commit.row.folder, commit.manifest);
        outbox.addBackup(commit.row);
        this.#store.wantPruning(saved.databaseId, commit.backup.backupId);
      }
      const database = { id: saved.databaseId, name: saved.databaseName };
      if (record !== undefined) this.#records.change(database, record, platform.now());
      if (isOver(saved)) this.#records.addReport(platform.now());
      if (isOver(saved)) outbox.addDatabase(saved, this.#records.known?.unchangedOff?.detail ?? null);
      if (saved.phase.at === "failed" || saved.phase.at === "cancelled")
        this.#rememberLeftovers(base, platform);
      if (viewRun(saved).state !== viewRun(base).state || saved.startedAt !== base.startedAt)
        outbox.addRun(saved);
    });
    tellFailure(saved);
    return saved;
  }

  /**
   * Runs the step until it ends or is stopped. A stopped step that only reads or calls Cloudflare is not awaited: it
   * has no effect, because its run is no longer the stored one. A copy must be awaited until it ends.
   */
  async #untilStopped(
    run: Run,
    context: StepContext,
    coordinator: Coordinator,
    stop: AbortSignal,
  ): Promise<Result<StepOutcome>> {
    const step = this.#guarded(run, context, coordinator);
    if (run.phase.at === "copying") return step;
    const stopped = new Promise<never>((_, reject) => {
      stop.addEventListener("abort", () => reject(stop.reason), { once: true });
    });
    return Promise.race([step, stopped]);
  }

  /** An exception is a bug: it ends the run after a few tries, but never the alarm. */
  async #guarded(run: Run, context: StepContext, coordinator: Coordinator): Promise<Result<StepOutcome>> {
    try {
      return await this.#dispatch(run, context, coordinator);
    } catch (error) {
      if (error instanceof Superseded) throw error;
      return failed({
        code: "internal-error",
        detail: `The step "${run.phase.at}" threw: ${describeException(error)}`,
        hint: "This is a bug in d1-nightly. Please report it with this text.",
        retryable: run.attempt < 2,
      });
    }
  }

  async #dispatch(run: Run, context: StepContext, coordinator: Coordinator): Promise<Result<StepOutcome>> {
    const now = context.platform.now();
    // Once its manifest may exist, a run must end by itself, because it may be a backup.
    const tooLate = run.startedAt !== null && now - run.startedAt > RUN_DEADLINE_MS;
    if (tooLate && run.phase.at !== "committing") return failed(deadlineExceeded(run));
    if (run.phase.at === "preflight") {
      const policy = await coordinator.policy(run.databaseId);
      return policy.ok ? preflight(run, context, policy.value) : policy;
    }
    if (run.phase.at === "examining") return examining(run, run.phase, context);
    if (run.phase.at === "copying") return this.#copy(run, run.phase, context, coordinator);
    if (run.phase.at === "committing") return committing(run, run.phase, context);
    const stepped = await this.#next(run, context, coordinator);
    return stepped.ok ? ok({ run: stepped.value }) : stepped;
  }

  async #next(run: Run, context: StepContext, coordinator: Coordinator): Promise<Result<Run>> {
    const now = context.platform.now();
    const { phase } = run;
    switch (phase.at) {
      case "queued": {
        if (!(await coordinator.acquireLease("export", run.databaseId)))
          return ok({ ...run, wakeAt: now + SLOT_RETRY_MS });
        return ok({ ...advance(run, { at: "preflight" }, now), startedAt: run.startedAt ?? now });
      }
      case "exporting":
        // Renew the lease with each poll; a running export is polled even without one.
        if (!(await coordinator.acquireLease("export", run.databaseId)) && phase.bookmark === null) {
          return ok({ ...run, wakeAt: now + SLOT_RETRY_MS });
        }
        return exporting(run, phase, context);
      case "verifying":
        return verifying(run, phase, context);
      default:
        return ok(run);
    }
  }

  async #copy(
    run: Run,
    phase: PhaseOf<"copying">,
    context: StepContext,
    coordinator: Coordinator,
  ): Promise<Result<StepOutcome>> {
    if (await coordinator.acquireLease("copy", run.databaseId))
      return copying(run, { ...phase, waiting: false }, context);
    const wakeAt = context.platform.now() + SLOT_RETRY_MS;
    return ok({ run: { ...run, phase: { ...phase, waiting: true }, wakeAt } });
  }

  /** `latest` is the run as this step has saved it last. */
  #context(run: Run, platform: Platform, stop: AbortSignal): { context: StepContext; latest: () => Run } {
    let latest = run;
    const context: StepContext = {
      platform,
      previous: this.#store.last,
      record: this.#records.read({ id: run.databaseId, name: run.databaseName }),
      save: async (changed) => {
        latest = this.#store.save({ ...changed, revision: latest.revision }, platform.now());
        await this.#saved(latest);
        return latest;
      },
      observer: {
        progress: (bytes, totalBytes) => {
          stop.throwIfAborted();
          this.live = { bytes, totalBytes };
        },
        stop,
        gauge: {
          hold: (bytes) => {
            this.#heldBytes += bytes;
            this.peakBytes = Math.max(this.peakBytes, this.#heldBytes);
          },
          release: (bytes) => {
            this.#heldBytes -= bytes;
          },
        },
      },
    };
    return { context, latest: () => latest };
  }

  /** A run without a backup leaves nothing behind: deletes what it wrote, and its claim on the folder last. */
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
      problem: null,
    };
    this.#store.leftovers = [...this.#store.leftovers, leftover];
  }
}

/** Repeats the step later, or ends the run. */
function afterStepFailure(run: Run, failure: Failure, platform: Platform): Run {
  const now = platform.now();
  if (failure.code === "api-budget-spent") return waitForBudget(run, failure, now);
  if (!failure.retryable || run.attempt + 1 >= attemptLimit(failure.code)) return fail(run, failure, now);
  // An export that is not polled for 15 s is lost, and with it the time that its database was busy: so its polls are
  // tried again soon, whatever Cloudflare asks us to wait. All other calls of the account do wait for that long.
  const polling = run.phase.at === "exporting" && run.phase.bookmark !== null;
  const delay =
    failure.retryAfterMs ?? backoffMs(run.attempt, platform.random(), 1_000, polling ? 4_000 : 60_000);
  return retry(run, failure, now, Math.min(delay, polling ? LATEST_POLL_MS : LONGEST_WAIT_MS));
}

/** Releases the leases that an ended run may hold. */
async function release(run: Run, coordinator: Coordinator): Promise<void> {
  await coordinator.releaseLease("export", run.databaseId);
  await coordinator.releaseLease("copy", run.databaseId);
}

/** One line in the Worker's log for each failed run. */
function tellFailure({ id, databaseId, databaseName, phase }: Run): void {
  if (phase.at !== "failed") return;
  console.error({ event: "run-failed", runId: id, databaseId, databaseName, code: phase.failure.code });
}
