import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { AccountCoordinator } from "../../../src/index.ts";
import {
  copyBackup,
  databaseWith,
  deleteUntold,
  DAY_MS,
  folderOf,
  foldersOf,
  listed,
  lock,
  nextNight,
  noticesOf,
  only,
  refuse,
  rest,
  stampOf,
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
import { allowLog } from "../kit/worker-log.ts";

beforeEach(() => {
  holdTheClock();
  allowLog("deletion-failed", "retention-failed");
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("when the bucket or the account does not answer", () => {
  it.each<[string, "list" | "readText", number]>([
    ["the folders cannot be listed", "list", 0],
    ["one manifest cannot be read", "readText", 1],
  ])("nothing is deleted while %s", async (_, method, working) => {
    const kept = await databaseWith(3);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    await advanceDays(1);
    await startBackup(kept.database.id);
    await drive(kept.database.id, ({ phase }) => phase.at === "committing");
    const original = R2Vault.prototype[method] as (...args: unknown[]) => Promise<unknown>;
    let calls = 0;
    const spy = vi.spyOn(R2Vault.prototype, method).mockImplementation(async function (
      this: R2Vault,
      ...args: unknown[]
    ) {
      const key = String(args[0]);
      if (key.includes(kept.database.name) && !key.includes(stampOf(Date.now())) && ++calls > working)
        return { ok: false, failure: bucketDown } as never;
      return original.apply(this, args) as never;
    });
    await drive(kept.database.id, isOver);
    await rest(kept.database.id, 60 * 60_000);
    expect(calls).toBeGreaterThan(3);
    expect(await foldersOf(kept.database.name)).toHaveLength(5);
    expect((await noticesOf(kept.database.id)).map(({ kind }) => kind)).toEqual(["retention-failing"]);
    spy.mockRestore();
    await rest(kept.database.id, 2 * 60 * 60_000);
    expect(await foldersOf(kept.database.name)).toHaveLength(1);
    expect(await noticesOf(kept.database.id)).toEqual([]);
  });

  it.each([
    ["at once", 0],
    ["after its decision has grown old", 2 * 60 * 60_000],
  ])(
    "a deletion that the bucket carried out and answered with an error leaves no row behind, though the policy is widened %s",
    async (_, waitMs) => {
      const kept = await databaseWith(3);
      await setPolicy(kept.database.id, only({ keepLast: 1 }));
      const end = deleteUntold((key) => key.endsWith("/manifest.json"));
      const latest = await nextNight(kept);
      await setPolicy(kept.database.id, only({}));
      end();
      await rest(kept.database.id, waitMs);
      await rest(kept.database.id, 2 * 60 * 60_000);
      expect((await listed(kept.database.id)).map(({ id }) => id)).toEqual([latest]);
      expect(await foldersOf(kept.database.name)).toEqual(stampsOf([latest]));
      expect(await noticesOf(kept.database.id)).toEqual([]);
    },
  );

  it("a deletion that failed and is not wanted any more deletes nothing", async () => {
    const kept = await databaseWith(3);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const end = refuse(
      (key) => key.endsWith("/manifest.json"),
      "delete: We encountered an internal error. (10001)",
    );
    const latest = await nextNight(kept);
    await setPolicy(kept.database.id, only({}));
    end();
    await rest(kept.database.id, 2 * 60 * 60_000);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([...kept.ids, latest]));
    expect(await viewOfBackup(kept.ids[0] ?? "")).toMatchObject({ deletion: null });
  });

  it("nothing is deleted by a list that lacks the backup that was just made", async () => {
    const kept = await databaseWith(3);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const { list } = R2Vault.prototype;
    await advanceDays(1);
    const stamp = stampOf(Date.now());
    const spy = vi.spyOn(R2Vault.prototype, "list").mockImplementation(async function (
      this: R2Vault,
      ...args
    ) {
      const answer = await list.apply(this, args);
      if (!answer.ok) return answer;
      const objects = answer.value.objects.filter(({ key }) => !key.includes(stamp));
      return { ok: true, value: { ...answer.value, objects } };
    });
    await backUp(kept.database);
    await rest(kept.database.id);
    expect(await foldersOf(kept.database.name)).toHaveLength(5);
    spy.mockRestore();
    await rest(kept.database.id, DAY_MS / 24);
    expect(await foldersOf(kept.database.name)).toEqual([stamp]);
  });

  it("nothing is deleted while the policy cannot be told", async () => {
    const kept = await databaseWith(2);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    await advanceDays(1);
    await startBackup(kept.database.id);
    await drive(kept.database.id, ({ phase }) => phase.at === "committing");
    const { policy } = AccountCoordinator.prototype;
    AccountCoordinator.prototype.policy = async () => {
      throw new Error("not now (by the test)");
    };
    await drive(kept.database.id, isOver);
    await rest(kept.database.id);
    AccountCoordinator.prototype.policy = policy;
    expect(await foldersOf(kept.database.name)).toHaveLength(4);
    await rest(kept.database.id, DAY_MS / 24);
    expect(await foldersOf(kept.database.name)).toHaveLength(1);
  });
});

describe("a deletion that is cut off or fails", () => {
  it.each([1, 2, 3, 4, 5, 6])(
    "is finished later, and takes nothing else with it: effect %i is the last before the crash (failure mode 27)",
    async (effects) => {
      const kept = await databaseWith(3);
      await setPolicy(kept.database.id, only({ keepLast: 2 }));
      const stub = env.DATABASE_BACKUPS.getByName(kept.database.id);
      const object = await runInDurableObject(stub, (_, state) => state);
      const { remove } = R2Vault.prototype;
      let done = 0;
      const spy = vi.spyOn(R2Vault.prototype, "remove").mockImplementation(async function (
        this: R2Vault,
        keys,
      ) {
        if (done === effects) object.abort("killed (by the test)");
        done++;
        return remove.call(this, keys);
      });
      await advanceDays(1);
      await startBackup(kept.database.id);
      const newest = `${kept.database.name}.${stampOf(Date.now())}`;
      await expect(drive(kept.database.id, () => false)).rejects.toThrow("killed");
      expect(done).toBe(effects);
      spy.mockRestore();
      await rest(kept.database.id, 5 * 60_000);
      expect(await foldersOf(kept.database.name)).toEqual(stampsOf([kept.ids[3] ?? "", newest]));
      const rows = (await listed(kept.database.id)).map(({ id }) => id);
      expect(rows).toEqual([newest, kept.ids[3]]);
    },
  );

  it("does not stop the later ones, and is tried again and shown until it works (failure modes 8, 27)", async () => {
    const kept = await databaseWith(4);
    const [first = "", second = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 2 }));
    const mend = refuse((key) => key.startsWith(folderOf(second)), "internal error (10001)");
    const logged = vi.spyOn(console, "error");
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([second, kept.ids[4] ?? "", newest]));
    expect((await call(`/api/backups/${first}`)).status).toBe(404);
    expect(await viewOfBackup(second)).toMatchObject({
      deletion: { state: "pending", detail: expect.stringContaining("internal error") },
    });
    expect(logged).toHaveBeenCalledWith(
      expect.objectContaining({ event: "deletion-failed", backup: second, code: "bucket-unavailable" }),
    );
    expect(await noticesOf(kept.database.id)).toEqual([]);
    await rest(kept.database.id, DAY_MS / 8);
    expect(await noticesOf(kept.database.id)).toEqual([
      { kind: "deletion-failing", detail: expect.stringContaining(second) },
    ]);
    mend();
    await rest(kept.database.id, DAY_MS / 8);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([kept.ids[4] ?? "", newest]));
    expect(await noticesOf(kept.database.id)).toEqual([]);
  });

  it("because of a lock rule is shown, keeps its row, and is tried each day (failure mode 28)", async () => {
    const kept = await databaseWith(0);
    const [first = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const unlock = lock((key) => key.startsWith(folderOf(first)));
    await nextNight(kept);
    const since = new Date(Date.now()).toISOString();
    expect(await viewOfBackup(first)).toEqual({
      pinned: false,
      deletion: { state: "refused", detail: expect.stringContaining("locked by the bucket policy"), since },
    });
    expect((await listed(kept.database.id)).map(({ id }) => id)).toContain(first);
    expect(await noticesOf(kept.database.id)).toEqual([
      { kind: "deletion-refused", detail: expect.stringContaining(first) },
    ]);
    unlock();
    expect(await rest(kept.database.id, DAY_MS / 2)).toBe(0);
    expect(await foldersOf(kept.database.name)).toHaveLength(2);
    await rest(kept.database.id, DAY_MS);
    expect(await foldersOf(kept.database.name)).toHaveLength(1);
    expect(await noticesOf(kept.database.id)).toEqual([]);
    expect((await listed(kept.database.id)).map(({ id }) => id)).not.toContain(first);
  });

  it("leaves no backup behind when its manifest is gone, even while its volumes are locked", async () => {
    const kept = await databaseWith(0);
    const [first = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const unlock = lock((key) => key.startsWith(folderOf(first)) && key.endsWith(".sql.gz"));
    const newest = await nextNight(kept);
    expect((await call(`/api/backups/${first}`)).status).toBe(404);
    expect((await listed(kept.database.id)).map(({ id }) => id)).toEqual([newest]);
    // The claim stays as long as anything of ours does.
    expect(await keysOf(kept.database.name)).toContain(`${stampsOf([first])[0]}/RUN.json`);
    unlock();
    await rest(kept.database.id, 2 * DAY_MS);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([newest]));
  });

  it("is not made up for by a policy that was widened since", async () => {
    const kept = await databaseWith(2);
    const [first = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const unlock = lock((key) => key.startsWith(folderOf(first)));
    const newest = await nextNight(kept);
    await setPolicy(kept.database.id, only({ keepLast: 9 }));
    unlock();
    await rest(kept.database.id, 2 * DAY_MS);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([first, newest]));
    expect(await viewOfBackup(first)).toMatchObject({ deletion: null });
  });

  it("is not repeated by a policy that was narrowed since: that waits for a complete run (failure mode 2)", async () => {
    const kept = await databaseWith(3);
    const [first = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 4 }));
    const unlock = lock((key) => key.startsWith(folderOf(first)));
    const newest = await nextNight(kept);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    unlock();
    await rest(kept.database.id, 2 * DAY_MS);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([...kept.ids.slice(1), newest]));
  });

  it("is not made up for when the backups that made it superfluous have gone since", async () => {
    const kept = await databaseWith(1);
    const [first = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const unlock = lock((key) => key.startsWith(folderOf(first)));
    const newest = await nextNight(kept);
    // Behind the Worker's back.
    const { objects } = await env.BACKUPS.list({ prefix: folderOf(newest) });
    await env.BACKUPS.delete(objects.map(({ key }) => key));
    unlock();
    await rest(kept.database.id, 2 * DAY_MS);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([first]));
  });

  it("is given up for a backup that was pinned or changed after it was decided about", async () => {
    const kept = await databaseWith(2);
    const [first = "", second = ""] = kept.ids;
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    // Behind the Worker's back, between the decision and the first effect.
    const { remove } = R2Vault.prototype;
    let touched = false;
    vi.spyOn(R2Vault.prototype, "remove").mockImplementation(async function (this: R2Vault, keys) {
      if (!touched) {
        touched = true;
        await env.BACKUPS.put(`${folderOf(second)}PINNED`, "");
        await copyBackup(kept.ids[2] ?? "", Date.now() - DAY_MS, { label: "changed" });
      }
      return remove.call(this, keys);
    });
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([second, kept.ids[2] ?? "", newest]));
    expect(await viewOfBackup(second)).toEqual({ pinned: true, deletion: null });
    expect((await call(`/api/backups/${first}`)).status).toBe(404);
  });

  it("tells the catalogue when that is back", async () => {
    const kept = await databaseWith(0);
    await setPolicy(kept.database.id, only({ keepLast: 1 }));
    const down = vi.spyOn(D1Catalog.prototype, "removeBackup").mockResolvedValue(catalogDown);
    const newest = await nextNight(kept);
    expect(await foldersOf(kept.database.name)).toEqual(stampsOf([newest]));
    expect(await listed(kept.database.id)).toHaveLength(2);
    down.mockRestore();
    await rest(kept.database.id, 60_000);
    expect((await listed(kept.database.id)).map(({ id }) => id)).toEqual([newest]);
  });
});

const bucketDown = {
  code: "bucket-unavailable",
  detail: "The bucket does not answer.",
  hint: "",
  retryable: true,
} as const;

const catalogDown = {
  ok: false,
  failure: { code: "catalog-unavailable", detail: "The catalogue is down.", hint: "", retryable: true },
} as const;
