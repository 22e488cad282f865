import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import {
  api,
  control,
  database,
  emulator,
  exportedUrl,
  faults,
  pollExport,
  rows,
  startExport,
} from "./client.ts";

beforeEach(reset);

const TABLE = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);";

describe("an export", () => {
  it("of a small database is complete at once; the end is told once", async () => {
    const uuid = await database(TABLE);
    const { result } = await startExport(uuid);
    expect(result).toMatchObject({
      success: true,
      type: "export",
      status: "complete",
      result: { signed_url: expect.any(String) },
    });
    expect((await pollExport(uuid, result.at_bookmark)).result).toMatchObject({
      success: false,
      error: "Not currently exporting anything.",
    });
  });

  it("that takes its time is active, keeps the database busy, and is a snapshot of its start", async () => {
    const uuid = await database(TABLE);
    await faults(uuid, { on: "export.start", fault: "slow", value: 10_000 });
    const { result } = await startExport(uuid);
    expect(result).toMatchObject({
      status: "active",
      at_bookmark: expect.any(String),
      messages: [expect.stringContaining("Generating")],
    });
    expect((await startExport(uuid)).result).toMatchObject({
      success: false,
      error: expect.stringContaining("Currently processing a long-running export"),
    });
    const query = await api("POST", `/${uuid}/query`, { sql: "SELECT 1" });
    expect(query).toMatchObject({ success: false, errors: [{ code: 7500 }] });
    await control("POST", `/databases/${uuid}/sql`, "DELETE FROM t");
    await control("PUT", "/clock", { advanceMs: 12_000 });
    const done = (await pollExport(uuid, result.at_bookmark)).result;
    expect(await (await emulator(done.result?.signed_url ?? "")).text()).toContain("VALUES(2)");
  });

  it("is cancelled when nobody polls it for 15 seconds", async () => {
    const uuid = await database(TABLE);
    await faults(uuid, { on: "export.start", fault: "slow", value: 60_000 });
    const { result } = await startExport(uuid);
    await control("PUT", "/clock", { advanceMs: 14_000 });
    expect((await pollExport(uuid, result.at_bookmark)).result).toMatchObject({ status: "active" });
    await control("PUT", "/clock", { advanceMs: 16_000 });
    expect((await pollExport(uuid, result.at_bookmark)).result).toMatchObject({ success: false });
  });

  it("must be asked for by output_format in each request", async () => {
    const uuid = await database(TABLE);
    expect(await api("POST", `/${uuid}/export`, {})).toMatchObject({
      success: false,
      errors: [{ code: 7400 }],
    });
    expect(await api("POST", `/${uuid}/export`, { current_bookmark: "x" })).toMatchObject({
      success: false,
      errors: [{ code: 7400 }],
    });
  });

  it("of a virtual table is refused, and leaves the database busy for a while", async () => {
    const uuid = await database("CREATE VIRTUAL TABLE v USING fts5(a)");
    expect((await startExport(uuid)).result).toMatchObject({
      status: "error",
      error: expect.stringContaining("Virtual Tables (fts5)"),
    });
    expect((await startExport(uuid)).result).toMatchObject({ success: false });
  });

  it("has an address that expires after an hour, knows Range and If-Match, and wants no token", async () => {
    const url = await exportedUrl(await database(TABLE));
    const whole = await emulator(url);
    const text = await whole.text();
    expect(whole.headers.get("content-length")).toBe(String(text.length));
    const part = await emulator(url, { headers: { Range: "bytes=7-" } });
    expect([part.status, part.headers.get("content-range"), await part.text()]).toEqual([
      206,
      `bytes 7-${text.length - 1}/${text.length}`,
      text.slice(7),
    ]);
    expect((await emulator(url, { headers: { Range: `bytes=${text.length}-` } })).status).toBe(416);
    expect((await emulator(url, { headers: { "If-Match": '"x"' } })).status).toBe(412);
    expect((await emulator(url, { headers: { Authorization: "Bearer x" } })).status).toBe(400);
    await control("PUT", "/clock", { advanceMs: 3_601_000 });
    expect((await emulator(url)).status).toBe(403);
  });
});

