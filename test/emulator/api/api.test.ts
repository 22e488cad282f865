import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { api, control, database, emulator, rows } from "../kit/client.ts";

interface Entry {
  uuid: string;
  name: string;
  created_at: string;
  version: string;
  num_tables?: number;
  file_size?: number;
}

beforeEach(reset);

describe("the list", () => {
  it("has the product's own catalogue from the start, and after a reset", async () => {
    expect((await api<Entry[]>("GET", "")).result.map(({ name }) => name)).toEqual(["d1-nightly-catalog"]);
    await database("CREATE TABLE t (a)", "one");
    await control("POST", "/reset");
    expect((await api<Entry[]>("GET", "")).result.map(({ name }) => name)).toEqual(["d1-nightly-catalog"]);
  });

  it("comes in pages and tells how many there are", async () => {
    for (const name of ["a", "b", "c", "d"]) await database("", name);
    const second = await api<Entry[]>("GET", "?page=2&per_page=2");
    expect(second.result.map(({ name }) => name)).toEqual(["b", "c"]);
    expect(second.result_info).toEqual({ page: 2, per_page: 2, count: 2, total_count: 5 });
    const last = await api<Entry[]>("GET", "?page=4&per_page=2");
    expect(last.result).toEqual([]);
  });

  it("can be searched by name", async () => {
    for (const name of ["shop-live", "shop-test", "blog"]) await database("", name);
    const { result, result_info } = await api<Entry[]>("GET", "?name=shop");
    expect(result.map(({ name }) => name)).toEqual(["shop-live", "shop-test"]);
    expect(result_info?.total_count).toBe(2);
  });

  it.each(["?page=0", "?per_page=0", "?per_page=10001", "?page=x"])("refuses %s", async (query) => {
    const { status, errors } = await api("GET", query);
    expect([status, errors[0]?.code]).toEqual([400, 7400]);
  });
});

describe("a database", () => {
  it("is found by its uuid and by its name", async () => {
    const uuid = await database("CREATE TABLE a (x); CREATE TABLE b (x); ANALYZE", "shop");
    const byName = await api<Entry>("GET", "/shop");
    expect(byName.result).toMatchObject({ uuid, name: "shop", version: "production", num_tables: 2 });
    expect((await api<Entry>("GET", `/${uuid}`)).result).toEqual(byName.result);
    expect(byName.result.file_size).toBeGreaterThan(0);
  });

  it("is created once under a name and gone after it was deleted", async () => {
    const { result } = await api<Entry>("POST", "", { name: "new" });
    expect(await rows(result.uuid, "SELECT 1")).toEqual([[1]]);
    const again = await api("POST", "", { name: "new" });
    expect([again.status, again.errors[0]?.code]).toEqual([400, 7502]);
    expect((await api("DELETE", `/${result.uuid}`)).success).toBe(true);
    const missing = await api("POST", `/${result.uuid}/query`, { sql: "SELECT 1" });
    expect([missing.status, missing.errors[0]?.code]).toEqual([404, 7404]);
  });

  it("is refused when the account has as many as it may", async () => {
    await control("PUT", "/settings", { maxDatabases: 1 });
    const { status, errors } = await api("POST", "", { name: "one too many" });
    expect([status, errors[0]?.code]).toEqual([400, 7406]);
  });
});

describe("tokens and paths", () => {
  const elsewhere = (account: string) => `/client/v4/accounts/${account}/d1/database`;

  it.each([
    ["no token", { token: "" }, 401, 10000],
    ["an invalid token", { token: "invalid-token" }, 401, 10000],
    ["a misspelt account", { root: elsewhere("emulated-acount") }, 404, 7003],
    ["somebody else's account", { root: elsewhere("0123456789abcdef0123456789abcdef") }, 403, 10000],
  ])("%s is refused", async (_, options, status, code) => {
    const answer = await api("GET", "", undefined, options);
    expect([answer.status, answer.success, answer.errors[0]?.code]).toEqual([status, false, code]);
  });

  it.each([
    ["GET", "", 200],
    ["GET", "/shop", 200],
    ["GET", "/UUID/time_travel/bookmark", 200],
    ["POST", "/UUID/export", 403],
    ["POST", "/UUID/import", 403],
    ["POST", "/UUID/query", 403],
    ["POST", "/UUID/raw", 403],
    ["POST", "", 403],
    ["DELETE", "/UUID", 403],
  ])("a token that may only read gets for %s %s: %i", async (method, path, status) => {
    const uuid = await database("", "shop");
    const body = method === "POST" ? { sql: "SELECT 1", output_format: "polling", name: "x" } : undefined;
    const answer = await api(method, path.replace("UUID", uuid), body, { token: "read-only-token" });
    expect(answer.status).toBe(status);
    if (status === 403) expect(answer.errors).toEqual([{ code: 10000, message: "Authentication error" }]);
  });

  it("an unknown route is a routing error", async () => {
    const { status, errors } = await api("GET", "/x/y/z");
    expect([status, errors[0]?.code]).toEqual([404, 7003]);
  });
});

