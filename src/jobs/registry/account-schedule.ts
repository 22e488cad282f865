import { DAY_MS } from "../../core/time.ts";
import { DEFAULT_POLICY } from "../../core/bucket/object-keys.ts";
import type { ListingEntry } from "../../core/catalog/database-index.ts";
import type { Settings } from "../../core/platform.ts";
import { effectivePolicy, isIncluded } from "../../core/policy/effective-policy.ts";
import type { DefaultPolicyCopy, PolicyCopy } from "../../core/policy/policy-copy.ts";
import {
  type DefaultPolicy,
  type FullPolicy,
  type Policy,
  storedDefaultPolicySchema,
} from "../../core/policy/policy.ts";
import {
  expressionOfTrigger,
  giveSameSlots,
  sawTrigger,
  scheduleTriggers,
  type Trigger,
  triggersSchema,
} from "../../core/schedule/cron-triggers.ts";
import {
  anchorAfterChange,
  dueAt,
  freshnessLimitMs,
  type Plan,
  serve,
  soundAnchor,
} from "../../core/schedule/schedule.ts";
import { iso } from "../../core/time.ts";
import { type DatabaseRegistry, newlyRegistered, type RegistryEntry } from "./database-registry.ts";
import type { DueQueue } from "./due-queue.ts";

/** So many databases are put into the queue at a time. */
const DUE_AT_ONCE = 500;

/** The author of a policy that was restored from the bucket. */
export const RESTORED = "restored from the bucket";

/** A weekly trigger has fired by then. */
const FIRST_NIGHTLY_MS = 8 * DAY_MS;

/** Which databases there are, by which policy, and whose turn it is. All of it synchronous: no call comes in between. */
export class AccountSchedule {
  readonly #storage: DurableObjectStorage;
  readonly #registry: DatabaseRegistry;
  readonly #queue: DueQueue;
  readonly #settings: Pick<Settings, "compression" | "volumeBytes">;
  /** As read from storage: asked for with each of thousands of databases. */
  #defaultPolicy: DefaultPolicy | null = null;
  #triggers: Trigger[] | null = null;

  constructor(
    storage: DurableObjectStorage,
    registry: DatabaseRegistry,
    queue: DueQueue,
    settings: Pick<Settings, "compression" | "volumeBytes">,
  ) {
    this.#storage = storage;
    this.#registry = registry;
    this.#queue = queue;
    this.#settings = settings;
  }

  get triggers(): Trigger[] {
    this.#triggers ??= triggersSchema.parse(this.#storage.kv.get("triggers") ?? []);
    return this.#triggers;
  }

  get defaultPolicy(): DefaultPolicy {
    this.#defaultPolicy ??= storedDefaultPolicySchema.parse(this.#storage.kv.get("policy") ?? {});
    return this.#defaultPolicy;
  }

  policyOf(own: Policy): FullPolicy {
    return effectivePolicy(own, this.#settings, sharedPart(this.defaultPolicy));
  }

  /** A Cron Trigger fired. True when databases follow other triggers from now on. */
  saw(cron: string, scheduledTime: number, now: number): boolean {
    const before = this.triggers;
    const after = sawTrigger(before, cron, scheduledTime);
    const last = Number(this.#storage.kv.get("ticked-at") ?? 0);
    return this.#together(() => {
      this.#storage.kv.put("triggers", after);
      this.#triggers = after;
      this.#storage.kv.put("ticked-at", now);
      if (scheduleTriggers(after).length > 0) this.#storage.kv.put("nightly-known", true);
      if (last > now + DAY_MS) this.#putClockRight(now);
      else if (!giveSameSlots(before, after)) this.#rescheduleAll();
      return crons(before) !== crons(after);
    });
  }

