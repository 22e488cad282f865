import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Cloudflare, {
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from "cloudflare";
import type { DatabaseRawResponse, QueryResult } from "cloudflare/resources/d1/database";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWranglerDev, type WranglerDev } from "../../../scripts/wrangler-dev.ts";
import {
  activeExport,
  BOOKMARK,
  completeExport,
  completeImport,
  listed,
  meta,
  refusedExport,
  shown,
  wantedUpload,
} from "./declared-answers.ts";

// The client that Cloudflare generates, against the emulator over real HTTP: what it cannot do there is wrong there.

const persistTo = mkdtempSync(join(tmpdir(), "d1-nightly-client-"));
const account_id = "emulated-account";
let emulator: WranglerDev;
let client: Cloudflare;

beforeAll(async () => {
  emulator = await startWranglerDev({ config: "emulator/wrangler.jsonc", persistTo });
  client = clientWith("any-token");
});

afterAll(async () => {
  await emulator.kill("SIGKILL");
  rmSync(persistTo, { recursive: true, force: true });
});

function clientWith(apiToken: string): Cloudflare {
  return new Cloudflare({ apiToken, baseURL: `${emulator.url}/client/v4`, maxRetries: 0 });
}

async function control(method: string, path: string, body: unknown): Promise<void> {
  const response = await fetch(`${emulator.url}/_emulator${path}`, { method, body: JSON.stringify(body) });
  expect(response.status).toBeLessThan(300);
}

/** A new database, which this SQL fills. */
async function create(name: string, sql?: string): Promise<string> {
  const { uuid = "" } = await client.d1.database.create({ account_id, name });
  if (sql !== undefined) await client.d1.database.query(uuid, { account_id, sql });
  return uuid;
}

async function all<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of pages) items.push(item);
  return items;
}

const count = async (uuid: string, table: string): Promise<unknown> => {
  const sql = `SELECT count(*) FROM ${table}`;
  const [first] = await all(client.d1.database.raw(uuid, { account_id, sql }));
  return first?.results?.rows?.[0]?.[0];
};

/** Asks until the answer has an end. */
async function untilOver<T extends { status?: string; at_bookmark?: string }>(
  first: T,
  poll: (bookmark: string) => Promise<T>,
): Promise<T[]> {
  const answers = [first];
  for (let last = first; last.status !== "complete" && last.status !== "error"; answers.push(last)) {
    last = await poll(last.at_bookmark ?? "");
  }
  return answers;
}

describe("databases", () => {
  it("are created, shown and deleted", async () => {
    const created = await client.d1.database.create({
      account_id,
      name: "created",
      jurisdiction: "eu",
      read_replication: { mode: "auto" },
    });
    const made = {
      ...shown,
      name: "created",
      jurisdiction: "eu",
      num_tables: 0,
      read_replication: { mode: "auto" },
    };
    expect(created).toEqual(made);
    const uuid = created.uuid ?? "";
    expect(await client.d1.database.get(uuid, { account_id })).toEqual({
      ...created,
      file_size: expect.any(Number),
    });
    expect(await client.d1.database.get(uuid, { account_id, fields: ["name", "file_size"] })).toEqual({
      name: "created",
      file_size: expect.any(Number),
    });
    expect(await client.d1.database.delete(uuid, { account_id })).toBeNull();
    await expect(client.d1.database.get(uuid, { account_id })).rejects.toThrow(NotFoundError);
    await expect(client.d1.database.delete(uuid, { account_id })).rejects.toThrow(NotFoundError);
  });

  it("are listed page after page, to an empty one", async () => {
    for (const name of ["page-a", "page-b", "page-c"]) await create(name);
    const entries = await all(client.d1.database.list({ account_id, name: "page-", per_page: 2 }));
    expect(entries).toEqual([listed, listed, listed]);
    expect(entries.map(({ name }) => name)).toEqual(["page-a", "page-b", "page-c"]);
    const page = await client.d1.database.list({ account_id, name: "page-", per_page: 2, page: 2 });
    expect(page.result_info).toEqual({ page: 2, per_page: 2, count: 1, total_count: 3 });
  });

  it.each([
    ["a name that is taken", { name: "d1-nightly-catalog" }, 7502],
    ["no name", { name: "" }, 7400],
    // The cast: the client's own type would not let it through.
    ["a jurisdiction that there is not", { name: "x", jurisdiction: "moon" as "eu" }, 7400],
  ])("%s is refused", async (_, params, code) => {
    const error = await client.d1.database
      .create({ account_id, ...params })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ errors: [{ code }] });
  });
});

