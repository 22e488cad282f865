import { DurableObject } from "cloudflare:workers";
import type { Coordinator, DatabaseReport } from "../core/account/coordinator.ts";
import { LONGEST_WAIT_MS } from "../core/backoff.ts";
import type { DeletionAnswer, DeletionView } from "../core/backup/deletion.ts";
import type { DamagedPlace, ManifestRepairView, RepairAnswer } from "../core/backup/manifest-repair.ts";
import type { Retention, RetentionPlan } from "../core/backup/retention.ts";
import type { FolderState } from "../core/bucket/damaged-backup.ts";
import type { MaintenanceJobs } from "../core/bucket/maintenance.ts";
import { runIdOf } from "../core/bucket/object-keys.ts";
import { ok, type Result } from "../core/failure.ts";
import type { Connect, Platform } from "../core/platform.ts";
import type { CancelAnswer, DatabaseRuns, StartAnswer } from "../core/run/database-runs.ts";
import type { BackupRequest } from "../core/run/request.ts";
import { type RunView, viewRun } from "../core/run/run-view.ts";
import { isDead, isOver, newRun, type Run } from "../core/run/run.ts";
import { CatalogOutbox } from "./database/catalog-outbox.ts";
import { folderState } from "./database/folder-state.ts";
import { RecordStore } from "./database/database-record.ts";
import { collectFolder, removeLeftovers } from "./database/leftovers.ts";
import { ManifestRepairs } from "./database/manifest-repairs.ts";
import { RunStore } from "./database/run-store.ts";
import { meteredApi } from "./limits/metered-api.ts";
import { AlarmShell } from "./object/alarm-shell.ts";
import { DatabaseRetention } from "./retention/database-retention.ts";
import {
  type Asked,
  deleteBackup,
  deleteRemains,
  previewRetention,
  setPinned,
} from "./retention/retention-requests.ts";
import { RunSteps } from "./run/run-steps.ts";

/** Short, because an export that nobody polls for 15 s is lost. */
const WATCHDOG_MS = 5_000;

/** The dependencies of a database's object. */
export interface DatabaseObjectParts {
  readonly connect: Connect<Cloudflare.Env>;
  readonly coordinator: (accountId: string) => Coordinator;
  /** The object that searches the bucket. */
  readonly maintenance: (accountId: string) => Pick<MaintenanceJobs, "settled">;
  /** Called with each state of a run after it was stored. */
  readonly saved?: (run: Run) => Promise<void>;
}

/**
 * One object per database (its name is the database's UUID): the lock that keeps runs from overlapping, and the state
 * machine of its single run, driven by alarms. Each alarm does one bounded step and saves.
 */
