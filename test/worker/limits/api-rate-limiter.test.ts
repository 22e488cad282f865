import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { D1Rest } from "../../../src/cloudflare/d1/d1-rest.ts";
import type { CallKind } from "../../../src/core/d1/api-budget.ts";
import type { D1Api } from "../../../src/core/d1/api.ts";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import { ApiRateLimiter, type KeptValues } from "../../../src/jobs/limits/api-rate-limiter.ts";
import { type CallLimiter, meteredApi } from "../../../src/jobs/limits/metered-api.ts";
import { createDatabase, resetAccount, setFaults } from "../kit/emulated-account.ts";
import { holdTheClock } from "../kit/run-driver.ts";

const CONTROL = "http://emulator.test/_emulator";
const rest = (): D1Rest => new D1Rest("http://emulator.test/client/v4", "emulated-account", "emulated-token");

beforeEach(async () => {
  holdTheClock();
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

async function rateLimit(requests: number): Promise<void> {
  const body = JSON.stringify({ requests, windowMs: 300_000 });
  await fetch(`${CONTROL}/rate-limit`, { method: "PUT", body });
}

async function requestsSeen(): Promise<{ total: number; mostInFiveMinutes: number }> {
  const counts = z.object({ total: z.number(), mostInFiveMinutes: z.number() });
  return counts.parse(await (await fetch(`${CONTROL}/requests`)).json());
}

/** A coordinator as the account's object is one, over storage of its own; tells what it was told. */
function coordinator(limit: number, exports = 0) {
  const values = new Map<string, unknown>();
  const kv: KeptValues = {
    get: (key) => structuredClone(values.get(key)),
    put: (key, value) => void values.set(key, structuredClone(value)),
  };
  const limiter = new ApiRateLimiter({ kv });
  limiter.limit(limit);
  const slowedDown: [number, number | undefined][] = [];
  const counter: CallLimiter = {
    acquireCall: async (kind: CallKind) => limiter.acquire(kind, exports, Date.now()),
    slowDown: async (forMs, left) => {
      slowedDown.push([forMs, left]);
      limiter.slowDown(forMs, Date.now(), left, exports);
    },
  };
  return { ...counter, limiter, slowedDown };
}

/** Every call of the API but the poll, with its name. */
function calls(api: D1Api, id: string): [string, () => Promise<{ ok: boolean }>][] {
  return [
    ["listDatabases", () => api.listDatabases(1, 10)],
    ["getDatabase", () => api.getDatabase(id)],
    ["schema", () => api.schema(id)],
    ["bookmark", () => api.bookmark(id)],
    ["query", () => api.query(id, "SELECT 1")],
    ["startExport", () => api.startExport(id, EVERYTHING)],
  ];
}

describe("the metered API", () => {
  it("admits each call before it makes it, and answers as the API does", async () => {
    const database = await createDatabase("CREATE TABLE t (a)");
    const counter = coordinator(960);
    const before = await requestsSeen();
    for (const [name, make] of calls(meteredApi(rest(), counter, "work"), database.id)) {
      const bare = calls(rest(), database.id).find(([other]) => other === name);
      if (name === "startExport") expect(await make(), name).toMatchObject({ ok: true });
      else expect(await make(), name).toEqual(await bare?.[1]());
    }
    expect(counter.limiter.used(Date.now())).toBe(6);
    expect((await requestsSeen()).total - before.total).toBe(6 + 5);
  });

  it.each(["work", "reader"] as const)(
    "refuses %s beyond the budget, makes no call, and says when to come back",
    async (kind) => {
      const database = await createDatabase("");
      const counter = coordinator(100);
      while (counter.limiter.acquire(kind, 0, Date.now()) === 0);
      const api = meteredApi(rest(), counter, kind);
      const before = await requestsSeen();
      for (const [name, make] of calls(api, database.id)) {
        const answer = await make();
        expect(answer, name).toMatchObject({
          ok: false,
          failure: {
            code: "api-budget-spent",
            retryable: true,
            hint: expect.stringContaining("API_CALLS_PER_5_MINUTES"),
          },
        });
      }
      expect((await requestsSeen()).total).toBe(before.total);
      const refused = await api.bookmark(database.id);
      const waitMs = refused.ok ? 0 : (refused.failure.retryAfterMs ?? 0);
      expect(waitMs).toBeGreaterThan(200_000);
      vi.setSystemTime(Date.now() + waitMs);
      expect(await api.bookmark(database.id)).toMatchObject({ ok: true });
    },
  );

  it("makes polls whatever is used up, counts them, and does not wait for the count", async () => {
    const database = await createDatabase("CREATE TABLE t (a)");
    await setFaults(database.id, [{ on: "export.start", fault: "slow", value: 3_600_000 }]);
    const started = await rest().startExport(database.id, EVERYTHING);
    const bookmark = started.ok && started.value.kind === "active" ? (started.value.bookmark ?? "") : "";
    const counter = coordinator(100);
    while (counter.limiter.acquire("work", 0, Date.now()) === 0);
    const used = counter.limiter.used(Date.now());
    const metered = meteredApi(rest(), counter, "work");
    expect(await metered.pollExport(database.id, EVERYTHING, bookmark)).toMatchObject({
      ok: true,
      value: { kind: "active" },
    });
    expect(counter.limiter.used(Date.now())).toBe(used + 1);
    // A coordinator that never answers does not hold a poll up.
    const silent: CallLimiter = {
      acquireCall: () => new Promise(() => undefined),
      slowDown: async () => undefined,
    };
    const polled = meteredApi(rest(), silent, "work").pollExport(database.id, EVERYTHING, bookmark);
    expect(await polled).toMatchObject({ ok: true, value: { kind: "active" } });
  });

  it.each<[string, CallLimiter]>([
    [
      "rejects",
      {
        acquireCall: () => Promise.reject(new Error("gone")),
        slowDown: () => Promise.reject(new Error("gone")),
      },
    ],
    [
      "throws",
      {
        acquireCall: () => {
          throw new Error("gone");
        },
        slowDown: () => {
          throw new Error("gone");
        },
      },
    ],
  ])(
    "makes the call when the coordinator %s: an export must not be lost to bookkeeping",
    async (_, unreachable) => {
      const database = await createDatabase("");
      await rateLimit(20);
      const api = meteredApi(rest(), unreachable, "work");
      for (const [name, make] of calls(api, database.id))
        expect(await make(), name).toMatchObject({ ok: true });
      expect(await api.pollExport(database.id, EVERYTHING, "none")).toMatchObject({ ok: true });
    },
  );
});

describe("what Cloudflare says", () => {
  it("by a 429 holds back everything but polls for as long as it asks", async () => {
    const database = await createDatabase("");
    const counter = coordinator(960);
    const api = meteredApi(rest(), counter, "work");
    await setFaults(database.id, [{ on: "get", fault: "status", value: 429, times: 1 }]);
    expect(await api.getDatabase(database.id)).toMatchObject({
      ok: false,
      failure: { code: "api-rate-limited", retryAfterMs: 2_000 },
    });
    expect(counter.slowedDown).toEqual([[2_000, undefined]]);
    expect(await api.bookmark(database.id)).toMatchObject({
      ok: false,
      failure: { code: "api-budget-spent" },
    });
    vi.setSystemTime(Date.now() + 2_000);
    expect(await api.bookmark(database.id)).toMatchObject({ ok: true });
  });

  it.each([
    [6, 600, true],
    [6, 500, false],
    [5, 500, true],
    [0, 10, true],
    [0, 1, false],
  ])(
    "by its headers, with %i exports and all but one of %i calls left, lets work go on: %s",
    async (exports, quota, goesOn) => {
      const database = await createDatabase("");
      await rateLimit(quota);
      const counter = coordinator(1_200, exports);
      const api = meteredApi(rest(), counter, "work");
      expect(await api.getDatabase(database.id)).toMatchObject({ ok: true });
      expect((await api.bookmark(database.id)).ok).toBe(goesOn);
      vi.setSystemTime(Date.now() + 301_000);
      expect(await counter.acquireCall("work")).toBe(0);
    },
  );

  it("tells nobody while plenty is left", async () => {
    const database = await createDatabase("");
    await rateLimit(1_200);
    const counter = coordinator(960);
    await meteredApi(rest(), counter, "work").getDatabase(database.id);
    expect(counter.slowedDown).toEqual([]);
  });

  it("is heard by its observer, and changes no answer", async () => {
    await rateLimit(1_200);
    const seen: unknown[] = [];
    const listed = await rest()
      .watched((rate) => seen.push(rate))
      .listDatabases(1, 10);
    expect(listed).toEqual(await rest().listDatabases(1, 10));
    expect(seen).toEqual([{ remaining: 1_199, resetMs: 300_000, quota: 1_200 }]);
  });
});

describe("the count", () => {
  it("is the object's, and is there after the object was evicted", async () => {
    const stub = env.ACCOUNT_COORDINATOR.getByName("budget");
    const admitted = (count: number): Promise<number> =>
      runInDurableObject(stub, (_, { storage }) => {
        const limiter = new ApiRateLimiter(storage);
        for (let call = 0; call < count; call++) limiter.acquire("work", 0, Date.now());
        return limiter.used(Date.now());
      });
    await runInDurableObject(stub, (_, { storage }) => new ApiRateLimiter(storage).limit(150));
    expect(await admitted(120)).toBe(120);
    await evictDurableObject(stub);
    expect(await admitted(60)).toBe(150 - 7);
    await runInDurableObject(stub, (_, { storage }) =>
      new ApiRateLimiter(storage).slowDown(600_000, Date.now()),
    );
    await evictDurableObject(stub);
    vi.setSystemTime(Date.now() + 400_000);
    expect(await admitted(1)).toBe(0);
    vi.setSystemTime(Date.now() + 300_000);
    expect(await admitted(1)).toBe(1);
  });

  it.each([["nonsense"], [{ calls: "many" }], [null]])("begins anew when %j is stored", async (stored) => {
    const stub = env.ACCOUNT_COORDINATOR.getByName(crypto.randomUUID());
    await runInDurableObject(stub, (_, { storage }) => {
      storage.kv.put("calls", stored);
      const limiter = new ApiRateLimiter(storage);
      expect(limiter.acquire("work", 0, Date.now())).toBe(0);
      expect(limiter.used(Date.now())).toBe(1);
    });
  });
});
