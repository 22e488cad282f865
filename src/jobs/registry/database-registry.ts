import { z } from "zod";
import type { DatabaseReport } from "../../core/account/coordinator.ts";
import { type Policy, storedPolicySchema } from "../../core/policy/policy.ts";
import { upgradeTables } from "../object/table-versions.ts";

/**
 * What the account's object knows of each of its databases. Times are milliseconds since the epoch. The bucket has a
 * copy of what a user has set and what checks have found; all else can be found out again.
 */
const entrySchema = z.object({
  id: z.string(),
  name: z.string(),
  firstSeenAt: z.number(),
  /** Since when the account's list lacks it; null while it is there. */
  goneAt: z.number().nullable(),
  /** Since when the latest lists have lacked it: the second one in a row makes it gone. */
  missingSince: z.number().nullable(),
  policy: storedPolicySchema,
  /** Whether what the bucket remembers of it was looked up, or replaced. */
  loaded: z.boolean(),
  /** All slots up to here are served. */
  anchor: z.number(),
  /** The run that its object was last known to work on, and the last sign of life of it. */
  runId: z.string().nullable(),
  signAt: z.number().nullable(),
  last: z
    .object({ backupId: z.string(), manifestSha256: z.string(), bookmark: z.string().nullable() })
    .nullable(),
  unchanged: z.object({ backupId: z.string(), checkedAt: z.number() }).nullable(),
  unchangedOff: z.object({ at: z.number(), detail: z.string() }).nullable(),
  examinedAt: z.number().nullable(),
});
export type RegistryEntry = z.infer<typeof entrySchema>;

const changeSchema = z.object({ at: z.number(), who: z.string(), policy: z.unknown() });
export type PolicyChange = z.infer<typeof changeSchema>;

/** So many changes of one policy are remembered. */
const CHANGES_KEPT = 20;

/** The steps that create its tables: see `upgradeTables`. */
export const REGISTRY_TABLES = [
  `CREATE TABLE database (
     id TEXT PRIMARY KEY, name TEXT NOT NULL, gone INTEGER NOT NULL, missing INTEGER NOT NULL, due_at INTEGER, sign_at INTEGER,
     copy_due INTEGER, copy_attempt INTEGER NOT NULL DEFAULT 0, entry TEXT NOT NULL);
   CREATE INDEX database_due ON database (due_at, id) WHERE due_at IS NOT NULL;
   CREATE INDEX database_name ON database (name, gone);
   CREATE INDEX database_sign ON database (sign_at) WHERE sign_at IS NOT NULL;
   CREATE INDEX database_copy ON database (copy_due) WHERE copy_due IS NOT NULL;
   CREATE TABLE policy_change (
     serial INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL, policy TEXT NOT NULL);
   CREATE INDEX policy_change_of ON policy_change (id, serial)`,
];

