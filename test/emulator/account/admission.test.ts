import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { api, control, database } from "../kit/client.ts";

beforeEach(reset);

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
