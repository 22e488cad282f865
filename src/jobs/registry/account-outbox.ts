import { z } from "zod";
import { DEFAULT_POLICY, recordKey } from "../../core/bucket/object-keys.ts";
import type { Platform } from "../../core/platform.ts";
import { policyCopyText } from "../../core/policy/policy-copy.ts";
import type { RunView } from "../../core/run/run-view.ts";
import { iso } from "../../core/time.ts";
import { againAt, Outbox } from "../object/outbox.ts";
import { upgradeTables } from "../object/table-versions.ts";
import type { AccountSchedule } from "./account-schedule.ts";
import type { DatabaseRegistry, RegistryEntry } from "./database-registry.ts";
import type { PolicyCopies } from "./policy-copies.ts";

// written and read by the same deployment or the next one, and only passed on
const pendingRunSchema = z.custom<RunView>();

/** How often the entire list is delivered again, so that a recreated catalogue gets it. */
const DELIVER_AGAIN_MS = 6 * 60 * 60_000;

const RUNS_AT_ONCE = 100;
const COPIES_AT_ONCE = 8;

/** The steps by which its table comes to be: see `upgradeTables`. */
export const ACCOUNT_OUTBOX_TABLES = [
  "CREATE TABLE pending_run (serial INTEGER PRIMARY KEY, run TEXT NOT NULL)",
];

/**
 * What the account's object has to deliver: to the catalogue the list of databases and the runs that ended as
 * unchanged, to the bucket a copy of policies and findings.
 */
export class AccountOutbox {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #registry: DatabaseRegistry;
  readonly #listing: Outbox;
  readonly #runs: Outbox;
  readonly #policy: Outbox;

  constructor(storage: DurableObjectStorage, registry: DatabaseRegistry) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#registry = registry;
    this.#listing = new Outbox(storage.kv, "listing");
    this.#runs = new Outbox(storage.kv, "runs");
    this.#policy = new Outbox(storage.kv, "policy");
    upgradeTables(this.#sql, "account-outbox", ACCOUNT_OUTBOX_TABLES);
  }

  /** The list was read in full. */
  listed(now: number): void {
    this.#storage.kv.put("listed-at", now);
  }

  /** The list, or what is delivered with it, has changed. */
  addListing(now: number): void {
    this.#listing.add(now);
  }

  /** Since when the catalogue's list is out of date; null if it is not. */
  get listingPendingSince(): number | null {
    return this.#listing.pendingSince;
  }