describe("the API", () => {
  it.each<[string, string, unknown, string, number]>([
    ["POST", "/00000000-0000-4000-8000-000000000000/query", { sql: "SELECT 1" }, "an unknown database", 7404],
    ["GET", "/no-such-name", undefined, "an unknown name", 7404],
    ["POST", "", { name: "d1-nightly-catalog" }, "a name that is taken", 7502],
    ["POST", "", {}, "a database without a name", 7400],
  ])("%s %s, asked with %j (%s), answers with code %d", async (method, path, body, _, code) => {
    expect(await api(method, path, body)).toMatchObject({ success: false, errors: [{ code }] });
  });

  it("refuses wrong tokens, tokens that may only read, and foreign accounts", async () => {
    const uuid = await database(TABLE);
    const ask = async (token: string, account: string, path: string, method: string): Promise<unknown> => {
      const body = method === "POST" ? { output_format: "polling" } : undefined;
      return api(method, path, body, { token, root: `/client/v4/accounts/${account}/d1/database` });
    };
    expect(await ask("", "emulated-account", "", "GET")).toMatchObject({
      success: false,
      errors: [{ code: 10000 }],
    });
    expect(await ask("invalid-token", "emulated-account", "", "GET")).toMatchObject({
      success: false,
      errors: [{ code: 10000 }],
    });
    expect(await ask("read-only", "emulated-account", "", "GET")).toMatchObject({ success: true });
    expect(await ask("read-only", "emulated-account", `/${uuid}/export`, "POST")).toMatchObject({
      success: false,
      errors: [{ code: 10000 }],
    });
    expect(await ask("any", "another-account", "", "GET")).toMatchObject({ success: false });
  });

  it("changes the bookmark exactly when something was written", async () => {
    const uuid = await database(TABLE);
    const bookmark = async () =>
      (await api<{ bookmark: string }>("GET", `/${uuid}/time_travel/bookmark`)).result.bookmark;
    const before = await bookmark();
    await api("POST", `/${uuid}/query`, { sql: "SELECT * FROM t" });
    expect(await bookmark()).toBe(before);
    await api("POST", `/${uuid}/query`, { sql: "INSERT INTO t VALUES (3)" });
    const after = await bookmark();
    expect(after > before).toBe(true);
  });

  it("asks to slow down beyond its limit", async () => {
    await control("PUT", "/rate-limit", { requests: 3, windowMs: 300_000 });
    const headers = { Authorization: "Bearer x" };
    const statuses = [];
    for (let i = 0; i < 4; i++)
      statuses.push(await emulator("/client/v4/accounts/emulated-account/d1/database", { headers }));
    expect(statuses.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    expect(Number(statuses[3]?.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it("lists page by page, the catalogue among the databases", async () => {
    for (let i = 0; i < 4; i++) await database();
    const names = [];
    for (let page = 1; page <= 3; page++) {
      const { result } = await api<{ name: string }[]>("GET", `?page=${page}&per_page=2`);
      names.push(...result.map(({ name }) => name));
    }
    expect(new Set(names).size).toBe(5);
    expect(names).toContain("d1-nightly-catalog");
  });
});

const md5 = async (text: string): Promise<string> =>
  new Uint8Array(await crypto.subtle.digest("MD5", new TextEncoder().encode(text))).toHex();

interface ImportAnswer {
  success: boolean;
  status?: string;
  error?: string;
  at_bookmark?: string;
  filename: string;
  upload_url: string;
}

/** Imports as the documentation says: init, PUT, ingest, poll until it is over. */
async function importSql(uuid: string, sql: string): Promise<ImportAnswer> {
  const etag = await md5(sql);
  const init = (await api<ImportAnswer>("POST", `/${uuid}/import`, { action: "init", etag })).result;
  const put = await emulator(init.upload_url, { method: "PUT", body: sql });
  expect([put.status, put.headers.get("etag")?.replaceAll('"', "")]).toEqual([200, etag]);
  let answer = (
    await api<ImportAnswer>("POST", `/${uuid}/import`, { action: "ingest", filename: init.filename, etag })
  ).result;
  while (answer.status === "active") {
    answer = (
      await api<ImportAnswer>("POST", `/${uuid}/import`, {
        action: "poll",
        current_bookmark: answer.at_bookmark,
      })
    ).result;
  }
  return answer;
}

describe("an import", () => {
  it("is complete with its number of queries", async () => {
    const uuid = await database();
    expect(await importSql(uuid, 'CREATE TABLE t (a);\nINSERT INTO "t" ("a") VALUES(7);')).toMatchObject({
      status: "complete",
      result: { num_queries: 2, final_bookmark: expect.any(String) },
    });
    expect(await rows(uuid, "SELECT a FROM t")).toEqual([[7]]);
  });

  it.each([
    [
      "a child before its parent (a)",
      "CREATE TABLE child (p REFERENCES parent(id));\nINSERT INTO child VALUES(1);\nCREATE TABLE parent (id INTEGER PRIMARY KEY);\nINSERT INTO parent VALUES(1);",
      "no such table: main.parent",
    ],
    [
      "a unique index after the rows that a foreign key needs it for (b)",
      "CREATE TABLE parent (k);\nINSERT INTO parent VALUES(1);\nCREATE TABLE child (p REFERENCES parent(k));\nINSERT INTO child VALUES(1);\nCREATE UNIQUE INDEX i ON parent(k);",
      "foreign key mismatch",
    ],
    [
      "an INSTEAD OF trigger before its view (c)",
      "CREATE TABLE t (a);\nCREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN SELECT 1; END;\nCREATE VIEW v AS SELECT a FROM t;",
      "no such table: main.v",
    ],
    [
      "a statement of more than 100,000 bytes (k)",
      `CREATE TABLE t (a);\nINSERT INTO t VALUES('${"x".repeat(100_001)}');`,
      "TOOBIG",
    ],
    [
      "a row without its parent at the end",
      "PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE parent (id INTEGER PRIMARY KEY);\nCREATE TABLE child (p REFERENCES parent(id));\nINSERT INTO child VALUES(1);",
      "FOREIGN KEY",
    ],
  ])("of %s fails, and changes nothing", async (_, sql, error) => {
    const uuid = await database("CREATE TABLE before (a); INSERT INTO before VALUES (1);");
    const answer = await importSql(uuid, sql);
    expect(answer).toMatchObject({ status: "error", error: expect.stringContaining(error) });
    expect(await rows(uuid, "SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'")).toEqual([
      ["before"],
    ]);
  });

  it("takes rows before their parents when foreign keys are deferred", async () => {
    const uuid = await database();
    const sql =
      "PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE parent (id INTEGER PRIMARY KEY);\nCREATE TABLE child (p REFERENCES parent(id));\nINSERT INTO child VALUES(1);\nINSERT INTO parent VALUES(1);";
    expect(await importSql(uuid, sql)).toMatchObject({ status: "complete" });
  });
});

describe("faults", () => {
  it("strike as often as they were asked to, after those let through, and are counted", async () => {
    const uuid = await database(TABLE);
    await faults(uuid, { on: "query", fault: "status", value: 500, skip: 1, times: 2 });
    const statuses = [];
    for (let i = 0; i < 5; i++)
      statuses.push((await api("POST", `/${uuid}/query`, { sql: "SELECT 1" })).success);
    expect(statuses).toEqual([true, false, false, true, true]);
    expect(await control("GET", `/databases/${uuid}/faults`)).toMatchObject([{ fault: "status", struck: 2 }]);
  });

  it("that make no sense are refused by name", async () => {
    const uuid = await database();
    await expect(faults(uuid, { on: "query", fault: "truncate", value: 1 })).rejects.toThrow(/on|fault/);
    await expect(faults(uuid, { on: "query", fault: "sneeze" })).rejects.toThrow(/fault/);
  });
});
