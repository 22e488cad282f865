import { runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { DEFAULT_CALLS } from "../../../src/core/d1/api-budget.ts";
import { ApiRateLimiter } from "../../../src/jobs/limits/api-rate-limiter.ts";
import { createDatabase, resetAccount } from "../kit/emulated-account.ts";
import { account, call, drive, driveAccount, fire, forgetAccount, holdTheClock } from "../kit/run-driver.ts";
import { HEARTBEAT, isOver, startBackup } from "../kit/run-driver.ts";

const VIEWER = { Authorization: "Bearer viewer-token-for-tests" };

beforeEach(async () => {
  holdTheClock();
  await resetAccount();
  await forgetAccount();
});
afterEach(() => vi.useRealTimers());

const answerSchema = z.looseObject({ code: z.string().optional(), closest: z.array(z.string()).optional() });

/** What a viewer is told of a database. */
async function look(nameOrId: string): Promise<{ status: number } & z.infer<typeof answerSchema>> {
  const response = await call(`/api/databases/${encodeURIComponent(nameOrId)}`, { headers: VIEWER });
  return { status: response.status, ...answerSchema.parse(await response.json()) };
}

/** As many calls as Cloudflare has seen of this Worker so far. */
async function callsSeen(): Promise<number> {
  const response = await fetch("http://emulator.test/_emulator/requests");
  return z.object({ total: z.number() }).parse(await response.json()).total;
}

/** The heartbeat has read the list of databases. */
async function listDatabases(): Promise<void> {
  await fire(HEARTBEAT);
  await driveAccount(60_000);
}

/** Readers have used up their part. */
function useUpReading(): Promise<void> {
  return runInDurableObject(account(), (_, { storage }) => {
    const limiter = new ApiRateLimiter(storage);
    while (limiter.acquire("reader", 0, Date.now()) === 0);
  });
}

describe("600 unknown names, asked for by a viewer in five seconds", () => {
  it("cost a twentieth of the calls, and no backup a second", async () => {
    const shop = await createDatabase("CREATE TABLE t (a)", "shop");
    await listDatabases();
    const before = await callsSeen();
    const answers: number[] = [];
    for (let asked = 0; asked < 600; asked++) {
      if (asked % 120 === 119) vi.setSystemTime(Date.now() + 1_000);
      answers.push((await look(`unknown-${asked}`)).status);
    }
    expect(new Set(answers)).toEqual(new Set([404]));
    expect((await callsSeen()) - before).toBe(DEFAULT_CALLS / 20);
    const begun = Date.now();
    await startBackup(shop.id);
    expect((await drive(shop.id, isOver)).phase.at).toBe("complete");
    expect(Date.now() - begun).toBeLessThan(30_000);
  });
});

describe("an unknown database", () => {
  it("is told with the closest names, for one call", async () => {
    await createDatabase("", "shop");
    await createDatabase("", "orders");
    await listDatabases();
    const before = await callsSeen();
    expect(await look("shopp")).toMatchObject({ status: 404, closest: ["shop", "orders"] });
    expect((await callsSeen()) - before).toBe(1);
  });

  it("is told with the closest names before the databases were ever listed", async () => {
    await createDatabase("", "shop");
    expect(await look("shopp")).toMatchObject({ status: 404, closest: expect.arrayContaining(["shop"]) });
  });

  it("is not taken for unknown by a list that is old, or that there is none of", async () => {
    await useUpReading();
    expect(await look("new")).toMatchObject({ status: 503, code: "api-budget-spent" });
    await listDatabases();
    await useUpReading();
    expect(await look("new")).toMatchObject({ status: 404, code: "database-not-found" });
    vi.setSystemTime(Date.now() + 16 * 60_000);
    await useUpReading();
    expect(await look("new")).toMatchObject({ status: 503, code: "api-budget-spent" });
  });

  it("whose name is longer than any key is not asked for", async () => {
    await listDatabases();
    const before = await callsSeen();
    expect(await look("x".repeat(8_000))).toMatchObject({ status: 404, closest: [] });
    expect(await callsSeen()).toBe(before);
  });
});

describe("a known database", () => {
  it("is told by what is known, while Cloudflare is not asked", async () => {
    const { id } = await createDatabase("CREATE TABLE t (a)", "shop");
    await listDatabases();
    expect(await look("shop")).toMatchObject({ status: 200, id, fileSize: expect.any(Number) });
    await useUpReading();
    const before = await callsSeen();
    expect(await look("shop")).toMatchObject({ status: 200, id, name: "shop", fileSize: null });
    expect(await callsSeen()).toBe(before);
  });

  it("can be backed up while nothing is left for reading", async () => {
    const { id } = await createDatabase("CREATE TABLE t (a)", "shop");
    await useUpReading();
    await startBackup("shop");
    expect((await drive(id, isOver)).phase.at).toBe("complete");
  });
});