describe("the rate limit", () => {
  it("refuses what is too much, says when to come again, and forgets", async () => {
    await control("PUT", "/rate-limit", { requests: 2, windowMs: 60_000 });
    await api("GET", "");
    await api("GET", "");
    const refused = await api("GET", "");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(55);
    expect(await control("GET", "/requests")).toEqual({
      total: 3,
      throttled: 1,
      mostInFiveMinutes: 3,
      byOperation: { list: 3 },
    });
    await control("PUT", "/clock", { advanceMs: 60_000 });
    expect((await api("GET", "")).status).toBe(200);
  });

  it("is told by the headers of every answer, also of a refusal", async () => {
    await control("PUT", "/rate-limit", { requests: 2, windowMs: 60_000 });
    const told = async (path: string): Promise<(string | null)[]> => {
      const { headers } = await api("GET", path);
      return [headers.get("ratelimit"), headers.get("ratelimit-policy")];
    };
    expect(await told("")).toEqual(['"default";r=1;t=60', '"default";q=2;w=60']);
    expect(await told("/absent")).toEqual([
      expect.stringMatching(/^"default";r=0;t=\d+$/),
      '"default";q=2;w=60',
    ]);
    expect(await told("")).toEqual([expect.stringMatching(/^"default";r=0;t=\d+$/), '"default";q=2;w=60']);
    const refused = await api("GET", "", undefined, { token: "invalid-token" });
    expect(refused.headers.get("ratelimit")).toBeNull();
  });

  it("is counted over any 5 minutes", async () => {
    const most = async (): Promise<unknown> => {
      const counts = await control<{ mostInFiveMinutes: number }>("GET", "/requests");
      return counts.mostInFiveMinutes;
    };
    await api("GET", "");
    await control("PUT", "/clock", { advanceMs: 299_000 });
    await api("GET", "");
    expect(await most()).toBe(2);
    await control("PUT", "/clock", { advanceMs: 299_000 });
    await api("GET", "");
    expect(await most()).toBe(2);
    await api("GET", "");
    expect(await most()).toBe(3);
  });

  it("is Cloudflare's when nothing was set", async () => {
    await control("PUT", "/rate-limit", { requests: 0, windowMs: 300_000 });
    expect((await api("GET", "")).status).toBe(429);
    await control("POST", "/reset");
    expect((await api("GET", "")).status).toBe(200);
  });
});

