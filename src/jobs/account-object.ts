import { DAY_MS, iso } from "../core/time.ts";
import { DurableObject } from "cloudflare:workers";
import type { AccountHealth } from "../core/account/account-health.ts";
import type {
  AccountRuns,
  DatabaseDescription,
  DefaultPolicyView,
  KnownNames,
} from "../core/account/account.ts";
import type { Coordinator, DatabaseReport, LeaseKind } from "../core/account/coordinator.ts";
import type { KeyProof } from "../core/account/key-proof.ts";
import type { SweepAnswer, SweepView } from "../core/account/sweep.ts";
import { DEFAULT_POLICY } from "../core/bucket/object-keys.ts";
import { type CallKind, exportSlots } from "../core/d1/api-budget.ts";
import { describeException, ok, type Result } from "../core/failure.ts";
import type { Connect, Platform } from "../core/platform.ts";
import type { DefaultPolicyCopy, PolicyCopy } from "../core/policy/policy-copy.ts";
import type { DefaultPolicy, FullPolicy, Policy } from "../core/policy/policy.ts";
import type { BackupRequest } from "../core/run/request.ts";
import type { Trigger } from "../core/schedule/cron-triggers.ts";
import { KeyProofs } from "./account/key-proofs.ts";
import { AccountRounds, type Opened } from "./account/rounds.ts";
import { defaultPolicyView, healthOf, viewDatabase } from "./account/views.ts";
import { AccountWork, type WakeableRuns } from "./account/work.ts";
import { ApiRateLimiter } from "./limits/api-rate-limiter.ts";
import { LeaseTable } from "./limits/lease-table.ts";
import { type CallLimiter, meteredApi } from "./limits/metered-api.ts";
import { AlarmShell } from "./object/alarm-shell.ts";
import { AccountOutbox } from "./registry/account-outbox.ts";
import { AccountSchedule } from "./registry/account-schedule.ts";
import { DatabaseRegistry, newlyRegistered } from "./registry/database-registry.ts";
import { DueQueue } from "./registry/due-queue.ts";
import { ListingStore } from "./registry/listing-store.ts";
import { PolicyCopies } from "./registry/policy-copies.ts";

const WATCHDOG_MS = 30_000;

/** When to read a policy from the bucket again that could not be read. */
const RECALL_AGAIN_MS = 60_000;

/** So many names are told to whoever looks for the one that was meant. They are compared there, not here. */
const NAMES_TOLD = 200;

/** So many calls are reserved for active runs before the bookmark of another database is requested. */
const COMPARISON_SPARES = 24;

/** The object that maintains the bucket once a day. */
export interface DailyMaintenance {
  daily(): Promise<void>;
}

/** The dependencies of the account's object. */
export interface AccountObjectParts {
  readonly connect: Connect<Cloudflare.Env>;
  readonly database: (id: string) => WakeableRuns;
  readonly maintenance: (accountId: string) => DailyMaintenance;
}

/**
 * The account's single object. It knows the databases and their policies, checks at every alarm which are due, compares
 * bookmarks, and starts changed databases as leases become free. It grants these leases, and manages the budget of
 * calls to Cloudflare's API.
 */