export class DatabaseRegistry {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    upgradeTables(sql, "registry", REGISTRY_TABLES);
  }

  get(id: string): RegistryEntry | null {
    return this.#read("SELECT entry FROM database WHERE id = ?", id)[0] ?? null;
  }

  /** By UUID or name. Of several that have had one name: the one that is there, else the one that went last. */
  find(nameOrId: string): RegistryEntry | null {
    const byId = this.get(nameOrId);
    if (byId !== null) return byId;
    const named = this.#read("SELECT entry FROM database WHERE name = ?", nameOrId);
    const latest = (a: RegistryEntry, b: RegistryEntry) => (b.goneAt ?? Infinity) - (a.goneAt ?? Infinity);
    return named.sort(latest)[0] ?? null;
  }

  /** All databases, with only the fields that show whether a listing changes anything. */
  names(): Map<string, { name: string; gone: boolean; missing: boolean }> {
    const sql = "SELECT id, name, gone, missing FROM database";
    const rows = this.#sql.exec<{ id: string; name: string; gone: number; missing: number }>(sql).toArray();
    return new Map(
      rows.map(({ id, name, gone, missing }) => [id, { name, gone: gone !== 0, missing: missing !== 0 }]),
    );
  }

  /** Names of databases that the account has now, those first that are about as long as the wanted one. */
  namesLike(wanted: string, limit: number): string[] {
    const sql = "SELECT name FROM database WHERE gone = 0 ORDER BY abs(length(name) - ?), name LIMIT ?";
    return this.#sql
      .exec<{ name: string }>(sql, wanted.length, limit)
      .toArray()
      .map(({ name }) => name);
  }

  /** Those that the account has now. */
  listed(): RegistryEntry[] {
    return this.#read("SELECT entry FROM database WHERE gone = 0 ORDER BY name");
  }

  /** Whether one of those that the account has now is such; no more of them are read than it takes to tell. */
  isAnyListed(such: (entry: RegistryEntry) => boolean): boolean {
    for (const { entry } of this.#sql.exec<{ entry: string }>("SELECT entry FROM database WHERE gone = 0"))
      if (such(read(entry))) return true;
    return false;
  }

  /** Those that are gone and have been since then or later. */
  goneSince(since: number): RegistryEntry[] {
    const gone = this.#read("SELECT entry FROM database WHERE gone = 1 ORDER BY name");
    return gone.filter(({ goneAt }) => goneAt !== null && goneAt >= since);
  }

  /** Saves the entry, and when it is to start next; null: never. */
  save(entry: RegistryEntry, dueAt: number | null): void {
    this.#sql.exec(
      `INSERT INTO database (id, name, gone, missing, due_at, sign_at, entry) VALUES (?1, ?2, ?3, ?7, ?4, ?5, ?6)
       ON CONFLICT (id) DO UPDATE SET name = ?2, gone = ?3, missing = ?7, due_at = ?4, sign_at = ?5, entry = ?6`,
      entry.id,
      entry.name,
      entry.goneAt === null ? 0 : 1,
      dueAt,
      entry.runId === null ? null : entry.signAt,
      JSON.stringify(entry),
      entry.missingSince === null ? 0 : 1,
    );
  }

  /** Forgets it. What the bucket holds of it stays. */
  remove(id: string): void {
    this.#sql.exec("DELETE FROM database WHERE id = ?", id);
  }

  /** Changes these fields, but not the next start. */
  change(id: string, change: Partial<RegistryEntry>): RegistryEntry | null {
    const before = this.get(id);
    if (before === null) return null;
    const entry = { ...before, ...change };
    this.save(entry, this.dueAtOf(id));
    return entry;
  }

  dueAtOf(id: string): number | null {
    const sql = "SELECT due_at FROM database WHERE id = ?";
    return this.#sql.exec<{ due_at: number | null }>(sql, id).toArray()[0]?.due_at ?? null;
  }

  /** Those whose time has come, the one that waits longest first. */
  due(now: number, limit: number): RegistryEntry[] {
    const sql = "SELECT entry FROM database WHERE due_at <= ? ORDER BY due_at, id LIMIT ?";
    return this.#read(sql, now, limit);
  }

  nextDueAt(): number | null {
    return this.#one("SELECT min(due_at) AS at FROM database WHERE due_at IS NOT NULL");
  }

  /** Records a sign of life of the active run. */
  sign(id: string, now: number): void {
    const sql = "SELECT sign_at FROM database WHERE id = ?";
    const known = this.#sql.exec<{ sign_at: number | null }>(sql, id).toArray()[0]?.sign_at ?? null;
    // Polls come every few seconds: a minute is exact enough.
    if (known !== null && now - known > 60_000) this.change(id, { signAt: now });
  }

  /** Databases whose run has given no sign of life since then. */
  silentSince(since: number, limit: number): RegistryEntry[] {
    return this.#read("SELECT entry FROM database WHERE sign_at < ? ORDER BY sign_at LIMIT ?", since, limit);
  }

  /** Stores its object's report; later findings win over earlier ones, in any order of arrival. */
  report(report: DatabaseReport, now: number): void {
    const { databaseId: id, runId, last, unchanged, unchangedOff, examinedAt } = report;
    const before = this.get(id);
    if (before === null) return;
    const later =
      (unchanged?.checkedAt ?? 0) > (before.unchanged?.checkedAt ?? 0) ? unchanged : before.unchanged;
    const found = { last, unchanged: later, unchangedOff, examinedAt };
    const entry = { ...before, ...found, runId, signAt: runId === null ? null : now };
    this.save(entry, this.dueAtOf(id));
    if (JSON.stringify(findings(entry)) !== JSON.stringify(findings(before))) this.copyLater(id, now);
  }

  recordChange(id: string, change: PolicyChange): void {
    const { at, who, policy } = change;
    this.#sql.exec(
      "INSERT INTO policy_change (id, at, who, policy) VALUES (?, ?, ?, ?)",
      id,
      at,
      who,
      JSON.stringify(policy),
    );
    this.#sql.exec(
      `DELETE FROM policy_change WHERE id = ?1 AND serial NOT IN
         (SELECT serial FROM policy_change WHERE id = ?1 ORDER BY serial DESC LIMIT ?2)`,
      id,
      CHANGES_KEPT,
    );
  }

  /** The latest first. */
  changes(id: string): PolicyChange[] {
    const sql = "SELECT at, who, policy FROM policy_change WHERE id = ? ORDER BY serial DESC";
    const rows = this.#sql.exec<{ at: number; who: string; policy: string }>(sql, id).toArray();
    return rows.map(({ at, who, policy }) => changeSchema.parse({ at, who, policy: JSON.parse(policy) }));
  }

  /** The bucket's copy has to follow. */
  copyLater(id: string, at: number, attempt = 0): void {
    this.#sql.exec("UPDATE database SET copy_due = ?, copy_attempt = ? WHERE id = ?", at, attempt, id);
  }

  copied(id: string): void {
    this.#sql.exec("UPDATE database SET copy_due = NULL, copy_attempt = 0 WHERE id = ?", id);
  }

  uncopied(now: number, limit: number): { entry: RegistryEntry; attempt: number }[] {
    const sql =
      "SELECT entry, copy_attempt AS attempt FROM database WHERE copy_due <= ? ORDER BY copy_due LIMIT ?";
    const rows = this.#sql.exec<{ entry: string; attempt: number }>(sql, now, limit).toArray();
    return rows.map(({ entry, attempt }) => ({ entry: read(entry), attempt }));
  }

  nextCopyAt(): number | null {
    return this.#one("SELECT min(copy_due) AS at FROM database WHERE copy_due IS NOT NULL");
  }

  /** How many there are, gone ones left out. */
  count(): number {
    return this.#one("SELECT count(*) AS at FROM database WHERE gone = 0") ?? 0;
  }

  #one(sql: string): number | null {
    return this.#sql.exec<{ at: number | null }>(sql).one().at;
  }

  #read(sql: string, ...bindings: (string | number)[]): RegistryEntry[] {
    return this.#sql
      .exec<{ entry: string }>(sql, ...bindings)
      .toArray()
      .map(({ entry }) => read(entry));
  }
}

/** A database that was never seen before. */
export function newlyRegistered(
  database: { id: string; name: string },
  anchor: number,
  now: number,
  policy: Policy = {},
): RegistryEntry {
  return {
    ...database,
    firstSeenAt: now,
    goneAt: null,
    missingSince: null,
    policy,
    loaded: false,
    anchor,
    runId: null,
    signAt: null,
    last: null,
    unchanged: null,
    unchangedOff: null,
    examinedAt: null,
  };
}

/** What the bucket has a copy of, besides the policy's history. */
export function findings(entry: RegistryEntry) {
  const { name, policy, unchanged, unchangedOff, examinedAt } = entry;
  return { name, policy, unchanged, unchangedOff, examinedAt };
}

function read(entry: string): RegistryEntry {
  return entrySchema.parse(JSON.parse(entry));
}