describe("queries", () => {
  interface Result {
    results: unknown;
    success: boolean;
    meta: { changes: number; rows_written: number; changed_db: boolean; last_row_id: number };
  }

  it("answer each statement of a text, as objects or as rows", async () => {
    const uuid = await database("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, x'00ff'), ('ü', NULL)");
    const sql = "SELECT * FROM t; -- a comment; with a semicolon\nSELECT count(*) AS n FROM t";
    const objects = await api<Result[]>("POST", `/${uuid}/query`, { sql });
    expect(objects.result.map(({ results }) => results)).toEqual([
      [
        { a: 1, b: [0, 255] },
        { a: "ü", b: null },
      ],
      [{ n: 2 }],
    ]);
    const raw = await api<Result[]>("POST", `/${uuid}/raw`, { sql: "SELECT a, b FROM t" });
    expect(raw.result[0]?.results).toEqual({
      columns: ["a", "b"],
      rows: [
        [1, [0, 255]],
        ["ü", null],
      ],
    });
  });

  it("take parameters, blobs as lists of bytes among them", async () => {
    const uuid = await database("CREATE TABLE t (a, b, c)");
    const params = ["it's", 1.5, [1, 2, 3]];
    const { result } = await api<Result[]>("POST", `/${uuid}/query`, {
      sql: "INSERT INTO t VALUES (?, ?, ?)",
      params,
    });
    expect(result[0]?.meta).toMatchObject({ changes: 1, changed_db: true, last_row_id: 1 });
    expect(await rows(uuid, "SELECT * FROM t")).toEqual([params]);
  });

  it("say what SQLite says, and leave nothing of a text that failed", async () => {
    const uuid = await database("CREATE TABLE t (a UNIQUE)");
    const { status, errors } = await api("POST", `/${uuid}/query`, {
      sql: "INSERT INTO t VALUES (1); SELECT * FROM absent",
    });
    expect([status, errors[0]?.code]).toEqual([400, 7500]);
    expect(errors[0]?.message).toContain("no such table: absent: SQLITE_ERROR");
    expect(await rows(uuid, "SELECT count(*) FROM t")).toEqual([[0]]);
  });

  it("refuse rows that refer to nothing, also when that shows at the end only", async () => {
    const uuid = await database(
      "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id))",
    );
    for (const first of ["", "PRAGMA defer_foreign_keys = on; "]) {
      const { errors } = await api("POST", `/${uuid}/query`, { sql: `${first}INSERT INTO c VALUES (7)` });
      expect(errors[0]?.message).toContain("FOREIGN KEY constraint failed");
    }
    expect(await rows(uuid, "SELECT count(*) FROM c")).toEqual([[0]]);
  });

  it.each([{}, { sql: 7 }, undefined])("refuse the body %j", async (body) => {
    const { status, errors } = await api("POST", `/${await database()}/query`, body);
    expect([status, errors[0]?.code]).toEqual([400, 7400]);
  });

  it("refuse an empty text", async () => {
    const { errors } = await api("POST", `/${await database()}/query`, { sql: " ; -- nothing" });
    expect(errors[0]).toEqual({ code: 7500, message: "No SQL statements detected." });
  });
});

describe("bookmarks", () => {
  const bookmark = async (uuid: string, query = "") =>
    (await api<{ bookmark: string }>("GET", `/${uuid}/time_travel/bookmark${query}`)).result.bookmark;

  it.each([
    ["INSERT INTO t VALUES (9)", true],
    ["UPDATE t SET a = a + 1", true],
    ["DELETE FROM t WHERE a = 1", true],
    ["CREATE TABLE other (a)", true],
    ["ALTER TABLE t ADD COLUMN b", true],
    ["DROP TABLE t", true],
    ["CREATE VIEW v AS SELECT 1", true],
    ["SELECT * FROM t", false],
    ["DELETE FROM t WHERE a = 99", false],
    ["UPDATE t SET a = 1 WHERE 0", false],
    ["CREATE TABLE IF NOT EXISTS t (a)", false],
    ["PRAGMA table_info(t)", false],
    ["INSERT INTO t VALUES (1); SELECT * FROM absent", false],
  ])("after %s: changed %s", async (sql, isChanged) => {
    const uuid = await database("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)");
    const before = await bookmark(uuid);
    expect(before).toMatch(/^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/);
    await api("POST", `/${uuid}/query`, { sql });
    const after = await bookmark(uuid);
    if (isChanged) expect(after > before).toBe(true);
    else expect(after).toBe(before);
  });

  it("of a past time are those of then", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    const { now } = await control<{ now: number }>("GET", "/clock");
    const before = await bookmark(uuid);
    await control("PUT", "/clock", { advanceMs: 60_000 });
    await control("POST", `/databases/${uuid}/sql`, "INSERT INTO t VALUES (1)");
    expect(await bookmark(uuid)).not.toBe(before);
    expect(await bookmark(uuid, `?timestamp=${new Date(now + 1000).toISOString()}`)).toBe(before);
  });
});

describe("control routes", () => {
  it("name the field that is wrong", async () => {
    const response = await emulator("/_emulator/databases", {
      method: "POST",
      body: JSON.stringify({ nam: "x" }),
    });
    expect(response.status).toBe(400);
    const { issues } = await response.json<{ issues: { field: string }[] }>();
    expect(issues.map(({ field }) => field)).toContain("name");
  });

  it("say what SQLite says of a seed and know no other databases", async () => {
    await expect(database("CREATE TABLE")).rejects.toThrow("422");
    await expect(control("GET", "/databases/absent/state")).rejects.toThrow("404");
  });
});
