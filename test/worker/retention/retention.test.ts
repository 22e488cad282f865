import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";
import type { Fault } from "../kit/emulated-account.ts";
import {
  copyBackup,
  databaseWith,
  DAY_MS,
  folderOf,
  foldersOf,
  listed,
  nextNight,
  noticesOf,
  only,
  rest,
  stampsOf,
  viewOfBackup,
} from "../kit/retention-driver.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  keysOf,
  setPolicy,
  startBackup,
} from "../kit/run-driver.ts";

beforeEach(() => {
  holdTheClock();
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("after a complete run", () => {
  it("what the policy does not keep is deleted, all of it, and leaves the catalogue", async () => {
    const kept = await databaseWith(3);
    const second = await nextNight(kept);
    await setPolicy(kept.database.id, only({ keepLast: 2 }));
    const third = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([second, third]));
    expect((await listed(kept.database.id)).map(({ id }) => id)).toEqual([third, second]);
    expect(await viewOfBackup(second)).toMatchObject({ deletion: null });
  });

  it("it goes by the time in the manifests, not by names (failure mode 24)", async () => {
    const kept = await databaseWith(0);
    // Its name sorts as the newest of all, its time is the oldest.
    const old = new Date(Date.now() - 9 * DAY_MS).toISOString();
    const id = await copyBackup(kept.ids[0] ?? "", Date.now() - DAY_MS, { startedAt: old });
    const later = await copyBackup(kept.ids[0] ?? "", Date.now() - 2 * DAY_MS);
    await setPolicy(kept.database.id, only({ keepLast: 3 }));
    const newest = await nextNight(kept);
    expect(stampsOf([id])[0]?.localeCompare(stampsOf([later])[0] ?? "")).toBe(1);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([later, ...kept.ids, newest]));
  });

  it("the free plan's 50 requests an invocation are enough, and no manifest is read twice", async () => {
    const kept = await databaseWith(40);
    await setPolicy(kept.database.id, only({ keepLast: 2 }));
    await advanceDays(1);
    await startBackup(kept.database.id);
    await drive(kept.database.id, isOver);
    const spies = (["list", "readText", "head", "remove", "put"] as const).map((name) =>
      vi.spyOn(R2Vault.prototype, name),
    );
    const most: number[] = [];
    for (let alarms = 0; alarms < 60 && (await foldersOf(kept.database.name)).length > 2; alarms++) {
      for (const spy of spies) spy.mockClear();
      await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(kept.database.id));
      most.push(spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0));
    }
    expect(await foldersOf(kept.database.name)).toHaveLength(2);
    expect(Math.max(...most)).toBeLessThanOrEqual(45);
    expect(most.length).toBeGreaterThan(5);
    await advanceDays(1);
    await startBackup(kept.database.id);
    await drive(kept.database.id, isOver);
    for (const spy of spies) spy.mockClear();
    await rest(kept.database.id);
    const manifests = spies[1]?.mock.calls.filter(([key]) => String(key).endsWith("manifest.json")) ?? [];
    expect(manifests.length).toBeLessThanOrEqual(1);
  });

  it.each<[string, readonly Fault[]]>([
    ["failed", [{ on: "any", fault: "vanish" }]],
    ["ended with a dump cut between two statements", [{ on: "download", fault: "shorten", value: 32 }]],
  ])("alone: one that %s deletes nothing (failure mode 2)", async (_, faults) => {
    const kept = await databaseWith(3);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const keys = await keysOf(kept.database.name);
    await nextNight(kept, faults);
    expect(await keysOf(kept.database.name)).toEqual(keys);
  });

  it("alone: one that ends as unchanged or is cancelled deletes nothing (failure mode 2)", async () => {
    const kept = await databaseWith(3);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const keys = await keysOf(kept.database.name);
    expect(await backUp(kept.database, {})).toMatchObject({ state: "unchanged" });
    await rest(kept.database.id);
    const runId = await startBackup(kept.database.id);
    await drive(kept.database.id, ({ phase }) => phase.at === "copying");
    expect((await call(`/api/runs/${runId}/cancel`, { method: "POST" })).status).toBe(200);
    await rest(kept.database.id);
    expect(await keysOf(kept.database.name)).toEqual(keys);
  });

  it("a policy of zeros deletes nothing", async () => {
    const kept = await databaseWith(5);
    await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toHaveLength(7);
  });
});

