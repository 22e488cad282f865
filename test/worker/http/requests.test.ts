import { describe, expect, it } from "vitest";
import { call } from "../kit/run-driver.ts";

async function problemOf(path: string, init: RequestInit = {}): Promise<Record<string, unknown>> {
  const response = await call(path, init);
  return { status: response.status, ...(await response.json<Record<string, unknown>>()) };
}

describe("a query parameter that no route knows", () => {
  it.each<[path: string, method: string, meant: string]>([
    ["/api/backups?databse=shop", "GET", "databse: is unknown: did you mean database?"],
    ["/api/runs?states=failed", "GET", "states: is unknown: did you mean state?"],
    ["/api/databases?limits=3", "GET", "limits: is unknown: did you mean limit?"],
    ["/api/policy?paused=true", "PUT", "paused: is unknown"],
    ["/api/databases/shop?verbose=1", "GET", "verbose: is unknown"],
    ["/api/databases/shop/backups?force=true", "POST", "force: is unknown"],
    ["/api/backups/shop.20261121T030000Z?Last=true", "DELETE", "Last: is unknown: did you mean last?"],
  ])("%s (%s) is refused", async (path, method, detail) => {
    expect(await problemOf(path, { method })).toMatchObject({ status: 400, code: "malformed", detail });
  });
});

describe("a query", () => {
  it("that names a parameter twice is refused", async () => {
    expect(await problemOf("/api/runs?database=shop&database=orders")).toMatchObject({
      status: 400,
      detail: "database: is given more than once",
    });
  });

  it("that a list reads is read with HEAD as with GET", async () => {
    expect((await call("/api/runs?limit=1", { method: "HEAD" })).status).toBe(200);
    expect((await call("/api/runs?limits=1", { method: "HEAD" })).status).toBe(400);
  });

  it("of /healthz is ignored: monitors add one, so that no cache answers", async () => {
    const [plain, busted] = await Promise.all([call("/healthz"), call("/healthz?_=1700000000")]);
    expect(busted.status).toBe(plain.status);
    expect(await busted.json()).toEqual(await plain.json());
  });
});

describe("a body", () => {
  it("of more than a mebibyte is refused", async () => {
    const body = JSON.stringify({ label: "x".repeat(1024 * 1024) });
    expect(await problemOf("/api/backups", { method: "POST", body })).toMatchObject({
      status: 413,
      code: "body-too-large",
    });
  });

  it("with a long key is answered without comparing that to every key there is", async () => {
    const body = JSON.stringify({ ["k".repeat(500_000)]: 1, labl: "x" });
    const problem = await problemOf("/api/backups", { method: "POST", body });
    expect(problem).toMatchObject({ status: 400, code: "malformed" });
    expect(String(problem["detail"])).toContain("labl: is unknown: did you mean label?");
    expect(JSON.stringify(problem).length).toBeLessThan(2_000);
  });
});

describe("an id that no key of the bucket can hold", () => {
  it.each(
    ["a".repeat(1_100), "ü".repeat(600), "its key is longer".padEnd(1_000, "a")].map(
      (name) => `${name}.20261121T030000Z`,
    ),
  )("names no backup", async (id) => {
    expect(await problemOf(`/api/backups/${encodeURIComponent(id)}`)).toMatchObject({
      status: 404,
      code: "backup-not-found",
    });
  });
});

describe("a method that a path does not take", () => {
  it.each([
    ["PUT", "/api/databases", "GET, HEAD"],
    ["DELETE", "/api/runs/shop.20260101T000000Z", "GET, HEAD"],
    ["GET", "/api/databases/shop/backups", "POST"],
    ["HEAD", "/api/databases/shop/backups", "POST"],
    ["OPTIONS", "/api/orphans", "GET, HEAD, POST, DELETE"],
    ["PATCH", "/api/policy", "GET, HEAD, PUT"],
    ["POST", "/healthz", "GET, HEAD"],
  ])("%s %s is told which ones it takes", async (method, path, allow) => {
    const response = await call(path, { method });
    expect([response.status, response.headers.get("Allow")]).toEqual([405, allow]);
    const text = await response.text();
    if (method === "HEAD") expect(text).toBe("");
    else expect(JSON.parse(text)).toMatchObject({ code: "method-not-allowed" });
  });

  it("is told to nobody without a token", async () => {
    const response = await call("/api/databases", { method: "PUT", headers: { Authorization: "" } });
    expect([response.status, response.headers.get("Allow")]).toEqual([401, null]);
  });

  it.each(["/api/databses", "/api/databases/shop/backups/1", "/nothing"])(
    "is not the matter where there is no such path: %s",
    async (path) => {
      expect(await problemOf(path, { method: "PUT" })).toMatchObject({
        status: 404,
        code: "route-not-found",
      });
    },
  );
});

describe("no answer runs anything in a browser, or is taken for what it is not", () => {
  it.each([
    ["a list", "/api/databases", 200],
    ["the status", "/healthz", 200],
    ["the front door", "/", 200],
    ["a query that no route knows", "/api/databases?x=1", 400],
    ["a path that there is not", "/api/absent", 404],
  ])("%s", async (_, path, status) => {
    const response = await call(path);
    await response.body?.cancel();
    expect(response.status).toBe(status);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-security-policy": "sandbox; default-src 'none'",
      "x-content-type-options": "nosniff",
      "x-frame-options": "SAMEORIGIN",
      "referrer-policy": "no-referrer",
    });
    expect(response.headers.get("Strict-Transport-Security")).toBeNull();
  });
});
