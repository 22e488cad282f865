import { DurableObject } from "cloudflare:workers";
import { attemptLimit, backoffMs } from "../core/backoff.ts";
import type { DamagedBackups } from "../core/bucket/damaged-backup.ts";
import type {
  MaintenanceJobs,
  MaintenanceAnswer,
  MaintenanceKind,
  MaintenanceView,
  OrphansView,
  OrphanView,
  RebuildView,
} from "../core/bucket/maintenance.ts";
import { describeException, failed, type Failure, ok, type Result } from "../core/failure.ts";
import type { Connect, Platform } from "../core/platform.ts";
import { iso } from "../core/time.ts";
import { AlarmShell } from "./object/alarm-shell.ts";
import { type MaintenanceStep, listPage } from "./maintenance/bucket-walk.ts";
import { askNext, findLostManifests } from "./maintenance/damage-steps.ts";
import {
  type MaintenanceJob,
  ended,
  newJob,
  viewJob,
  viewQueued,
  viewRebuild,
  walkAnew,
} from "./maintenance/maintenance-job.ts";
import { MaintenanceStore } from "./maintenance/maintenance-store.ts";
import { collectNext, type FolderCollector, forgetRuns, readClaims } from "./maintenance/orphan-steps.ts";
import type { Orphan } from "./maintenance/search-store.ts";
import {
  compareRows,
  type PolicyKeeper,
  readBackups,
  restoreTables,
  tellDatabases,
} from "./maintenance/rebuild-steps.ts";

const WATCHDOG_MS = 60_000;

/** The free plan allows 50 subrequests an invocation; a step takes up to 23 of them. */
const CALLS_AN_ALARM = 24;
const STEPS_AN_ALARM = 40;

/** After so many failures a cursor counts as invalid; and so often the walk starts again. */
const CURSOR_TRIES = 3;
const RESTARTS = 3;

/** How many orphans are shown. */
const ORPHANS_SHOWN = 1_000;

/** The dependencies of the bucket's maintenance. */
export interface MaintenanceObjectParts {
  readonly connect: Connect<Cloudflare.Env>;
  readonly account: (accountId: string) => PolicyKeeper;
  readonly database: (databaseId: string) => FolderCollector;
}

/**
 * One object per account does long work on the bucket, one job at a time, page by page from its alarms. Each step saves
 * its progress, and may be repeated.
 */