describe("queries", () => {
  it("give objects or rows, for each statement", async () => {
    const uuid = await create(
      "queries",
      "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'ü'), (2.5, x'00ff')",
    );
    const sql = "SELECT * FROM t; SELECT count(*) AS n FROM t";
    const objects: QueryResult[] = [
      {
        success: true,
        meta,
        results: [
          { a: 1, b: "ü" },
          { a: 2.5, b: [0, 255] },
        ],
      },
      { success: true, meta, results: [{ n: 2 }] },
    ];
    expect(await all(client.d1.database.query(uuid, { account_id, sql }))).toEqual(objects);
    const raw: DatabaseRawResponse[] = [
      {
        success: true,
        meta,
        results: {
          columns: ["a", "b"],
          rows: [
            [1, "ü"],
            [2.5, [0, 255]],
          ],
        },
      },
      { success: true, meta, results: { columns: ["n"], rows: [[2]] } },
    ];
    expect(await all(client.d1.database.raw(uuid, { account_id, sql }))).toEqual(raw);
  });

  it("take parameters, and many queries at once, each of them with many statements", async () => {
    const uuid = await create("parameters", "CREATE TABLE t (a TEXT, b TEXT)");
    const batch = [
      { sql: "INSERT INTO t VALUES (?, ?)", params: ["it's", "1"] },
      { sql: "INSERT INTO t VALUES ('x', 'y'); SELECT count(*) AS n FROM t" },
    ];
    const answers = await all(client.d1.database.query(uuid, { account_id, batch }));
    expect(answers.map(({ results }) => results)).toEqual([[], [], [{ n: 2 }]]);
    expect(answers[0]?.meta).toMatchObject({ changes: 1, changed_db: true, rows_written: 1 });
    const sql = "SELECT b FROM t WHERE a = ?";
    const [found] = await all(client.d1.database.query(uuid, { account_id, sql, params: ["it's"] }));
    expect(found?.results).toEqual([{ b: "1" }]);
  });

  it("say what SQLite says", async () => {
    const uuid = await create("sql-errors");
    const error = await client.d1.database
      .query(uuid, { account_id, sql: "SELECT * FROM absent" })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({
      status: 400,
      errors: [{ code: 7500, message: expect.stringContaining("no such table: absent: SQLITE_ERROR") }],
    });
  });
});

describe("an export", () => {
  const SQL = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)";
  const output_format = "polling";

  it("is polled to its end, and its dump downloaded", async () => {
    const uuid = await create("exported", SQL);
    await control("PUT", `/databases/${uuid}/faults`, [{ on: "export.start", fault: "slow", value: 600 }]);
    const answers = await untilOver(
      await client.d1.database.export(uuid, { account_id, output_format, dump_options: { tables: [] } }),
      (current_bookmark) => client.d1.database.export(uuid, { account_id, output_format, current_bookmark }),
    );
    expect(answers.length).toBeGreaterThan(1);
    expect(answers).toEqual([...answers.slice(1).map(() => activeExport), completeExport]);
    expect(new Set(answers.map(({ at_bookmark }) => at_bookmark)).size).toBe(1);
    const dump = await fetch(answers.at(-1)?.result?.signed_url ?? "");
    expect((await dump.text()).split("\n")).toEqual([
      "PRAGMA defer_foreign_keys=TRUE;",
      "CREATE TABLE t (a);",
      'INSERT INTO "t" ("a") VALUES(1);',
      'INSERT INTO "t" ("a") VALUES(2);',
    ]);
  });

  it("that D1 refuses ends in an error", async () => {
    const uuid = await create("virtual", "CREATE VIRTUAL TABLE f USING fts5(a)");
    expect(await client.d1.database.export(uuid, { account_id, output_format })).toEqual(refusedExport);
  });

  it("without output_format is malformed", async () => {
    // The cast: the client's own type requires what is left out here.
    const params = { account_id } as Parameters<typeof client.d1.database.export>[1];
    const error = await client.d1.database
      .export(await create("malformed"), params)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ errors: [{ code: 7400 }] });
  });
});