export class DatabaseObject extends DurableObject implements DatabaseRuns {
  readonly #parts: DatabaseObjectParts;
  readonly #alarm: AlarmShell<Platform>;
  readonly #store: RunStore;
  readonly #records: RecordStore;
  readonly #steps: RunSteps;
  readonly #retention: DatabaseRetention;
  readonly #repairs: ManifestRepairs;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env, parts: DatabaseObjectParts) {
    super(ctx, env);
    this.#parts = parts;
    this.#store = new RunStore(ctx.storage);
    this.#records = new RecordStore(ctx.storage);
    this.#steps = new RunSteps(this.#store, this.#records, async (run) => parts.saved?.(run));
    this.#retention = new DatabaseRetention(ctx.storage, this.#store, this.#records);
    this.#repairs = new ManifestRepairs(ctx.storage, this.#store, this.#retention);
    this.#alarm = new AlarmShell(ctx.storage, {
      watchdogMs: WATCHDOG_MS,
      connect: () => this.#connect(),
      work: (platform) => this.#work(platform),
      nextAt: () => this.#nextDue(),
    });
  }

  async start(database: { id: string; name: string }, request: BackupRequest): Promise<Result<StartAnswer>> {
    const connected = this.#connect();
    if (!connected.ok) return connected;
    const platform = connected.value;
    const now = platform.now();
    const before = this.#store.run(now);
    if (before !== null && request.key !== null && before.key === request.key) {
      return ok({ kind: "started", run: viewRun(before) });
    }
    if (before !== null && !isOver(before)) {
      // A run that was lost, for any reason, must not stop this database forever.
      if (!isDead(before, now)) {
        await this.#keepAlive(before, now);
        return ok({ kind: "under-way", run: viewRun(before, this.#steps.live) });
      }
      this.#steps.giveUp(before, platform);
    }
    const createdAt = Math.max(now, (before?.createdAt ?? 0) + 1);
    const identity = { ...database, accountId: platform.settings.accountId };
    const id = runIdOf(database.id, createdAt, platform.random());
    const run = newRun(id, identity, request, createdAt);
    this.#store.replace(run);
    this.#records.addReport(now);
    const outbox = new CatalogOutbox(this.#store, platform);
    outbox.addRun(run);
    await this.#alarm.wakeBy(now);
    await outbox.flush();
    return ok({ kind: "started", run: viewRun(run) });
  }

  async cancel(runId: string): Promise<Result<CancelAnswer>> {
    const connected = this.#connect();
    if (!connected.ok) return connected;
    const platform = connected.value;
    const now = platform.now();
    const run = this.#store.run(now);
    if (run === null || run.id !== runId) return ok({ kind: "unknown" });
    if (isOver(run)) return ok({ kind: "over", run: viewRun(run) });
    // While the manifest is being written, nobody can say whether it already exists.
    if (run.phase.at === "committing") return ok({ kind: "too-late", run: viewRun(run) });
    const cancelled = this.#steps.cancel(run, platform, this.#coordinator(run.accountId));
    await this.#alarm.wakeBy(now);
    const view = viewRun(await cancelled);
    await new CatalogOutbox(this.#store, platform).flush();
    return ok({ kind: "cancelled", run: view });
  }

  async revive(): Promise<RunView | null> {
    const now = Date.now();
    const run = this.#store.run(now);
    if (run === null || isOver(run)) return null;
    await this.#keepAlive(run, now);
    return viewRun(run, this.#steps.live);
  }

  async run(id: string): Promise<RunView | null> {
    const run = this.#store.run(Date.now());
    return run?.id === id ? viewRun(run, this.#steps.live) : null;
  }

  async latest(): Promise<RunView | null> {
    const run = this.#store.run(Date.now());
    return run === null ? null : viewRun(run, this.#steps.live);
  }

  async policySet(database: { id: string; name: string }): Promise<Result<void>> {
    const connected = this.#connect();
    if (!connected.ok) return connected;
    const now = connected.value.now();
    const { known } = this.#records;
    if (known === null || (known.unchangedOff === null && known.cutOff === null)) return ok(undefined);
    this.#store.together(() => {
      this.#records.change(database, { unchangedOff: null, cutOff: null }, now);
      new CatalogOutbox(this.#store, connected.value).addPolicySet();
    });
    await this.#alarm.wakeBy(now);
    return ok(undefined);
  }

  async collectFolder(
    folder: string,
    runId: string,
    names: readonly string[],
  ): Promise<Result<"collected" | "in-use" | "committed">> {
    const connected = this.#connect();
    if (!connected.ok) return connected;
    if (folderState(folder, this.#store, this.#retention, connected.value) === "committed")
      return ok("committed");
    const answer = collectFolder(this.#store, connected.value, { folder, runId, names });
    if (answer === "collected") await this.#alarm.wakeBy(connected.value.now());
    return ok(answer);
  }

  async folderState(folder: string): Promise<Result<FolderState>> {
    const connected = this.#connect();
    return connected.ok ? ok(folderState(folder, this.#store, this.#retention, connected.value)) : connected;
  }

  async deleteBackup(databaseId: string, folder: string, evenLast: boolean): Promise<Result<DeletionAnswer>> {
    return this.#ask((asked) => deleteBackup(asked, databaseId, folder, evenLast));
  }

  async deleteRemains(databaseId: string, folder: string): Promise<Result<DeletionAnswer>> {
    return this.#ask((asked) => deleteRemains(asked, databaseId, folder));
  }

  async repairManifest(place: DamagedPlace): Promise<Result<RepairAnswer>> {
    return this.#ask(({ platform }) => this.#repairs.begin(place, platform));
  }

  async manifestRepair(backupId: string): Promise<ManifestRepairView | null> {
    return this.#repairs.view(backupId);
  }

  async deletionOf(backupId: string): Promise<DeletionView | null> {
    return this.#retention.deletionOf(backupId);
  }

  async setPinned(
    databaseId: string,
    folder: string,
    pinned: boolean,
  ): Promise<Result<"done" | "not-there">> {
    return this.#ask((asked) => setPinned(asked, databaseId, folder, pinned));
  }

  async previewRetention(
    database: { id: string; name: string | null },
    retention: Retention,
  ): Promise<Result<RetentionPlan>> {
    return this.#ask((asked) => previewRetention(asked, database, retention));
  }

  /** Handles a request about the backups; the next alarm continues with what is left to do. */
  async #ask<T>(request: (asked: Asked) => Promise<Result<T>>): Promise<Result<T>> {
    const connected = this.#connect();
    if (!connected.ok) return connected;
    const platform = connected.value;
    const coordinator = this.#coordinator(platform.settings.accountId);
    const answer = await request({ retention: this.#retention, store: this.#store, platform, coordinator });
    this.#retention.showNotices(platform);
    const next = this.#nextDue();
    if (next !== null) await this.#alarm.wakeBy(next);
    return answer;
  }

  /** Called when a lease may have become free. */
  async wake(): Promise<void> {
    const now = Date.now();
    const run = this.#store.run(now);
    if (run === null || isOver(run) || run.wakeAt <= now) return;
    if (run.phase.at !== "queued" && run.phase.at !== "copying") return;
    this.#store.save({ ...run, wakeAt: now }, now);
    await this.#alarm.wakeBy(now);
  }

  /** The most bytes that this object's copies have held at the same time since it was created. */
  async peakBytes(): Promise<number> {
    return this.#steps.peakBytes;
  }

  override alarm(): Promise<void> {
    return this.#alarm.ring();
  }

  /** Makes sure that the run is worked on, even if its alarm was lost or the clock was turned back. */
  async #keepAlive(run: Run, now: number): Promise<void> {
    if (run.wakeAt > now + LONGEST_WAIT_MS) this.#store.save({ ...run, wakeAt: now }, now);
    await this.#alarm.keepAlive(LONGEST_WAIT_MS);
  }

  /** The platform, with calls to Cloudflare's API rate-limited by the account's object. */
  #connect(): Result<Platform> {
    const connected = this.#parts.connect(this.env);
    if (!connected.ok) return connected;
    const platform = connected.value;
    const coordinator = this.#coordinator(platform.settings.accountId);
    return ok({ ...platform, api: meteredApi(platform.api, coordinator, "work") });
  }

  #coordinator(accountId: string): Coordinator {
    return this.#parts.coordinator(accountId);
  }

  /** One step of whatever is due. */
  async #work(platform: Platform): Promise<void> {
    const due = this.#store.run(platform.now());
    if (due !== null && !isOver(due) && due.wakeAt <= platform.now())
      await this.#steps.step(due, platform, this.#coordinator(due.accountId));
    await new CatalogOutbox(this.#store, platform).flush();
    const { accountId } = platform.settings;
    const tell = (report: DatabaseReport) => this.#coordinator(accountId).report(report);
    await this.#records.flush(() => this.#report(platform.now()), tell, platform);
    await removeLeftovers(this.#store, platform);
    await this.#retention.step(platform, this.#coordinator(accountId));
    if (!this.#isRunning(platform.now()))
      await this.#repairs.step(platform, (folder) => this.#parts.maintenance(accountId).settled(folder));
  }

  #isRunning(now: number): boolean {
    const run = this.#store.run(now);
    return run !== null && !isOver(run);
  }

  /** The report to the account's object; null while nothing is known. */
  #report(now: number): DatabaseReport | null {
    const run = this.#store.run(now);
    const known = this.#records.known;
    const id = run?.databaseId ?? known?.databaseId;
    const name = run?.databaseName ?? known?.databaseName;
    if (id === undefined || name === undefined) return null;
    const { unchanged, unchangedOff, examination, isCatalog } = this.#records.read({ id, name });
    // The fingerprint stays here.
    const { last } = this.#store;
    return {
      databaseId: id,
      databaseName: name,
      runId: run === null || isOver(run) ? null : run.id,
      last:
        last === null
          ? null
          : { backupId: last.backupId, manifestSha256: last.manifestSha256, bookmark: last.bookmark },
      unchanged,
      unchangedOff,
      isCatalog,
      examinedAt: examination?.answeredAt ?? null,
    };
  }

  /** When there is something to do next; null when nothing is left. */
  #nextDue(): number | null {
    const run = this.#store.run(Date.now());
    const times = [
      run === null || isOver(run) ? null : run.wakeAt,
      this.#store.catalogOutbox.dueAt,
      this.#records.reportDueAt,
      ...this.#store.leftovers.map((leftover) => leftover.dueAt),
      this.#retention.nextDue(Date.now()),
      this.#isRunning(Date.now()) ? null : this.#repairs.dueAt,
    ].filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }
}