  /**
   * The account's databases, all of them when `whole`. One that is new is served from `anchor` on: nothing fires
   * because of having been found. One that two lists in a row lack is gone: a single one may be wrong, and costs no
   * slot. True when the list is another one than before.
   */
  applyListing(
    found: readonly { id: string; name: string }[],
    anchor: number,
    now: number,
    whole = true,
  ): boolean {
    return this.#storage.transactionSync(() => {
      if (this.#storage.kv.get("installed-at") === undefined) this.#storage.kv.put("installed-at", now);
      const known = this.#registry.names();
      let changed = false;
      for (const database of found) {
        const before = known.get(database.id);
        known.delete(database.id);
        if (before?.name === database.name && !before.missing && !before.gone) continue;
        changed ||= before?.name !== database.name || before.gone;
        const entry = this.#registry.get(database.id) ?? newlyRegistered(database, anchor, now);
        this.#save({ ...entry, name: database.name, missingSince: null, goneAt: null });
      }
      for (const [id, { gone }] of whole ? known : []) {
        const entry = gone ? null : this.#registry.get(id);
        if (entry === null) continue;
        if (entry.missingSince === null) {
          this.#save({ ...entry, missingSince: now });
          continue;
        }
        changed = true;
        this.#save({ ...entry, goneAt: now });
        this.#queue.drop(id);
      }
      return changed;
    });
  }

  /** A database that is known from its object only, so far. */
  register(database: { id: string; name: string }, now: number): RegistryEntry {
    const known = this.#registry.get(database.id);
    if (known !== null) return known;
    const entry = newlyRegistered(database, now, now);
    this.#save(entry);
    return entry;
  }

  /** Queues the databases that are due, for the latest slot that has passed, however many were missed. */
  enqueueDue(now: number): void {
    this.#storage.transactionSync(() => {
      const { triggers } = this;
      for (const entry of this.#registry.due(now, DUE_AT_ONCE)) {
        const served = serve(this.policyOf(entry.policy), triggers, entry.anchor, now);
        if (served !== null) {
          const key = `slot-${iso(served.slot)}`;
          const request = { trigger: "scheduled", label: null, pinned: false, force: false } as const;
          this.#queue.add(entry, { ...request, examine: false, key }, false, now);
        }
        // Nothing to serve: the triggers have changed since, and its time is another one now.
        this.#save({ ...entry, anchor: served?.anchor ?? entry.anchor });
      }
    });
  }

  /** Replaces the database's own policy. A new schedule, or one that is no longer paused, starts at its next slot. */
  setPolicy(database: { id: string; name: string }, policy: Policy, who: string, now: number): RegistryEntry {
    return this.#storage.transactionSync(() => {
      const before = this.register(database, now);
      const [was, is] = [this.#plan(before, before.policy), this.#plan(before, policy)];
      const anchor = anchorAfterChange(was, is, before.anchor, now);
      const entry = { ...before, name: database.name, policy, loaded: true, unchangedOff: null, anchor };
      this.#save(entry);
      this.#registry.recordChange(entry.id, { at: now, who, policy });
      this.#registry.copyLater(entry.id, now);
      return entry;
    });
  }

  /** Restores the bucket's record of a database whose policy is not known here. */
  restore({ databaseId, databaseName, policy, unchanged, policyChanges }: PolicyCopy, now: number): void {
    const known = this.#registry.get(databaseId);
    if (known !== null && this.#registry.changes(databaseId).length > 0) return;
    const entry = this.register({ id: databaseId, name: databaseName }, now);
    this.#restoreChanges(databaseId, policyChanges);
    if (Object.keys(policy).length > 0) this.setPolicy(entry, policy, RESTORED, now);
    if (unchanged === null || entry.unchanged !== null) return;
    const { backupId, checkedAt } = unchanged;
    this.#registry.change(databaseId, { unchanged: { backupId, checkedAt: Date.parse(checkedAt) } });
  }

  setDefaultPolicy(policy: DefaultPolicy, who: string, now: number): void {
    this.#together(() => {
      const entries = this.#registry.listed();
      const before = entries.map((entry) => this.#plan(entry, entry.policy));
      this.#storage.kv.put("policy", policy);
      this.#storage.kv.put("policy-loaded", true);
      this.#defaultPolicy = policy;
      this.#registry.recordChange(DEFAULT_POLICY, { at: now, who, policy });
      entries.forEach((entry, index) => {
        const is = this.#plan(entry, entry.policy);
        this.#save({ ...entry, anchor: anchorAfterChange(before[index] ?? is, is, entry.anchor, now) });
      });
    });
  }

  /** Takes over the policy of all databases that the bucket remembers, unless one was set here. */
  restoreDefault({ policy, policyChanges }: DefaultPolicyCopy, now: number): void {
    if (this.#registry.changes(DEFAULT_POLICY).length > 0) return;
    this.#restoreChanges(DEFAULT_POLICY, policyChanges);
    this.setDefaultPolicy(policy, RESTORED, now);
  }

  /** Who changed a policy before this object was made; the latest change comes first in a copy. */
  #restoreChanges(id: string, changes: PolicyCopy["policyChanges"]): void {
    for (const { at, who, policy } of changes.toReversed())
      this.#registry.recordChange(id, { at: Date.parse(at), who, policy });
  }

  /** When the database starts next; null: never, or it waits in the queue. */
  nextAt(entry: RegistryEntry): number | null {
    return this.#registry.dueAtOf(entry.id);
  }

  isIncluded(name: string): boolean {
    return isIncluded(name, this.defaultPolicy);
  }

  /** None is known any more, or none has fired since this installation was made, be it a weekly one. */
  isNightlyMissing(now: number): boolean {
    if (scheduleTriggers(this.triggers).length > 0) return false;
    const since = this.#storage.kv.get("installed-at");
    const known = this.#storage.kv.get("nightly-known") === true;
    return known || (typeof since === "number" && now - since > FIRST_NIGHTLY_MS);
  }

  /** Whether some database follows the Worker's own triggers. */
  get isFollowed(): boolean {
    return this.#registry.isAnyListed((entry) => {
      return this.isWatched(entry) && this.policyOf(entry.policy).schedule === "trigger";
    });
  }

  /**
   * The triggers of which none tells how often it fires, while some database has no other measure of how old its latest
   * backup may be.
   */
  get unreadTriggers(): string[] {
    const followed = scheduleTriggers(this.triggers).map(({ cron }) => cron);
    if (followed.some((cron) => expressionOfTrigger(cron) !== null)) return [];
    const isMeasured = this.#registry.isAnyListed((entry) => {
      const { schedule, freshnessMs } = this.policyOf(entry.policy);
      return this.isWatched(entry) && schedule === "trigger" && freshnessMs === null;
    });
    return isMeasured ? followed : [];
  }

  /** Neither gone, paused nor excluded. */
  isWatched(entry: RegistryEntry): boolean {
    return entry.goneAt === null && !this.#plan(entry, entry.policy).paused;
  }

  /** The report to the catalogue: which databases are watched, and how late each may be. */
  listing(now: number): ListingEntry[] {
    const { triggers } = this;
    const limits = new Map<string, number>();
    return this.#registry.listed().map((entry) => {
      const policy = this.policyOf(entry.policy);
      const of = JSON.stringify([policy.schedule, policy.freshnessMs]);
      const freshnessMs = limits.get(of) ?? freshnessLimitMs(policy, triggers, now);
      limits.set(of, freshnessMs);
      return { id: entry.id, name: entry.name, freshnessMs, watched: this.isWatched(entry) };
    });
  }

  /** Stores changes together or not at all, and drops unstored changes from memory. */
  #together<T>(changes: () => T): T {
    try {
      return this.#storage.transactionSync(changes);
    } catch (error) {
      this.#triggers = null;
      this.#defaultPolicy = null;
      throw error;
    }
  }

  /** The plan that decides when it starts: an excluded database counts as paused. */
  #plan({ name }: RegistryEntry, own: Policy): Plan {
    const { schedule, paused } = this.policyOf(own);
    return { schedule, paused: paused || !this.isIncluded(name) };
  }

  /** The clock was far ahead: what was served then must not silence what comes now. */
  #putClockRight(now: number): void {
    for (const entry of this.#registry.listed()) {
      const plan = this.#plan(entry, entry.policy);
      this.#save({ ...entry, anchor: soundAnchor(plan, this.triggers, entry.anchor, now) });
    }
  }

  #rescheduleAll(): void {
    for (const entry of this.#registry.listed()) this.#save(entry);
  }

  #save(entry: RegistryEntry): void {
    const plan = this.#plan(entry, entry.policy);
    if (plan.paused) this.#queue.dropSlot(entry.id);
    const next = entry.goneAt === null ? dueAt(entry.id, plan, this.triggers, entry.anchor) : null;
    this.#registry.save(entry, next);
  }
}

function crons(triggers: readonly Trigger[]): string {
  return JSON.stringify(scheduleTriggers(triggers).map(({ cron }) => cron));
}

/** A policy's keys alone. */
function sharedPart(policy: DefaultPolicy): Policy {
  const shared = { ...policy };
  delete shared.include;
  delete shared.exclude;
  return shared;
}