describe("an import", () => {
  const SQL = "CREATE TABLE t (a);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n";
  const etag = createHash("md5").update(SQL).digest("hex");

  async function upload(uuid: string): Promise<string> {
    const init = await client.d1.database.import(uuid, { account_id, action: "init", etag });
    expect(init).toEqual(wantedUpload);
    const response = await fetch(init.upload_url ?? "", { method: "PUT", body: SQL });
    expect([response.status, response.headers.get("etag")]).toEqual([200, `"${etag}"`]);
    return init.filename ?? "";
  }

  it("is uploaded, ingested and polled to its end; the same file again is attached to it", async () => {
    const uuid = await create("imported");
    const filename = await upload(uuid);
    await control("PUT", `/databases/${uuid}/faults`, [{ on: "import.ingest", fault: "slow", value: 800 }]);
    const started = await client.d1.database.import(uuid, { account_id, action: "ingest", etag, filename });
    expect(started).toMatchObject({ success: true, type: "import", status: "active" });
    const attached = await client.d1.database.import(uuid, { account_id, action: "init", etag });
    expect(attached).toMatchObject({ status: "active", at_bookmark: started.at_bookmark });
    const answers = await untilOver(attached, (current_bookmark) =>
      client.d1.database.import(uuid, { account_id, action: "poll", current_bookmark }),
    );
    expect(answers.at(-1)).toEqual(completeImport(3, 2));
    expect(await count(uuid, "t")).toBe(2);
    const { bookmark } = await client.d1.database.timeTravel.getBookmark(uuid, { account_id });
    expect(answers.at(-1)?.result?.final_bookmark).toBe(bookmark);
  });

  it("of a file that lies there already needs no upload, and says why it fails", async () => {
    const uuid = await create("imported-twice");
    const filename = await upload(uuid);
    const ingest = { account_id, action: "ingest", etag, filename } as const;
    expect(await client.d1.database.import(uuid, ingest)).toMatchObject({ status: "complete" });
    const again = await client.d1.database.import(uuid, { account_id, action: "init", etag });
    expect(again).toMatchObject({
      type: "import",
      status: "error",
      error: expect.stringContaining("t already exists"),
    });
    expect(await count(uuid, "t")).toBe(2);
  });

  it("of a file that was not uploaded under this name is refused", async () => {
    const uuid = await create("imported-elsewhere");
    await upload(uuid);
    const ingest = { account_id, action: "ingest", etag, filename: "other.sql" } as const;
    expect(await client.d1.database.import(uuid, ingest)).toEqual({
      success: false,
      error: "The file to import was not uploaded.",
    });
  });
});

describe("time travel", () => {
  it("has a bookmark for now and for any moment before", async () => {
    const uuid = await create("travelled", "CREATE TABLE t (a)");
    const { timeTravel } = client.d1.database;
    const before = await timeTravel.getBookmark(uuid, { account_id });
    expect(before).toEqual({ bookmark: expect.stringMatching(BOOKMARK) });
    const timestamp = new Date().toISOString();
    await control("PUT", "/clock", { advanceMs: 1000 });
    await client.d1.database.query(uuid, { account_id, sql: "INSERT INTO t VALUES (1)" });
    expect(await timeTravel.getBookmark(uuid, { account_id })).not.toEqual(before);
    expect(await timeTravel.getBookmark(uuid, { account_id, timestamp })).toEqual(before);
  });
});

describe("refusals", () => {
  it.each([
    ["an invalid token", "invalid", account_id, AuthenticationError, 401],
    ["a token that may not list", "any", "0123456789abcdef0123456789abcdef", PermissionDeniedError, 403],
  ])("%s", async (_, token, account, kind, status) => {
    const error = await clientWith(token)
      .d1.database.list({ account_id: account })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ status, errors: [{ code: 10000, message: "Authentication error" }] });
  });

  it("a token that may only read", async () => {
    const reader = clientWith("read-only").d1.database;
    const uuid = await create("read-only");
    expect(await reader.get(uuid, { account_id })).toMatchObject({ uuid });
    await expect(reader.export(uuid, { account_id, output_format: "polling" })).rejects.toThrow(
      PermissionDeniedError,
    );
  });

  it("too many requests: the client waits as long as it is told to, and goes on", async () => {
    const { uuid } = await client.d1.database.get("d1-nightly-catalog", { account_id });
    const get = (maxRetries: number) => client.d1.database.get(uuid ?? "", { account_id }, { maxRetries });
    await control("PUT", "/rate-limit", { requests: 1, windowMs: 2_000 });
    expect(await get(0)).toMatchObject({ uuid });
    const error = await get(0).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitError);
    const headers = error instanceof RateLimitError ? error.headers : undefined;
    expect(Number(headers?.get("retry-after"))).toBeGreaterThan(0);
    expect(headers?.get("ratelimit-policy")).toBe('"default";q=1;w=2');
    expect(await get(1)).toMatchObject({ uuid });
    await control("PUT", "/rate-limit", { requests: 1200, windowMs: 300_000 });
  });

  it("a service that is down is asked again, as often as the client will", async () => {
    await control("PUT", "/databases/*/faults", [{ on: "list", fault: "status", value: 503, times: 2 }]);
    const list = (maxRetries: number) =>
      client.d1.database.list({ account_id, name: "absent" }, { maxRetries });
    await expect(list(0)).rejects.toThrow(InternalServerError);
    expect((await list(1)).result).toEqual([]);
  });
});
