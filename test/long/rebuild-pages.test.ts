import { evictDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  backupRows,
  bucketWith,
  care,
  driveMaintenance,
  emptyInstallation,
  latestRebuild,
  nextMaintenance,
  putBackup,
  rebuildNow,
  withBucket,
} from "../worker/kit/maintenance-driver.ts";
import { call, holdTheClock } from "../worker/kit/run-driver.ts";

beforeEach(async () => {
  holdTheClock();
  await emptyInstallation();
});
afterEach(() => vi.useRealTimers());

describe("a rebuild over many pages", { timeout: 60_000 }, () => {
  const FOLDERS = 550;

  beforeEach(async () => {
    const stamp = (i: number): string =>
      `202611${String(1 + (i % 28)).padStart(2, "0")}T${String(Math.floor(i / 28)).padStart(2, "0")}0000Z`;
    for (let from = 0; from < FOLDERS; from += 50)
      await Promise.all(Array.from({ length: 50 }, (_, i) => putBackup("shop", stamp(from + i))));
  });

  it("goes on where it was cut off, in steps that an invocation may take, and answers 409 meanwhile", async () => {
    let calls = 0;
    let most = 0;
    const counting = async (): Promise<void> =>
      withBucket(
        (bucket) =>
          new Proxy(bucket, {
            get(target, member) {
              const real: unknown = Reflect.get(target, member, target);
              if (typeof real !== "function") return real;
              const bound: (...args: unknown[]) => unknown = real.bind(target);
              return (...args: unknown[]): unknown => {
                calls += 1;
                return bound(...args);
              };
            },
          }),
      );
    expect((await call("/api/catalog/rebuild", { method: "POST" })).status).toBe(202);
    let alarms = 0;
    for (; alarms < 400; alarms++) {
      calls = 0;
      await evictDurableObject(care());
      await counting();
      if (!(await nextMaintenance())) break;
      most = Math.max(most, calls);
      const again = await call("/api/catalog/rebuild", { method: "POST" });
      if ((await latestRebuild()).state === "running") expect(again.status).toBe(409);
      else break;
    }
    expect(alarms).toBeGreaterThan(15);
    expect(most).toBeGreaterThan(20);
    expect(most).toBeLessThanOrEqual(40);
    expect((await backupRows()).length).toBe(FOLDERS);
    await driveMaintenance();
  });

  it("begins anew when its cursor is no longer good", async () => {
    let walks = 0;
    let refused = 0;
    await withBucket((bucket) =>
      bucketWith(bucket, "list", async (list, options) => {
        const { cursor, ...rest } = options ?? {};
        if (cursor === undefined) walks += 1;
        // The first walk's cursors are good for nothing, for ever.
        if (cursor?.startsWith("1:") === true) {
          refused += 1;
          throw new Error("list: The specified cursor is invalid. (10025)");
        }
        const page = await list({ ...rest, ...(cursor === undefined ? {} : { cursor: cursor.slice(2) }) });
        return page.truncated ? { ...page, cursor: `${walks}:${page.cursor}` } : page;
      }),
    );
    expect(await rebuildNow()).toMatchObject({
      state: "complete",
      progress: { backups: FOLDERS, objects: FOLDERS * 2 },
      removed: 0,
    });
    expect([walks, refused]).toEqual([2, 3]);
    expect((await backupRows()).length).toBe(FOLDERS);
  });

  it("fails, and says why, when the bucket stays away", async () => {
    await withBucket((bucket) =>
      bucketWith(bucket, "list", async () => {
        throw new Error("internal error (10001)");
      }),
    );
    expect(await rebuildNow()).toMatchObject({ state: "failed", error: { code: "bucket-unavailable" } });
  });
});
