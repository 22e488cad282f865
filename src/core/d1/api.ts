import type { Result } from "../failure.ts";
import type { ExportOptions } from "./export-options.ts";
import type { RateSeen } from "./rate-headers.ts";

export interface DatabaseSummary {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string | null;
}

export interface DatabasePage {
  readonly databases: DatabaseSummary[];
  /** Rows that cannot be read, such as one without a UUID: what each says of itself, in words. */
  readonly unreadable: readonly string[];
  /** The total of all pages; null if the API does not report it. */
  readonly total: number | null;
}

export interface SchemaEntry {
  readonly type: string;
  readonly name: string;
  readonly sql: string | null;
}

/** D1's answer to an export's start and to each poll. */
export type ExportAnswer =
  | { readonly kind: "active"; readonly bookmark: string | null; readonly message: string | null }
  | { readonly kind: "complete"; readonly bookmark: string; readonly signedUrl: string }
  /** The export ended with an error of D1, whose message may be shown. */
  | { readonly kind: "error"; readonly virtualTables: boolean; readonly message: string }
  /** D1 does not know the export: it was cancelled, forgotten, or already reported as complete. */
  | { readonly kind: "lost" }
  /** Another export of this database is running. */
  | { readonly kind: "busy" };

export interface D1Api {
  /** Pages count from 1. */
  listDatabases(page: number, perPage: number): Promise<Result<DatabasePage>>;
  /** By UUID or name. `database-not-found` when there is none. */
  getDatabase(idOrName: string): Promise<Result<DatabaseSummary & { fileSize: number | null }>>;
  schema(databaseId: string): Promise<Result<SchemaEntry[]>>;
  /** The database's present bookmark, which moves with every write, and only then. */
  bookmark(databaseId: string): Promise<Result<string>>;
  /** Runs one statement that only reads. */
  query(databaseId: string, sql: string): Promise<Result<QueryAnswer>>;
  /**
   * Runs statements that only read, in one call and on one state of the database. An answer to each, in their order;
   * one that fails, or 30 seconds for all of them together, fails them all.
   */
  queryAll(databaseId: string, statements: readonly string[]): Promise<Result<QueryAnswer[]>>;
  startExport(databaseId: string, options: ExportOptions): Promise<Result<ExportAnswer>>;
  pollExport(databaseId: string, options: ExportOptions, bookmark: string): Promise<Result<ExportAnswer>>;
  /** The same API, which also reports what the headers of each answer say about Cloudflare's limits. */
  watched?(observer: (seen: RateSeen) => void): D1Api;
}

export interface QueryAnswer {
  readonly rows: Record<string, unknown>[];
  /** Null when D1 does not tell. */
  readonly rowsRead: number | null;
}