export class AccountObject extends DurableObject implements AccountRuns, Coordinator {
  readonly #parts: AccountObjectParts;
  readonly #alarm: AlarmShell<Opened>;
  readonly #leases: LeaseTable;
  readonly #calls: ApiRateLimiter;
  readonly #listing: ListingStore;
  readonly #rounds: AccountRounds;
  readonly #registry: DatabaseRegistry;
  readonly #queue: DueQueue;
  readonly #outbox: AccountOutbox;
  readonly #policyCopies: PolicyCopies;
  readonly #proofs: KeyProofs;
  readonly #comparisonsRest = { until: 0 };
  #schedule: AccountSchedule | null = null;
  #scheduleRestsUntil = 0;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env, parts: AccountObjectParts) {
    super(ctx, env);
    this.#parts = parts;
    const { storage } = ctx;
    this.#leases = new LeaseTable(storage.sql);
    this.#calls = new ApiRateLimiter(storage);
    this.#listing = new ListingStore(storage);
    this.#registry = new DatabaseRegistry(storage.sql);
    this.#queue = new DueQueue(storage.sql);
    this.#outbox = new AccountOutbox(storage, this.#registry);
    this.#policyCopies = new PolicyCopies(storage, this.#registry);
    this.#rounds = new AccountRounds(storage, this.#listing, this.#queue, this.#outbox);
    this.#proofs = new KeyProofs(storage.sql);
    this.#alarm = new AlarmShell(storage, {
      watchdogMs: WATCHDOG_MS,
      connect: () => this.#open(),
      work: (opened) => this.#work(opened),
      nextAt: () => this.#nextAt(),
    });
  }

  async acquireLease(kind: LeaseKind, databaseId: string): Promise<boolean> {
    const now = Date.now();
    this.#registry.sign(databaseId, now);
    return this.#leases.acquire(kind, databaseId, now);
  }

  async releaseLease(kind: LeaseKind, databaseId: string): Promise<void> {
    const next = this.#leases.release(kind, databaseId, Date.now());
    if (kind === "export" && this.#queue.nextAt(true) !== null) await this.#alarm.wakeBy(Date.now());
    // If this call is lost, the waiting object asks again by itself.
    await Promise.allSettled(next.map((id) => this.#parts.database(id).wake()));
  }

  async acquireCall(kind: CallKind): Promise<number> {
    return this.#calls.acquire(kind, this.#leases.held("export", Date.now()), Date.now());
  }

  async slowDown(forMs: number, left: number | null = null): Promise<void> {
    const now = Date.now();
    this.#calls.slowDown(forMs, now, left, this.#leases.held("export", now));
  }

  async policy(databaseId: string): Promise<Result<FullPolicy>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const { schedule, platform } = opened.value;
    const loaded = await this.#policyCopies.load(databaseId, schedule, platform);
    if (!loaded.ok) return loaded;
    return ok(schedule.policyOf(this.#registry.get(databaseId)?.policy ?? {}));
  }

  async report(report: DatabaseReport): Promise<void> {
    const opened = this.#open();
    if (!opened.ok) throw new Error(opened.failure.detail);
    const now = Date.now();
    const database = { id: report.databaseId, name: report.databaseName };
    if (report.isCatalog) this.#leaveOut(database.id);
    else opened.value.schedule.register(database, now);
    if (!report.isCatalog && this.#listing.catalogId === database.id) this.#listing.catalogId = "";
    this.#registry.report(report, now);
    await this.#alarm.wakeBy(this.#nextAt() ?? now + WATCHDOG_MS);
  }

  /** The catalogue itself, under a name that the settings do not give: as if no list had ever named it. */
  #leaveOut(databaseId: string): void {
    this.ctx.storage.transactionSync(() => {
      this.#listing.catalogId = databaseId;
      this.#registry.remove(databaseId);
      this.#queue.drop(databaseId);
    });
  }

  async tick(cron: string, scheduledTime: number): Promise<Result<void>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const { schedule, platform } = opened.value;
    const now = platform.now();
    if (schedule.saw(cron, scheduledTime, now)) this.#outbox.addListing(now);
    this.#rounds.list(Math.min(scheduledTime, now) - 1, now);
    this.ctx.storage.kv.put("look-after", true);
    await this.#alarm.wakeBy(now);
    return ok(undefined);
  }

  async startAll(request: BackupRequest): Promise<Result<SweepAnswer>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    // The excluded databases must be known before all are started.
    const loaded = await this.#policyCopies.loadDefault(opened.value.schedule, opened.value.platform);
    if (!loaded.ok) return loaded;
    await this.ctx.storage.setAlarm(opened.value.platform.now() + WATCHDOG_MS);
    const answer = await this.#rounds.startAll(request, opened.value, this.#workOf(opened.value));
    await this.#alarm.rearm();
    return answer;
  }

  async latestSweep(): Promise<SweepView | null> {
    return this.#rounds.sweep;
  }

  async triggers(): Promise<Result<readonly Trigger[]>> {
    const opened = this.#open();
    return opened.ok ? ok(opened.value.schedule.triggers) : opened;
  }

  async defaultPolicy(): Promise<Result<DefaultPolicyView>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const loaded = await this.#policyCopies.loadDefault(opened.value.schedule, opened.value.platform);
    if (!loaded.ok) return loaded;
    return ok(defaultPolicyView(opened.value.schedule, this.#registry.changes(DEFAULT_POLICY)));
  }

  async setDefaultPolicy(policy: DefaultPolicy, who: string): Promise<Result<DefaultPolicyView>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const now = opened.value.platform.now();
    opened.value.schedule.setDefaultPolicy(policy, who, now);
    this.#outbox.addListing(now);
    this.#outbox.addPolicy(now);
    await this.#alarm.wakeBy(now);
    return this.defaultPolicy();
  }

  async database(nameOrId: string): Promise<Result<DatabaseDescription | null>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const { schedule, platform } = opened.value;
    const found = this.#registry.find(nameOrId);
    if (found === null) return ok(null);
    const loaded = await this.#policyCopies.load(found.id, schedule, platform);
    if (!loaded.ok) return loaded;
    const entry = this.#registry.get(found.id) ?? found;
    return ok(viewDatabase(entry, this.#registry.changes(entry.id), schedule, platform.now()));
  }

  async knownNames(wanted: string): Promise<KnownNames> {
    const listed = this.#listing.listed;
    return {
      listedAt: listed === null ? null : iso(listed.at),
      names: this.#registry.namesLike(wanted, NAMES_TOLD),
    };
  }

  async describe(database: { id: string; name: string }): Promise<Result<DatabaseDescription>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const { schedule, platform } = opened.value;
    const loaded = await this.#policyCopies.load(database.id, schedule, platform);
    if (!loaded.ok) return loaded;
    const now = platform.now();
    const entry = this.#registry.get(database.id) ?? newlyRegistered(database, now, now);
    const named = { ...entry, name: database.name };
    return ok(viewDatabase(named, this.#registry.changes(entry.id), schedule, now));
  }

  async setPolicy(
    database: { id: string; name: string },
    policy: Policy,
    who: string,
  ): Promise<Result<DatabaseDescription>> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const { schedule, platform } = opened.value;
    const now = platform.now();
    const entry = schedule.setPolicy(database, policy, who, now);
    this.#outbox.addListing(now);
    await this.#alarm.wakeBy(now);
    return ok(viewDatabase(entry, this.#registry.changes(entry.id), schedule, now));
  }

  async restorePolicies(copies: readonly PolicyCopy[]): Promise<void> {
    const opened = this.#open();
    if (!opened.ok) throw new Error(opened.failure.detail);
    const { schedule, platform } = opened.value;
    for (const copy of copies) schedule.restore(copy, platform.now());
    await this.#alarm.wakeBy(platform.now());
  }

  async catalogRebuilt(copy: DefaultPolicyCopy | null): Promise<void> {
    const opened = this.#open();
    if (!opened.ok) throw new Error(opened.failure.detail);
    const { schedule, platform } = opened.value;
    const now = platform.now();
    if (copy !== null) schedule.restoreDefault(copy, now);
    this.#outbox.addListing(now);
    await this.#alarm.wakeBy(now);
  }

  async keyProofs(recipients: readonly string[]): Promise<Result<KeyProof[]>> {
    const connected = this.#parts.connect(this.env);
    if (!connected.ok) return connected;
    this.#proofs.keepOnly(recipients);
    return ok(await this.#proofs.items(recipients, connected.value));
  }

  async proveKeys(
    recipients: readonly string[],
    answers: readonly string[],
  ): Promise<Result<{ items: KeyProof[]; refused: number[] }>> {
    const connected = this.#parts.connect(this.env);
    if (!connected.ok) return connected;
    this.#proofs.keepOnly(recipients);
    const refused = this.#proofs.answer(answers, connected.value);
    return ok({ items: await this.#proofs.items(recipients, connected.value), refused });
  }

  async health(recipients: readonly string[]): Promise<AccountHealth> {
    const opened = this.#open();
    if (!opened.ok) throw new Error(opened.failure.detail);
    this.#proofs.keepOnly(recipients);
    return healthOf({
      listing: this.#listing,
      pendingSince: this.#outbox.listingPendingSince,
      sweep: await this.latestSweep(),
      unproven: this.#proofs.unproven(recipients),
      catalogDatabaseName: opened.value.platform.settings.catalogDatabaseName,
      registry: this.#registry,
      schedule: opened.value.schedule,
      now: opened.value.platform.now(),
    });
  }

  override alarm(): Promise<void> {
    return this.#alarm.ring();
  }

  async #work(opened: Opened): Promise<void> {
    const { schedule, platform } = opened;
    const work = this.#workOf(opened);
    await this.#rounds.goOn(opened, work);
    const loaded = await this.#policyCopies.loadDefault(schedule, platform);
    // The excluded and the paused databases must be known before any is started.
    if (loaded.ok) schedule.enqueueDue(platform.now());
    else {
      this.#scheduleRestsUntil = platform.now() + RECALL_AGAIN_MS;
      console.error({ event: "policy-not-loaded", code: loaded.failure.code });
    }
    await work.compare();
    await work.start();
    if (this.ctx.storage.kv.get("look-after") === true) {
      this.ctx.storage.kv.delete("look-after");
      await work.revive();
      await this.#daily(platform);
    }
    this.#rounds.settle(platform.now());
    await this.#outbox.flush(platform, schedule, this.#policyCopies);
  }

  async #daily(platform: Platform): Promise<void> {
    const { kv } = this.ctx.storage;
    const last = Number(kv.get("cared-at") ?? 0);
    const now = platform.now();
    if (now - last < DAY_MS && now >= last) return;
    try {
      await this.#parts.maintenance(platform.settings.accountId).daily();
      kv.put("cared-at", now);
    } catch (error) {
      // The next heartbeat asks again; nothing else waits for it.
      console.error({ event: "care-not-begun", detail: describeException(error) });
    }
  }

  /** The platform with its calls rate-limited here, and the schedule with its settings. */
  #open(): Result<Opened> {
    const connected = this.#parts.connect(this.env);
    if (!connected.ok) return connected;
    const bare = connected.value;
    const { exportsAtOnce, apiBudget } = bare.settings;
    this.#leases.limit("export", exportSlots(exportsAtOnce, apiBudget));
    this.#calls.limit(apiBudget);
    const platform = { ...bare, api: meteredApi(bare.api, this, "work") };
    const comparisonApi = meteredApi(bare.api, this.#comparisonLimiter, "work");
    // All calls share one, because an alarm in the middle of its work must see what a call sets.
    this.#schedule ??= new AccountSchedule(this.ctx.storage, this.#registry, this.#queue, bare.settings);
    return ok({ platform, schedule: this.#schedule, comparisonApi });
  }

  /** Comparisons leave room for the calls of active runs. */
  get #comparisonLimiter(): CallLimiter {
    return {
      acquireCall: async (kind) => {
        const now = Date.now();
        return this.#calls.acquire(kind, this.#leases.held("export", now), now, COMPARISON_SPARES);
      },
      slowDown: (forMs, left) => this.slowDown(forMs, left),
    };
  }

  #workOf({ platform, schedule, comparisonApi }: Opened): AccountWork {
    return new AccountWork({
      registry: this.#registry,
      queue: this.#queue,
      leases: this.#leases,
      outbox: this.#outbox,
      schedule,
      platform,
      policyCopies: this.#policyCopies,
      comparisonApi,
      comparisonsRest: this.#comparisonsRest,
      database: (id) => this.#parts.database(id),
    });
  }

  #nextAt(): number | null {
    const now = Date.now();
    const due = this.#registry.nextDueAt();
    const [toCompare, toStart] = [this.#queue.nextAt(false), this.#queue.nextAt(true)];
    const times = [
      this.#listing.underWay?.dueAt ?? null,
      due === null ? null : Math.max(due, this.#scheduleRestsUntil),
      toCompare === null ? null : Math.max(toCompare, this.#comparisonsRest.until),
      toStart === null ? null : Math.max(toStart, this.#leases.lookAgainAt("export", now)),
      this.#outbox.nextAt(),
      this.ctx.storage.kv.get("look-after") === true ? now : null,
    ].filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }
}