describe("what retention leaves alone", () => {
  it("is a folder without a manifest: a run under way, or the remains of one (failure mode 25)", async () => {
    const kept = await databaseWith(2);
    const begun = await copyBackup(kept.ids[0] ?? "", Date.now() - 30 * DAY_MS);
    await env.BACKUPS.delete(`${folderOf(begun)}manifest.json`);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([begun, newest]));
    expect(await keysOf(kept.database.name)).toContain(`${stampsOf([begun])[0]}/RUN.json`);
  });

  it("are other databases: each has its own places (failure mode 23)", async () => {
    const [one, other] = [await databaseWith(2), await databaseWith(2)];
    for (const { database } of [one, other]) await setPolicy(database.id, only({ keepLast: 2 }));
    // Below a name of ours, too, a manifest belongs to the database that it names.
    const astray = await copyBackup(other.ids[0] ?? "", Date.now() + DAY_MS / 2, { name: one.database.name });
    const newest = await nextNight(one);
    expect(await foldersOf(one.database.name)).toEqual(stampsOf([one.ids[2] ?? "", astray, newest]));
    expect(await foldersOf(other.database.name)).toEqual(stampsOf(other.ids));
  });

  it("is what another database of the same name has left (failure mode 33)", async () => {
    const kept = await databaseWith(0);
    const databaseId = crypto.randomUUID();
    const others = [
      await copyBackup(kept.ids[0] ?? "", Date.now() - 2 * DAY_MS, { databaseId }),
      // Newer than ours: it must not pass for the one that is kept.
      await copyBackup(kept.ids[0] ?? "", Date.now() + DAY_MS / 2, { databaseId }),
    ];
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([...others, newest]));
  });

  it("is a backup whose manifest cannot be read, or is that of another folder; it counts for nothing", async () => {
    const kept = await databaseWith(1);
    const at = Date.now() + DAY_MS / 2;
    const strange = [
      await copyBackup(kept.ids[0] ?? "", at, { formatVersion: 2 }),
      await copyBackup(kept.ids[0] ?? "", at + 1_000, { volumes: "none" }),
      await copyBackup(kept.ids[0] ?? "", at + 2_000, { backupId: kept.ids[0] }),
    ];
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([...strange, newest]));
  });

  it("is what is dated later than now (failure mode 29)", async () => {
    const kept = await databaseWith(2);
    const future = await copyBackup(kept.ids[0] ?? "", Date.now() + 30 * DAY_MS);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([newest, future]));
  });

  it("is what others have put into a folder or below the name", async () => {
    const kept = await databaseWith(1);
    const old = folderOf(kept.ids[0] ?? "");
    const strange = [`${old}notes.txt`, `${old}below/manifest.json`, `d1/${kept.database.name}/readme/a.txt`];
    for (const key of strange) await env.BACKUPS.put(key, "mine");
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    await nextNight(kept);
    const left = (await keysOf(kept.database.name)).map((key) => `d1/${kept.database.name}/${key}`);
    expect(left.filter((key) => key.startsWith(old) || key.includes("readme"))).toEqual(strange.toSorted());
  });

  it("does not depend on the catalogue, whatever that says or lacks (failure mode 30)", async () => {
    const kept = await databaseWith(1);
    const other = await databaseWith(0);
    await env.CATALOG.prepare(
      "UPDATE backups SET database_id = ?1, database_name = ?2 WHERE database_id = ?3",
    )
      .bind(kept.database.id, kept.database.name, other.database.id)
      .run();
    await env.CATALOG.prepare("DELETE FROM backups WHERE id = ?").bind(kept.ids[1]).run();
    await setPolicy(kept.database.id, only({ keepLast: 3 }));
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([...kept.ids, newest]));
    expect(await foldersOf(other.database.name)).toEqual(stampsOf(other.ids));
  });

  it("does not include backups of its own under a name that the database bore before", async () => {
    const kept = await databaseWith(0);
    const name = `former-${kept.database.name}`;
    const former = await copyBackup(kept.ids[0] ?? "", Date.now() - 5 * DAY_MS, { name });
    for (const pinned of [true, false]) {
      const body = JSON.stringify({ pinned });
      expect((await call(`/api/backups/${former}/pin`, { method: "PUT", body })).status).toBe(200);
    }
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    await nextNight(kept);
    expect(await foldersOf(name)).toEqual([]);
  });
});

describe("a policy that is widened while deletions are under way", () => {
  it("spares what is not deleted yet", async () => {
    const kept = await databaseWith(30);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const stub = env.DATABASE_BACKUPS.getByName(kept.database.id);
    await advanceDays(1);
    const run = await backUp(kept.database, { force: true });
    // So many alarms until the first backups are gone, and others are decided about.
    for (let alarms = 0; (await foldersOf(kept.database.name)).length > 30 && alarms < 20; alarms++)
      await runDurableObjectAlarm(stub);
    const left = await foldersOf(kept.database.name);
    expect(left.length).toBeGreaterThan(5);
    await setPolicy(kept.database.id, only({}));
    await rest(kept.database.id);
    expect(await foldersOf(kept.database.name)).toEqual(left);
    expect(left).toEqual(expect.arrayContaining(stampsOf([run.backupId ?? ""])));
  });
});

describe("a manifest that is not as it was written", () => {
  it("makes a backup that is neither counted nor deleted, and is shown", async () => {
    const kept = await databaseWith(0);
    const [first = ""] = kept.ids;
    const old = await copyBackup(first, Date.now() - 9 * DAY_MS);
    const altered = await copyBackup(first, Date.now() - 5 * DAY_MS, { checksum: "0".repeat(64) });
    await setPolicy(kept.database.id, only({ keepLast: 3 }));
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([old, altered, first, newest]));
    expect(await noticesOf(kept.database.id)).toMatchObject([
      { kind: "retention-unreadable", detail: expect.stringContaining(altered) },
    ]);
  });
});

it("a manifest that is too large to be one of ours does not stop retention of the others", async () => {
  const kept = await databaseWith(3);
  const [oldest = ""] = kept.ids;
  await env.BACKUPS.put(`${folderOf(oldest)}manifest.json`, new Uint8Array(17 * 1024 * 1024));
  await setPolicy(kept.database.id, only({ keepLast: 1 }));
  const newest = await nextNight(kept);
  expect(await foldersOf(kept.database.name)).toEqual(stampsOf([oldest, newest]));
  expect(await noticesOf(kept.database.id)).toMatchObject([{ kind: "retention-unreadable" }]);
});
