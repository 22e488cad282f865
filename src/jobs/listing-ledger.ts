import { z } from "zod";
import type { DatabaseSummary, SweepView } from "../core/ports.ts";
import { iso } from "../core/run.ts";

/** One round through all databases of the account, as stored between alarms. */
const sweepSchema = z.object({
  id: z.string(),
  request: z.object({
    trigger: z.enum(["scheduled", "manual"]),
    label: z.string().nullable(),
    pinned: z.boolean(),
    force: z.boolean(),
    examine: z.boolean().default(false),
    key: z.string().nullable(),
  }),
  state: z.enum(["listing", "starting", "done", "failed"]),
  /** The page to read next, and how often the list has been gone through. */
  page: z.number().int(),
  passes: z.number().int(),
  attempt: z.number().int(),
  startedAt: z.number().int(),
  finishedAt: z.number().int().nullable(),
  error: z.object({ code: z.string(), detail: z.string(), hint: z.string() }).nullable(),
});
export type Sweep = z.infer<typeof sweepSchema>;

/** The latest complete list of databases. Which ones they are is told to the catalogue while they are remembered. */
const listingSchema = z.object({
  at: z.number().int(),
  databases: z.number().int(),
  untold: z.object({ attempt: z.number().int(), dueAt: z.number().int() }).nullable(),
});
export type Listing = z.infer<typeof listingSchema>;

/** The sweep under way and the databases that it has found, in the account object's SQLite. */
export class SweepLedger {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS found (database_id TEXT PRIMARY KEY, name TEXT NOT NULL, started INTEGER NOT NULL DEFAULT 0)",
    );
  }

  get sweep(): Sweep | null {
    const stored = this.#storage.kv.get("sweep");
    return stored === undefined ? null : sweepSchema.parse(stored);
  }

  begin(sweep: Sweep): void {
    this.#storage.transactionSync(() => {
      this.#sql.exec("DELETE FROM found");
      // Their names are gone now, told or not: this sweep's listing will be.
      const { listing } = this;
      if (listing !== null) this.#storage.kv.put("listing", { ...listing, untold: null });
      this.#storage.kv.put("sweep", sweep);
    });
  }

  save(sweep: Sweep): void {
    this.#storage.kv.put("sweep", sweep);
  }

  /** Remembers the databases of one page together with what comes next. Those known already stay as they are. */
  savePage(databases: readonly DatabaseSummary[], sweep: Sweep): void {
    this.#storage.transactionSync(() => {
      for (const { id, name } of databases) {
        this.#sql.exec("INSERT OR IGNORE INTO found (database_id, name) VALUES (?, ?)", id, name);
      }
      this.#storage.kv.put("sweep", sweep);
    });
  }

  get listing(): Listing | null {
    const stored = this.#storage.kv.get("listing");
    return stored === undefined ? null : listingSchema.parse(stored);
  }

  /** The list is complete: remembers it together with what comes next. */
  saveListing(sweep: Sweep, now: number): void {
    const listing: Listing = {
      at: now,
      databases: this.counts().databases,
      untold: { attempt: 0, dueAt: now },
    };
    this.#storage.transactionSync(() => {
      this.#storage.kv.put("sweep", sweep);
      this.#storage.kv.put("listing", listing);
    });
  }

  /** Whether the catalogue was told of the listing, or when it is to be told again. A newer one stays untouched. */
  toldListing(at: number, untold: Listing["untold"]): void {
    const { listing } = this;
    if (listing === null || listing.at !== at || listing.untold === null) return;
    this.#storage.kv.put("listing", { ...listing, untold });
  }

  found(): { id: string; name: string }[] {
    const sql = "SELECT database_id AS id, name FROM found";
    return this.#sql.exec<{ id: string; name: string }>(sql).toArray();
  }

  waiting(limit: number): { id: string; name: string }[] {
    const sql = "SELECT database_id AS id, name FROM found WHERE started = 0 ORDER BY name LIMIT ?";
    return this.#sql.exec<{ id: string; name: string }>(sql, limit).toArray();
  }

  started(databaseId: string): void {
    this.#sql.exec("UPDATE found SET started = 1 WHERE database_id = ?", databaseId);
  }

  counts(): { databases: number; started: number } {
    const sql = "SELECT count(*) AS databases, coalesce(sum(started), 0) AS started FROM found";
    return this.#sql.exec<{ databases: number; started: number }>(sql).one();
  }

  view(sweep: Sweep): SweepView {
    return {
      id: sweep.id,
      state: sweep.state,
      trigger: sweep.request.trigger,
      startedAt: iso(sweep.startedAt),
      finishedAt: sweep.finishedAt === null ? null : iso(sweep.finishedAt),
      ...this.counts(),
      error: sweep.error,
    };
  }
}
