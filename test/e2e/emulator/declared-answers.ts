import type { D1 } from "cloudflare/resources/d1/d1";
import type {
  DatabaseExportResponse,
  DatabaseImportResponse,
  DatabaseListResponse,
  QueryResult,
} from "cloudflare/resources/d1/database";
import { expect } from "vitest";

// Cloudflare generates its client from the description of its API. What that client declares an answer to be is written
// here with its types, field by field: an answer with another field is wrong, and so is a field with another name here.

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

/** What D1 answers, and wrangler shows, beyond what the client declares. */
interface Undeclared {
  running_in_region?: string;
  served_by?: string;
}

/** A database in the list. */
export const listed: DatabaseListResponse = {
  uuid: expect.stringMatching(UUID),
  name: expect.any(String),
  version: "production",
  created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
  jurisdiction: null,
};

/** A database by itself. */
export const shown: D1 & Undeclared = {
  ...listed,
  num_tables: expect.any(Number),
  file_size: expect.any(Number),
  running_in_region: "WEUR",
  read_replication: { mode: "disabled" },
};

/** What comes with the rows of a statement that wrote nothing. */
export const meta: QueryResult.Meta & Undeclared = {
  served_by: expect.any(String),
  served_by_region: "WEUR",
  served_by_colo: expect.stringMatching(/^[A-Z]{3}$/),
  served_by_primary: true,
  duration: expect.any(Number),
  timings: { sql_duration_ms: expect.any(Number) },
  changes: 0,
  last_row_id: expect.any(Number),
  changed_db: false,
  size_after: expect.any(Number),
  rows_read: expect.any(Number),
  rows_written: 0,
};

const exporting = {
  success: true,
  type: "export",
  at_bookmark: expect.stringMatching(BOOKMARK),
} satisfies DatabaseExportResponse;

/** An export that goes on. The client declares no status for it; wrangler knows it as "active". */
export const activeExport: Omit<DatabaseExportResponse, "status"> & { status: "active" } = {
  ...exporting,
  status: "active",
  messages: expect.any(Array),
};

export const completeExport: DatabaseExportResponse = {
  ...exporting,
  status: "complete",
  messages: [expect.stringMatching(/^Finished uploading .*\.sql in 1 part\.$/)],
  result: { filename: expect.stringMatching(/\.sql$/), signed_url: expect.stringMatching(/^http/) },
};

export const refusedExport: DatabaseExportResponse = {
  ...exporting,
  status: "error",
  messages: [],
  error: "D1 Export error: cannot export databases with Virtual Tables (fts5)",
};

/** Where the file of an import is to be put. */
export const wantedUpload: DatabaseImportResponse = {
  success: true,
  filename: expect.stringMatching(/^\S+\.sql$/),
  upload_url: expect.stringMatching(/^http/),
};

/** The import of so many statements, which changed so many rows. */
export function completeImport(num_queries: number, changes: number): DatabaseImportResponse {
  const written = { ...meta, changes, changed_db: true, rows_written: expect.any(Number) };
  return {
    success: true,
    type: "import",
    status: "complete",
    at_bookmark: expect.stringMatching(BOOKMARK),
    messages: [],
    result: { num_queries, final_bookmark: expect.stringMatching(BOOKMARK), meta: written },
  };
}
