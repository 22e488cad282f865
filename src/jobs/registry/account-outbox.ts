import { z } from "zod";
import { backoffMs } from "../../core/backoff.ts";
import { DEFAULT_POLICY, recordKey } from "../../core/bucket/object-keys.ts";
import type { Platform } from "../../core/platform.ts";
import type { RunView } from "../../core/run/run-view.ts";
import { iso } from "../../core/time.ts";
import type { AccountSchedule } from "./account-schedule.ts";
import type { DatabaseRegistry, RegistryEntry } from "./database-registry.ts";
import type { PolicyCopies } from "./policy-copies.ts";

/** When the catalogue is to be told something, and how often that has failed. */
const owedSchema = z.object({
  since: z.number(),
  attempt: z.number().int(),
  dueAt: z.number(),
  /** Goes up with each change, so that one that comes while another is told is told too. */
  serial: z.number().int(),
});
type Owed = z.infer<typeof owedSchema>;

// written and read by the same deployment or the next one, and only passed on
const untoldRunSchema = z.custom<RunView>();

/** The catalogue is told the whole list again after so long, so that one that was made anew comes to know it. */
const TELL_AGAIN_MS = 6 * 60 * 60_000;

type What = "listing" | "runs" | "policy";

const RUNS_AT_ONCE = 100;
const MIRRORS_AT_ONCE = 8;

/**
 * What the account's object owes to others: the list of databases and runs that ended as unchanged to the catalogue,
 * and to the bucket a copy of policies and findings. Each is kept until it was taken: who is down delays nothing else.
 */
export class AccountOutbox {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #registry: DatabaseRegistry;

  constructor(storage: DurableObjectStorage, registry: DatabaseRegistry) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#registry = registry;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS untold (serial INTEGER PRIMARY KEY, run TEXT NOT NULL)");
  }

  /** The list was read in full. */
  listed(now: number): void {
    this.#storage.kv.put("listed-at", now);
  }

  /** The list, or what is told with it, has changed. */
  oweListing(now: number): void {
    this.#change("listing", now);
  }

  /** Since when the catalogue does not know the list as it is; null while it does. */
  get listingOwedSince(): number | null {
    return this.#owed("listing")?.since ?? null;
  }

  oweRun(run: RunView, now: number): void {
    this.#sql.exec("INSERT INTO untold (run) VALUES (?)", JSON.stringify(run));
    if (this.#owed("runs") === null) this.#change("runs", now);
  }

  /** The default policy's copy in the bucket has to follow. */
  owePolicy(now: number): void {
    this.#change("policy", now);
  }

  /** Sends what is due. */
  async flush(platform: Platform, schedule: AccountSchedule, policyCopies: PolicyCopies): Promise<void> {
    await this.#tellListing(platform, schedule);
    await this.#tellRuns(platform);
    await this.#copyPolicy(platform, schedule);
    await this.#copy(platform, schedule, policyCopies);
  }

  nextAt(): number | null {
    const times = [
      // Before the first list there is nothing to tell of it.
      this.#moment("listed-at") === null ? null : this.#owed("listing")?.dueAt,
      this.#owed("runs")?.dueAt,
      this.#owed("policy")?.dueAt,
      this.#registry.nextCopyAt(),
    ].filter((time) => typeof time === "number");
    return times.length === 0 ? null : Math.min(...times);
  }

  async #tellListing(platform: Platform, schedule: AccountSchedule): Promise<void> {
    const now = platform.now();
    const [listedAt, toldAt] = [this.#moment("listed-at"), this.#moment("told-at")];
    if (listedAt === null) return;
    if (this.#owed("listing") === null && toldAt !== null && listedAt - toldAt >= TELL_AGAIN_MS)
      this.oweListing(now);
    const owed = this.#owed("listing");
    if (owed === null || owed.dueAt > now) return;
    const saved = await platform.databases.saveListing(schedule.listing(now), iso(listedAt));
    // What has changed while we waited is told next.
    if (this.#owed("listing")?.serial !== owed.serial) return;
    if (!saved.ok) return this.#owe("listing", later(owed, platform));
    this.#storage.kv.put("told-at", listedAt);
    this.#owe("listing", null);
  }

  async #tellRuns(platform: Platform): Promise<void> {
    const owed = this.#owed("runs");
    if (owed === null || owed.dueAt > platform.now()) return;
    const rows = this.#sql
      .exec<{ serial: number; run: string }>(
        "SELECT serial, run FROM untold ORDER BY serial LIMIT ?",
        RUNS_AT_ONCE,
      )
      .toArray();
    const runs = rows.map(({ run }) => untoldRunSchema.parse(JSON.parse(run)));
    const saved = await platform.databases.saveUnchanged(runs);
    if (!saved.ok) return this.#owe("runs", later(owed, platform));
    this.#sql.exec("DELETE FROM untold WHERE serial <= ?", rows.at(-1)?.serial ?? 0);
    const left = this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM untold").one().n;
    this.#owe("runs", left === 0 ? null : { ...owed, attempt: 0, dueAt: platform.now() });
  }

  async #copyPolicy(platform: Platform, schedule: AccountSchedule): Promise<void> {
    const owed = this.#owed("policy");
    if (owed === null || owed.dueAt > platform.now()) return;
    const policyChanges = this.#changes(DEFAULT_POLICY);
    const text = json({ formatVersion: 1, policy: schedule.defaultPolicy, policyChanges });
    const written = await platform.vault.put(recordKey(platform.settings.keyPrefix, DEFAULT_POLICY), text);
    if (this.#owed("policy")?.serial !== owed.serial) return;
    this.#owe("policy", written.ok ? null : later(owed, platform));
  }

  async #copy(platform: Platform, schedule: AccountSchedule, policyCopies: PolicyCopies): Promise<void> {
    const due = this.#registry.uncopied(platform.now(), MIRRORS_AT_ONCE);
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
    return json({ formatVersion: 1, databaseId: id, databaseName: name, policy, ...shown, policyChanges });
  }

  #changes(id: string) {
    return this.#registry.changes(id).map((change) => ({ ...change, at: iso(change.at) }));
  }

  #moment(key: string): number | null {
    const stored = this.#storage.kv.get(key);
    return typeof stored === "number" ? stored : null;
  }

  #change(what: What, now: number): void {
    const before = this.#owed(what);
    this.#owe(what, {
      since: before?.since ?? now,
      attempt: 0,
      dueAt: now,
      serial: (before?.serial ?? 0) + 1,
    });
  }

  #owed(what: What): Owed | null {
    return owedSchema.safeParse(this.#storage.kv.get(`owed-${what}`)).data ?? null;
  }

  #owe(what: What, owed: Owed | null): void {
    if (owed === null) this.#storage.kv.delete(`owed-${what}`);
    else this.#storage.kv.put(`owed-${what}`, owed);
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

function later(owed: Owed, platform: Platform): Owed {
  return { ...owed, attempt: owed.attempt + 1, dueAt: againAt(owed.attempt, platform) };
}

function againAt(attempt: number, platform: Platform): number {
  return platform.now() + backoffMs(attempt, platform.random(), 2_000, 300_000);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
