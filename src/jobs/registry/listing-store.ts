import { z } from "zod";
import type { DatabaseSummary } from "../../core/d1/api.ts";
import { upgradeTables } from "../object/table-versions.ts";

/** One reading of the account's list of databases, as stored between alarms. */
const listingSchema = z.object({
  /** Databases that are new are served from here on. */
  anchor: z.number(),
  /** The page to read next, and how often the list has been gone through. */
  page: z.number().int(),
  passes: z.number().int(),
  /** So many were read in this pass. */
  seen: z.number().int(),
  /** What the rows say of themselves that could not be read in this pass. */
  unreadable: z.array(z.string()),
  attempt: z.number().int(),
  dueAt: z.number(),
  startedAt: z.number(),
});
export type ListingUnderWay = z.infer<typeof listingSchema>;

const listedSchema = z.object({
  at: z.number().int(),
  databases: z.number().int(),
  /** Whether the catalogue, which is left out, is among them; null while no whole list has told. */
  catalogFound: z.boolean().nullable(),
  /** What the rows say of themselves that could not be read. */
  unreadable: z.array(z.string()),
});
export type Listed = z.infer<typeof listedSchema>;

const catalogCheckSchema = z.object({
  databaseId: z.string(),
  at: z.number(),
  /** It has tables, and they are not the catalogue's. */
  isAnother: z.boolean(),
});
export type CatalogCheck = z.infer<typeof catalogCheckSchema>;

const failureSchema = z.object({ at: z.number(), code: z.string(), detail: z.string(), hint: z.string() });
export type ListingFailure = z.infer<typeof failureSchema>;

/** The steps by which its table comes to be: see `upgradeTables`. */
export const LISTING_TABLES = [
  "CREATE TABLE listed (database_id TEXT PRIMARY KEY, name TEXT NOT NULL)",
  // The pass of the reading that has seen it last.
  "ALTER TABLE listed ADD COLUMN pass INTEGER NOT NULL DEFAULT 0",
];

/** The active listing and what it has found so far, and how the latest ones ended, in the account object's SQLite. */
export class ListingStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    upgradeTables(this.#sql, "listing", LISTING_TABLES);
  }

  get underWay(): ListingUnderWay | null {
    return listingSchema.safeParse(this.#storage.kv.get("listing-under-way")).data ?? null;
  }

  begin(anchor: number, now: number): ListingUnderWay {
    const begun: ListingUnderWay = {
      anchor,
      page: 1,
      passes: 0,
      seen: 0,
      unreadable: [],
      attempt: 0,
      dueAt: now,
      startedAt: now,
    };
    this.#storage.transactionSync(() => {
      this.#sql.exec("DELETE FROM listed");
      this.save(begun);
    });
    return begun;
  }

  save(listing: ListingUnderWay): void {
    this.#storage.kv.put("listing-under-way", listing);
  }

  /**
   * Remembers the databases of one page together with what comes next; those known already stay as they are. Tells how
   * many of them no page of this pass has held before.
   */
  savePage(databases: readonly DatabaseSummary[], listing: ListingUnderWay): number {
    return this.#storage.transactionSync(() => {
      let added = 0;
      for (const { id, name } of databases) {
        const { rowsWritten } = this.#sql.exec(
          `INSERT INTO listed (database_id, name, pass) VALUES (?, ?, ?)
           ON CONFLICT (database_id) DO UPDATE SET pass = excluded.pass WHERE pass <> excluded.pass`,
          id,
          name,
          listing.passes,
        );
        if (rowsWritten > 0) added += 1;
      }
      this.save(listing);
      return added;
    });
  }

  /** The catalogue's UUID, when its own run has found it out; else "", and its name has to do. */
  get catalogId(): string {
    return z.string().safeParse(this.#storage.kv.get("catalog-id")).data ?? "";
  }

  set catalogId(id: string) {
    this.#storage.kv.put("catalog-id", id);
  }

  /** All but the catalogue itself, which is never backed up: it can be rebuilt. */
  found(catalogDatabaseName: string): { id: string; name: string }[] {
    const sql =
      "SELECT database_id AS id, name FROM listed WHERE name <> ? AND database_id <> ? ORDER BY name";
    return this.#sql.exec<{ id: string; name: string }>(sql, catalogDatabaseName, this.catalogId).toArray();
  }

  /** The database of this name on the list as it was read last. */
  idOf(name: string): string | null {
    const sql = "SELECT database_id AS id FROM listed WHERE name = ?";
    return this.#sql.exec<{ id: string }>(sql, name).toArray()[0]?.id ?? null;
  }

  /** What the database that is left out as the catalogue was found to be; null: nobody has looked. */
  get catalogCheck(): CatalogCheck | null {
    return catalogCheckSchema.safeParse(this.#storage.kv.get("catalog-check")).data ?? null;
  }

  set catalogCheck(check: CatalogCheck | null) {
    this.#storage.kv.put("catalog-check", check);
  }

  count(): number {
    return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM listed").one().n;
  }

  /** The list was read to its end; `whole`: nothing is missing. */
  complete(databases: number, catalogDatabaseName: string, whole: boolean, now: number): void {
    const named = this.#sql.exec<{ n: number }>(
      "SELECT count(*) AS n FROM listed WHERE name = ? OR database_id = ?",
      catalogDatabaseName,
      this.catalogId,
    );
    const isFound = named.one().n > 0;
    const catalogFound = isFound || whole ? isFound : (this.listed?.catalogFound ?? null);
    const listed: Listed = { at: now, databases, catalogFound, unreadable: this.underWay?.unreadable ?? [] };
    this.#storage.kv.put("listed", listed);
    this.#storage.kv.delete("listing-failure");
    this.#storage.kv.delete("listing-under-way");
  }

  fail(failure: ListingFailure): void {
    this.#storage.kv.put("listing-failure", failure);
    this.#storage.kv.delete("listing-under-way");
  }

  /** The latest complete list. */
  get listed(): Listed | null {
    return listedSchema.safeParse(this.#storage.kv.get("listed")).data ?? null;
  }

  /** Why the latest reading failed; null when it did not. */
  get failure(): ListingFailure | null {
    return failureSchema.safeParse(this.#storage.kv.get("listing-failure")).data ?? null;
  }
}
