import { createExecutionContext, runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { RunView } from "../../../src/core/run/run-view.ts";
import { createDatabase, dumpOf } from "../kit/emulated-account.ts";
import { backUp, call, drive, holdTheClock, isOver, setPolicy, startBackup } from "../kit/run-driver.ts";
import worker from "../../../src/index.ts";

let shop: { id: string; name: string };
let first: RunView;

beforeAll(async () => {
  holdTheClock();
  shop = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);", "shop");
  await setPolicy(shop.id, { retention: { keepLast: 100 } });
  first = await backUp(shop);
  for (let i = 0; i < 4; i++) await backUp(shop);
  vi.useRealTimers();
});

const ask = (path: string, headers: Record<string, string>, method = "GET"): Promise<Response> =>
  exports.default.fetch(new Request(`http://worker.test${path}`, { method, headers }));

describe("access", () => {
  it.each<[string, string, Record<string, string>, number]>([
    ["GET", "/api/runs", {}, 401],
    ["GET", "/api/runs", { Authorization: "Bearer wrong-token-for-tests" }, 401],
    ["GET", "/api/runs", { Authorization: "Bearer " }, 401],
    ["GET", "/api/runs", { Authorization: "Basic YTpi" }, 401],
    ["GET", "/api/runs", { Authorization: "Bearer viewer-token-for-tests" }, 200],
    ["GET", "/api/runs", { Authorization: "Bearer admin-token-for-tests" }, 200],
    ["POST", "/api/databases/shop/backups", { Authorization: "Bearer viewer-token-for-tests" }, 403],
    ["POST", "/api/backups", { Authorization: "Bearer viewer-token-for-tests" }, 403],
    ["POST", "/api/backups", {}, 401],
    ["GET", "/api/nothing", {}, 401],
    ["GET", "/api/nothing", { Authorization: "Bearer viewer-token-for-tests" }, 404],
    ["GET", "/", {}, 200],
  ])("%s %s with %j → %d", async (method, path, headers, status) => {
    const response = await ask(path, headers, method);
    expect(response.status).toBe(status);
    if (status < 400) return;
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({
      title: expect.any(String),
      status,
      detail: expect.any(String),
      hint: expect.any(String),
    });
  });

  const aud = "0".repeat(64);
  const identity = (tag: string, email?: string) => ({
    aud: tag,
    getIdentity: async () => (email === undefined ? undefined : { email }),
  });
  const withAccess = { ADMIN_TOKEN: "", VIEWER_TOKEN: "", ACCESS_AUD: aud, ACCESS_ADMINS: "ada@example.com" };

  it.each<[string, object, object | undefined, string, Record<string, string>, number]>([
    ["nothing configured", { ADMIN_TOKEN: "", VIEWER_TOKEN: "" }, undefined, "GET", {}, 503],
    [
      "nothing configured, and a token sent",
      { ADMIN_TOKEN: "", VIEWER_TOKEN: "" },
      undefined,
      "GET",
      { Authorization: "Bearer x" },
      503,
    ],
    [
      "nothing configured, and an empty token sent",
      { ADMIN_TOKEN: "", VIEWER_TOKEN: "" },
      undefined,
      "GET",
      { Authorization: "Bearer" },
      503,
    ],
    ["an identity, but no ACCESS_AUD", {}, identity(aud, "ada@example.com"), "GET", {}, 401],
    [
      "an identity of another application",
      withAccess,
      identity("1".repeat(64), "ada@example.com"),
      "GET",
      {},
      401,
    ],
    ["ACCESS_AUD, but no identity", withAccess, undefined, "GET", {}, 401],
    ["an identity that is no admin reads", withAccess, identity(aud, "bob@example.com"), "GET", {}, 200],
    ["an identity that is no admin writes", withAccess, identity(aud, "bob@example.com"), "POST", {}, 403],
    ["an identity without an address writes", withAccess, identity(aud), "POST", {}, 403],
    ["an admin writes", withAccess, identity(aud, "Ada@Example.com"), "POST", {}, 404],
    [
      "an admin's browser on a foreign page",
      withAccess,
      identity(aud, "ada@example.com"),
      "POST",
      { "Sec-Fetch-Site": "cross-site" },
      403,
    ],
    [
      "a wrong token beside an admin's identity",
      withAccess,
      identity(aud, "ada@example.com"),
      "GET",
      { Authorization: "Bearer wrong" },
      401,
    ],
    ["a token that is too short to be safe", { ADMIN_TOKEN: "short" }, undefined, "GET", {}, 503],
    [
      "a configuration with mistakes",
      { VOLUME_BYTES: "1" },
      undefined,
      "GET",
      { Authorization: "Bearer admin-token-for-tests" },
      503,
    ],
  ])("%s", async (_, changes, access, method, headers, status) => {
    const path = method === "GET" ? "/api/runs" : "/api/databases/no-such-database/backups";
    const context = createExecutionContext();
    Object.defineProperty(context, "access", { value: access });
    const request = new Request<unknown, IncomingRequestCfProperties>(`http://worker.test${path}`, {
      method,
      headers,
    });
    const response = await worker.fetch(request, { ...env, ...changes }, context);
    expect(response.status).toBe(status);
  });
});