  addRun(run: RunView, now: number): void {
    this.#sql.exec("INSERT INTO pending_run (run) VALUES (?)", JSON.stringify(run));
    // Do not try a catalogue that is down for each run.
    if (this.#runs.dueAt === null) this.#runs.add(now);
  }

  /** The default policy's copy in the bucket has to follow. */
  addPolicy(now: number): void {
    this.#policy.add(now);
  }

  /** Delivers what is due. */
  async flush(platform: Platform, schedule: AccountSchedule, policyCopies: PolicyCopies): Promise<void> {
    await this.#deliverListing(platform, schedule);
    await this.#deliverRuns(platform);
    await this.#copyPolicy(platform, schedule);
    await this.#copyDatabases(platform, schedule, policyCopies);
  }

  nextAt(): number | null {
    const times = [
      // Before the first list there is nothing to deliver.
      this.#moment("listed-at") === null ? null : this.#listing.dueAt,
      this.#runs.dueAt,
      this.#policy.dueAt,
      this.#registry.nextCopyAt(),
    ].filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  async #deliverListing(platform: Platform, schedule: AccountSchedule): Promise<void> {
    const now = platform.now();
    const [listedAt, deliveredAt] = [this.#moment("listed-at"), this.#moment("listing-delivered-at")];
    if (listedAt === null) return;
    const stale = deliveredAt !== null && listedAt - deliveredAt >= DELIVER_AGAIN_MS;
    if (stale && this.#listing.dueAt === null) this.addListing(now);
    await this.#listing.flush(platform, async () => {
      const saved = await platform.databases.saveListing(schedule.listing(now), iso(listedAt));
      if (!saved.ok) return "refused";
      this.#storage.kv.put("listing-delivered-at", listedAt);
      return "delivered";
    });
  }

  async #deliverRuns(platform: Platform): Promise<void> {
    await this.#runs.flush(platform, async () => {
      const rows = this.#sql
        .exec<{ serial: number; run: string }>(
          "SELECT serial, run FROM pending_run ORDER BY serial LIMIT ?",
          RUNS_AT_ONCE,
        )
        .toArray();
      const runs = rows.map(({ run }) => pendingRunSchema.parse(JSON.parse(run)));
      const saved = await platform.databases.saveUnchanged(runs);
      if (!saved.ok) return "refused";
      this.#sql.exec("DELETE FROM pending_run WHERE serial <= ?", rows.at(-1)?.serial ?? 0);
      const left = this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM pending_run").one().n;
      return left === 0 ? "delivered" : "more";
    });
  }

  async #copyPolicy(platform: Platform, schedule: AccountSchedule): Promise<void> {
    await this.#policy.flush(platform, async () => {
      const policyChanges = this.#changes(DEFAULT_POLICY);
      const text = policyCopyText({ policy: schedule.defaultPolicy, policyChanges });
      const key = recordKey(platform.settings.keyPrefix, DEFAULT_POLICY);
      const written = await platform.vault.put(key, text);
      return written.ok ? "delivered" : "refused";
    });
  }

  async #copyDatabases(
    platform: Platform,
    schedule: AccountSchedule,
    policyCopies: PolicyCopies,
  ): Promise<void> {
    const due = this.#registry.uncopied(platform.now(), COPIES_AT_ONCE);
    await Promise.all(
      due.map(async ({ entry: { id }, attempt }) => {
        // Nothing is written over a policy that was not read.
        const loaded = await policyCopies.load(id, schedule, platform);
        const entry = this.#registry.get(id);
        if (entry === null) return;
        if (!loaded.ok) return this.#registry.copyLater(id, againAt(attempt, platform), attempt + 1);
        const text = this.#copyOf(entry);
        const written = await platform.vault.put(recordKey(platform.settings.keyPrefix, entry.id), text);
        const now = this.#registry.get(entry.id);
        if (now === null || this.#copyOf(now) !== text) return;
        if (written.ok) return this.#registry.copied(entry.id);
        return this.#registry.copyLater(entry.id, againAt(attempt, platform), attempt + 1);
      }),
    );
  }

  /** A database's copy in the bucket. */
  #copyOf({ id, name, policy, unchanged, unchangedOff, examinedAt }: RegistryEntry): string {
    const shown = shownFindings({ unchanged, unchangedOff, examinedAt });
    const policyChanges = this.#changes(id);
    return policyCopyText({ databaseId: id, databaseName: name, policy, ...shown, policyChanges });
  }

  #changes(id: string) {
    return this.#registry.changes(id).map((change) => ({ ...change, at: iso(change.at) }));
  }

  #moment(key: string): number | null {
    const stored = this.#storage.kv.get(key);
    return typeof stored === "number" ? stored : null;
  }
}

/** Findings as they are shown, with their times in words. */
export function shownFindings(found: Pick<RegistryEntry, "unchanged" | "unchangedOff" | "examinedAt">) {
  const { unchanged, unchangedOff, examinedAt } = found;
  return {
    unchanged:
      unchanged === null ? null : { backupId: unchanged.backupId, checkedAt: iso(unchanged.checkedAt) },
    unchangedOff: unchangedOff === null ? null : { at: iso(unchangedOff.at), detail: unchangedOff.detail },
    examinedAt: examinedAt === null ? null : iso(examinedAt),
  };
}
