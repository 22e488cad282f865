import type { Operation } from "../wire/operation.ts";

/** What went over the signed URLs of one database. */
export interface Traffic {
  downloads: number;
  uploads: number;
  bytesServed: number;
  bearerSeenOnSignedUrl: number;
}

/** Requests by operation, and how many were refused because there were too many. */
export interface RequestCounts {
  total: number;
  throttled: number;
  /** The most requests of the API, refused ones included, in any 5 minutes so far. */
  mostInFiveMinutes: number;
  byOperation: Partial<Record<Operation, number>>;
}

const FIVE_MINUTES_MS = 5 * 60_000;

const NONE: Traffic = { downloads: 0, uploads: 0, bytesServed: 0, bearerSeenOnSignedUrl: 0 };

/** Counts what the emulator was asked for. */
export class TrafficCounter {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS traffic (
      uuid TEXT PRIMARY KEY, downloads INTEGER NOT NULL DEFAULT 0, uploads INTEGER NOT NULL DEFAULT 0,
      bytesServed INTEGER NOT NULL DEFAULT 0, bearerSeenOnSignedUrl INTEGER NOT NULL DEFAULT 0)`);
    sql.exec(`CREATE TABLE IF NOT EXISTS requests (
      operation TEXT PRIMARY KEY, requests INTEGER NOT NULL, throttled INTEGER NOT NULL)`);
    sql.exec("CREATE TABLE IF NOT EXISTS recent (at INTEGER NOT NULL)");
    sql.exec("CREATE INDEX IF NOT EXISTS recent_at ON recent (at)");
    sql.exec("CREATE TABLE IF NOT EXISTS most (id INTEGER PRIMARY KEY, requests INTEGER NOT NULL)");
  }

  /** Adds to the counts of a database. */
  add(uuid: string, more: Partial<Traffic>): void {
    const { downloads, uploads, bytesServed, bearerSeenOnSignedUrl } = { ...NONE, ...more };
    this.#sql.exec(
      `INSERT INTO traffic (uuid, downloads, uploads, bytesServed, bearerSeenOnSignedUrl) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET downloads = downloads + excluded.downloads, uploads = uploads + excluded.uploads,
         bytesServed = bytesServed + excluded.bytesServed,
         bearerSeenOnSignedUrl = bearerSeenOnSignedUrl + excluded.bearerSeenOnSignedUrl`,
      uuid,
      downloads,
      uploads,
      bytesServed,
      bearerSeenOnSignedUrl,
    );
  }

  of(uuid: string): Traffic {
    const [row] = this.#sql
      .exec<Traffic & Record<string, number>>(
        "SELECT downloads, uploads, bytesServed, bearerSeenOnSignedUrl FROM traffic WHERE uuid = ?",
        uuid,
      )
      .toArray();
    return row ?? NONE;
  }

  countRequest(operation: Operation, isThrottled: boolean): void {
    this.#sql.exec(
      `INSERT INTO requests (operation, requests, throttled) VALUES (?, 1, ?)
       ON CONFLICT DO UPDATE SET requests = requests + 1, throttled = throttled + excluded.throttled`,
      operation,
      isThrottled ? 1 : 0,
    );
  }

  /** A request of the API, in the 5 minutes that end with it. */
  countInWindow(now: number): void {
    this.#sql.exec("DELETE FROM recent WHERE at <= ?", now - FIVE_MINUTES_MS);
    this.#sql.exec("INSERT INTO recent (at) VALUES (?)", now);
    this.#sql.exec(
      `INSERT INTO most (id, requests) SELECT 1, count(*) FROM recent WHERE at <= ?
       ON CONFLICT DO UPDATE SET requests = max(requests, excluded.requests)`,
      now,
    );
  }

  requests(): RequestCounts {
    const rows = this.#sql
      .exec<{ operation: string; requests: number; throttled: number }>(
        "SELECT operation, requests, throttled FROM requests ORDER BY operation",
      )
      .toArray();
    const [most] = this.#sql.exec<{ requests: number }>("SELECT requests FROM most").toArray();
    return {
      mostInFiveMinutes: most?.requests ?? 0,
      total: rows.reduce((sum, row) => sum + row.requests, 0),
      throttled: rows.reduce((sum, row) => sum + row.throttled, 0),
      byOperation: Object.fromEntries(rows.map((row) => [row.operation, row.requests])),
    };
  }
}