describe("requests", () => {
  it("an unknown database is 404 with the closest names", async () => {
    const response = await call("/api/databases/shopp/backups", { method: "POST" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      code: "database-not-found",
      closest: expect.arrayContaining(["shop"]),
      hint: expect.stringContaining("shop"),
    });
  });

  it.each<[string, string, string]>([
    ["{", "body", "not JSON"],
    ["[]", "body", ""],
    ['{"label":7}', "label", ""],
    ['{"label":" "}', "label", "empty"],
    ['{"pinned":"yes"}', "pinned", ""],
    ['{"forced":true}', "forced", "unknown"],
  ])("a body %s is 400 and names %s", async (body, field, what) => {
    const response = await call("/api/databases/shop/backups", { method: "POST", body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      errors: [{ field, problem: expect.stringContaining(what) }],
    });
  });

  it.each([
    ["/api/runs?limit=0", "limit"],
    ["/api/runs?limit=1000", "limit"],
    ["/api/runs?limit=x", "limit"],
    ["/api/runs?state=sleeping", "state"],
    ["/api/runs?cursor=nonsense", "cursor"],
    ["/api/backups?cursor=bm9uc2Vuc2U%3D", "cursor"],
  ])("%s is 400 and names %s", async (path, field) => {
    const response = await call(path);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ field }] });
  });

  it.each([
    "/api/runs/nonsense",
    "/api/runs/0f3c5a1e-3f43-4b8e-9d5e-1a2b3c4d5e6f.mwpqqkby",
    "/api/backups/nonsense",
    "/api/backups/shop.20200101T000000Z",
    "/api/backups/..%2F..%2Fx.20200101T000000Z",
  ])("%s is 404", async (path) => {
    expect((await call(path)).status).toBe(404);
  });
});

describe("lists", () => {
  it.each(["/api/runs?database=shop", "/api/backups?database=shop"])(
    "%s goes page by page, newest first, through all",
    async (path) => {
      const ids: string[] = [];
      let cursor: string | null = null;
      do {
        const page: { items: { id: string }[]; cursor: string | null } = await (
          await call(`${path}&limit=2${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`)
        ).json();
        expect(page.items.length).toBeLessThanOrEqual(2);
        ids.push(...page.items.map(({ id }) => id));
        cursor = page.cursor;
      } while (cursor !== null);
      expect(ids).toHaveLength(5);
      expect(ids).toEqual([...new Set(ids)].toSorted().toReversed());
    },
  );

  it("runs by state, and by the database's UUID", async () => {
    const done = await (
      await call(`/api/runs?database=${shop.id}&state=complete`)
    ).json<{ items: unknown[] }>();
    expect(done.items).toHaveLength(5);
    const failed = await (await call("/api/runs?database=shop&state=failed")).json<{ items: unknown[] }>();
    expect(failed.items).toEqual([]);
  });
});

