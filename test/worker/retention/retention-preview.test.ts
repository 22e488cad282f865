import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { setFaults } from "../kit/emulated-account.ts";
import { databaseWith, DAY_MS, folderOf, foldersOf, only, rest } from "../kit/retention-driver.ts";
import { backUp, call, holdTheClock, keysOf, setPolicy } from "../kit/run-driver.ts";

beforeEach(() => {
  holdTheClock();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the preview", () => {
  async function preview(database: string, policy: unknown): Promise<unknown> {
    const body = JSON.stringify(policy);
    return (await call(`/api/databases/${database}/retention/preview`, { method: "POST", body })).json();
  }

  it("tells what a policy would keep and remove of what lies in the bucket, and removes nothing", async () => {
    const kept = await databaseWith(2);
    const [first = "", second = "", third = ""] = kept.ids;
    await env.BACKUPS.put(`${folderOf(first)}PINNED`, "");
    const startedAt = (nights: number): string => new Date(Date.now() - nights * DAY_MS).toISOString();
    const wanted = {
      keep: [
        { backupId: third, startedAt: startedAt(0), reasons: ["the newest", "last 1 of 1"] },
        { backupId: first, startedAt: startedAt(2), reasons: ["pinned"] },
      ],
      remove: [{ backupId: second, startedAt: startedAt(1) }],
    };
    const keys = await keysOf(kept.database.name);
    expect(await preview(kept.database.name, only({ keepLast: 1 }))).toEqual(wanted);
    expect(await preview(kept.database.id, only({ keepLast: 1 }))).toEqual(wanted);
    await rest(kept.database.id);
    expect(await keysOf(kept.database.name)).toEqual(keys);
  });

  it("is as if the policy were saved: what it leaves out follows the default policy", async () => {
    const kept = await databaseWith(20);
    const planned = await preview(kept.database.name, { retention: { keepDaily: 5 } });
    expect(planned).toMatchObject({ keep: { length: 7 }, remove: { length: 14 } });
    await setPolicy(kept.database.id, { retention: { keepDaily: 5 } });
    await backUp(kept.database);
    await rest(kept.database.id);
    // Those, and the new one.
    expect(await foldersOf(kept.database.name)).toHaveLength(8);
  });

  it("reads many manifests at once", async () => {
    const kept = await databaseWith(60);
    expect(await preview(kept.database.name, only({ keepLast: 1 }))).toMatchObject({
      keep: { length: 1 },
      remove: { length: 60 },
    });
  });

  it("is there for a database that the account no longer has", async () => {
    const kept = await databaseWith(1);
    await setFaults(kept.database.id, [{ on: "any", fault: "vanish" }]);
    expect(await preview(kept.database.id, only({ keepLast: 1 }))).toMatchObject({
      keep: { length: 1 },
      remove: { length: 1 },
    });
  });

  it("is refused for an unknown name or a policy that is none (failure mode 22)", async () => {
    expect(await preview("nowhere", {})).toMatchObject({ status: 404, code: "database-not-found" });
    expect(await preview("shop", { retention: { keepDaily: -1 } })).toMatchObject({
      status: 400,
      errors: [{ field: "retention.keepDaily" }],
    });
    expect(await preview("shop", { retention: { keepDayly: 1 } })).toMatchObject({
      status: 400,
      errors: [{ field: expect.stringContaining("keepDayly") }],
    });
  });
});