export class MaintenanceObject extends DurableObject implements MaintenanceJobs {
  readonly #parts: MaintenanceObjectParts;
  readonly #alarm: AlarmShell<Platform>;
  readonly #store: MaintenanceStore;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env, parts: MaintenanceObjectParts) {
    super(ctx, env);
    this.#parts = parts;
    this.#store = new MaintenanceStore(ctx.storage);
    this.#alarm = new AlarmShell(ctx.storage, {
      watchdogMs: WATCHDOG_MS,
      connect: () => this.#parts.connect(this.env),
      work: (platform) => this.#work(platform),
      nextAt: () => this.#nextAt(),
    });
  }

  rebuild(): Promise<Result<MaintenanceAnswer>> {
    return this.#ask("rebuild", ["rebuild"]);
  }

  async latestRebuild(): Promise<RebuildView | null> {
    const underWay = this.#underWay(["rebuild"]);
    const job = this.#store.latestRebuild;
    if (underWay?.state === "queued") return viewRebuild(underWay, null);
    return job === null ? null : viewRebuild(viewJob(job), job);
  }

  findOrphans(): Promise<Result<MaintenanceAnswer>> {
    return this.#ask("dry-run", ["dry-run", "collect", "daily"]);
  }

  async orphans(): Promise<OrphansView> {
    const { search, latestSearch } = this.#store;
    const { searchedAt } = search;
    const queued = this.#underWay(["dry-run", "collect", "daily"]);
    return {
      listedAt: searchedAt === null ? null : iso(searchedAt),
      ...search.orphanTotals(),
      items: search.orphans(ORPHANS_SHOWN).map(shown),
      damaged: await this.damaged(ORPHANS_SHOWN),
      job: queued ?? (latestSearch === null ? null : viewJob(latestSearch)),
    };
  }

  async damaged(limit: number): Promise<DamagedBackups> {
    const { search } = this.#store;
    return { count: search.damagedCount, items: search.damaged(limit) };
  }

  async settled(folder: string): Promise<void> {
    this.#store.search.forget(folder);
  }

  async collectOrphans(): Promise<Result<MaintenanceAnswer | null>> {
    if (this.#store.search.searchedAt === null) return ok(null);
    return this.#ask("collect", ["dry-run", "collect", "daily"]);
  }

  async daily(): Promise<void> {
    const now = Date.now();
    if (this.#underWay(["daily"]) === null)
      this.#store.waiting = [...this.#store.waiting, { kind: "daily", askedAt: now }];
    await this.#alarm.wakeBy(now);
  }

  /** Returns a waiting or active job of one of these kinds. */
  async #ask(kind: MaintenanceKind, sameAs: readonly MaintenanceKind[]): Promise<Result<MaintenanceAnswer>> {
    const connected = this.#parts.connect(this.env);
    if (!connected.ok) return connected;
    const now = connected.value.now();
    const underWay = this.#underWay(sameAs);
    if (underWay === null) this.#store.waiting = [...this.#store.waiting, { kind, askedAt: now }];
    // Also for an active job: a lost alarm must not stop it forever.
    await this.#alarm.wakeBy(now);
    return ok({ begun: underWay === null, job: underWay ?? viewQueued(kind, now) });
  }

  #underWay(kinds: readonly MaintenanceKind[]): MaintenanceView | null {
    const { job, waiting } = this.#store;
    if (job !== null && job.finishedAt === null && kinds.includes(job.kind)) return viewJob(job);
    const queued = waiting.find(({ kind }) => kinds.includes(kind));
    return queued === undefined ? null : viewQueued(queued.kind, queued.askedAt);
  }

  override alarm(): Promise<void> {
    return this.#alarm.ring();
  }

  #nextAt(): number | null {
    const { job, waiting } = this.#store;
    if (job !== null && job.finishedAt === null) return job.wakeAt;
    return waiting.length > 0 ? Date.now() : null;
  }

  /** Does as many steps as one invocation may do. Only alarms change the job, one after the other. */
  async #work(platform: Platform): Promise<void> {
    let job = this.#current();
    if (job === null || job.wakeAt > Date.now()) return;
    for (let calls = 0, steps = 0; calls <= CALLS_AN_ALARM && steps < STEPS_AN_ALARM; steps++) {
      const stepped = await this.#guarded(job, platform);
      if (!stepped.ok) {
        this.#store.save(afterJobFailure(job, stepped.failure, platform));
        return;
      }
      const { changes } = stepped.value;
      const next: MaintenanceJob = { ...stepped.value.job, wakeAt: platform.now() };
      job = next.step === "done" ? ended(next, null, platform.now()) : next;
      const saved = job;
      this.#store.together(() => {
        changes?.();
        this.#store.save(saved);
      });
      if (job.finishedAt !== null) return;
      calls += stepped.value.calls;
    }
  }

  /** The active job; otherwise starts the next one. */
  #current(): MaintenanceJob | null {
    const { job, waiting } = this.#store;
    if (job !== null && job.finishedAt === null) return job;
    const [next, ...later] = waiting;
    if (next === undefined) return null;
    const now = Date.now();
    const begun = newJob(next.kind, next.askedAt, now);
    this.#store.together(() => {
      this.#store.waiting = later;
      this.#store.save(begun);
    });
    return begun;
  }

  /** An exception is a bug: it ends the job after a few tries, but never the alarm. */
  async #guarded(job: MaintenanceJob, platform: Platform): Promise<Result<MaintenanceStep>> {
    try {
      return await this.#step(job, platform);
    } catch (error) {
      return failed({
        code: "internal-error",
        detail: `The step "${job.step}" threw: ${describeException(error)}`,
        hint: "This is a bug in d1-nightly. Please report it with this text.",
        retryable: job.attempt < 2,
      });
    }
  }

  #step(job: MaintenanceJob, platform: Platform): Promise<Result<MaintenanceStep>> {
    const store = this.#store;
    switch (job.step) {
      case "tables":
        return restoreTables(job, platform);
      case "listing":
        return listPage(job, store, platform);
      case "reading":
        return job.kind === "rebuild" ? readBackups(job, store, platform) : readClaims(job, store, platform);
      case "comparing":
        return job.kind === "rebuild"
          ? compareRows(job, store, platform)
          : findLostManifests(job, store, platform);
      case "asking":
        return askNext(job, store, platform, (id) => this.#parts.database(id));
      case "databases":
        return tellDatabases(job, store, platform, this.#parts.account(platform.settings.accountId));
      case "collecting":
        return collectNext(job, store, platform, (id) => this.#parts.database(id));
      case "forgetting":
        return forgetRuns(job, platform);
      case "done":
        return Promise.resolve(ok({ job, calls: 0 }));
    }
  }
}

/** Repeats the step later, starts the walk again if its cursor seems invalid, or ends the job. */
function afterJobFailure(job: MaintenanceJob, failure: Failure, platform: Platform): MaintenanceJob {
  const now = platform.now();
  const wakeAt = now + backoffMs(job.attempt, platform.random());
  const stuck = job.step === "listing" && job.cursor !== null && job.attempt + 1 >= CURSOR_TRIES;
  if (stuck && job.restarts < RESTARTS) return { ...walkAnew(job), wakeAt };
  if (failure.retryable && job.attempt + 1 < attemptLimit(failure.code))
    return { ...job, attempt: job.attempt + 1, wakeAt };
  console.error({ event: "bucket-work-failed", work: job.id, code: failure.code, detail: failure.detail });
  return ended(job, failure, now);
}

function shown(orphan: Orphan): OrphanView {
  const { folder, runId, databaseId, objects, bytes, since, outcome } = orphan;
  return { folder, runId, databaseId, objects, bytes, since, outcome };
}