describe("downloads", () => {
  const file = (): string => `/api/backups/${first.backupId}/files/shop.0001.sql.gz`;

  it("a volume, whole and in parts", async () => {
    const whole = await call(file());
    expect(whole.headers.get("Content-Type")).toBe("application/gzip");
    const bytes = new Uint8Array(await whole.arrayBuffer());
    expect(whole.headers.get("Content-Length")).toBe(String(bytes.length));
    const size = bytes.length;
    for (const [range, status, from, to] of [
      ["bytes=0-9", 206, 0, 10],
      ["bytes=5-", 206, 5, size],
      ["bytes=-7", 206, size - 7, size],
      ["bytes=0-999999", 206, 0, size],
    ] as const) {
      const part = await call(file(), { headers: { Range: range } });
      expect(part.status).toBe(status);
      expect(part.headers.get("Content-Range")).toBe(`bytes ${from}-${to - 1}/${size}`);
      expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.subarray(from, to));
    }
    expect((await call(file(), { headers: { Range: `bytes=${size}-` } })).status).toBe(416);
    const etag = whole.headers.get("ETag") ?? "";
    expect((await call(file(), { headers: { "If-None-Match": etag } })).status).toBe(304);
    expect((await call(file(), { headers: { "If-Match": '"another"' } })).status).toBe(412);
  });

  it("the plain dump, joined and decompressed", async () => {
    const response = await call(`/api/backups/${first.backupId}/dump.sql`);
    const dump = await dumpOf(shop.id);
    expect(response.headers.get("Content-Length")).toBe(String(dump.length));
    expect(await response.text()).toBe(dump);
  });

  it("the whole of a file when If-Range names another version", async () => {
    const whole = await call(file());
    const size = (await whole.arrayBuffer()).byteLength;
    const headers = { Range: "bytes=0-3", "If-Range": '"another"' };
    const other = await call(file(), { headers });
    expect([other.status, (await other.arrayBuffer()).byteLength]).toEqual([200, size]);
    const same = await call(file(), { headers: { ...headers, "If-Range": whole.headers.get("ETag") ?? "" } });
    expect([same.status, (await same.arrayBuffer()).byteLength]).toEqual([206, 4]);
  });

  it.each(["nothing.sql", "..%2F..%2Fx", "%2e%2e"])("no file %s", async (name) => {
    expect((await call(`/api/backups/${first.backupId}/files/${name}`)).status).toBe(404);
  });
});

describe("secrets", () => {
  it("stand in no answer, catalogue row or stored object", async () => {
    const texts = [];
    for (const path of [
      "/api/runs",
      `/api/runs/${first.id}`,
      "/api/backups",
      `/api/backups/${first.backupId}`,
      "/api/databases/shop",
      "/api/sweeps/latest",
      "/api/databases/nope",
    ]) {
      texts.push(await (await call(path)).text());
    }
    for (const table of ["runs", "backups"])
      texts.push(JSON.stringify((await env.CATALOG.prepare(`SELECT * FROM ${table}`).run()).results));
    for (const { key } of (await env.BACKUPS.list()).objects)
      texts.push((await (await env.BACKUPS.get(key))?.text()) ?? "");
    expect(texts.length).toBeGreaterThan(20);
    for (const text of texts) expect(text).not.toMatch(/_signed|emulated-token|admin-token|viewer-token/);
  });
});

describe("the catalogue", () => {
  it("that is down delays its own rows and nothing else", async () => {
    holdTheClock();
    const database = await createDatabase("CREATE TABLE t (a);");
    await env.CATALOG.exec("ALTER TABLE runs RENAME TO runs_away");
    const id = await startBackup(database.id);
    const run = await drive(database.id, isOver);
    expect(run.phase.at).toBe("complete");
    expect((await call("/api/runs")).status).toBe(503);
    expect(await (await call(`/api/runs/${id}`)).json()).toMatchObject({ state: "complete" });
    await env.CATALOG.exec("ALTER TABLE runs_away RENAME TO runs");
    vi.setSystemTime(Date.now() + 600_000);
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
    const listed = await (await call(`/api/runs?database=${database.id}`)).json<{ items: unknown[] }>();
    expect(listed.items).toMatchObject([{ id, state: "complete" }]);
    const backups = await (await call(`/api/backups?database=${database.id}`)).json<{ items: unknown[] }>();
    expect(backups.items).toHaveLength(1);
    vi.useRealTimers();
  });
});
