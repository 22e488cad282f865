import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { backupRow } from "../../../src/core/backup/backup-row.ts";
import { stampOf } from "../../../src/core/bucket/object-keys.ts";
import { unsealed } from "../../core/kit/sample-manifest.ts";
import { createDatabase, syntheticDump } from "../kit/emulated-account.ts";
import {
  allKeys,
  care,
  driveMaintenance,
  nextMaintenance,
  orphansNow,
  orphansView,
} from "../kit/maintenance-driver.ts";
import { advanceDays, backUp, call, drive, holdTheClock, startBackup, storedRun } from "../kit/run-driver.ts";
import { allowLog } from "../kit/worker-log.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ID = "00000000-0000-4000-8000-00000000000a";
const RUN = `${ID}.mgzzzzzz`;
const OLD = "20261101T030000Z";

beforeEach(async () => {
  holdTheClock();
  for (const key of await allKeys()) await env.BACKUPS.delete(key);
});
afterEach(() => vi.useRealTimers());

const backups = (id: string) => env.DATABASE_BACKUPS.getByName(id);

/** Puts these files into a folder: the claim as a run of ours writes it, unless it is given. */
async function putFolder(
  folder: string,
  files: readonly string[],
  claim: unknown = { runId: RUN, databaseId: ID },
): Promise<void> {
  for (const file of files)
    await env.BACKUPS.put(`d1/${folder}/${file}`, file === "RUN.json" ? JSON.stringify(claim) : "x");
}

/** Lets the database's object do what it was given to do. */
async function settle(id = ID): Promise<void> {
  for (let i = 0; i < 3; i++) await runDurableObjectAlarm(backups(id));
}

async function daily(): Promise<void> {
  await care().daily();
  await driveMaintenance();
}

const left = async (folder: string): Promise<string[]> =>
  (await allKeys())
    .filter((key) => key.startsWith(`d1/${folder}/`))
    .map((key) => key.slice(`d1/${folder}/`.length));

const VOLUMES = ["shop.0001.sql.gz", "shop.0002.sql.gz"];

describe("a dry run for orphans", { timeout: 30_000 }, () => {
  it("lists what a run left behind, and deletes nothing", async () => {
    await putFolder(`shop/${OLD}`, ["RUN.json", ...VOLUMES, "notes.txt"]);
    const keys = await allKeys();
    expect(await orphansView()).toMatchObject({ listedAt: null, count: 0, items: [], job: null });
    const found = await orphansNow("POST");
    expect(found).toMatchObject({
      listedAt: new Date().toISOString(),
      count: 1,
      items: [{ folder: `d1/shop/${OLD}/`, runId: RUN, databaseId: ID, objects: 4, outcome: null }],
      job: { kind: "dry-run", state: "complete", progress: { objects: 4 }, error: null },
    });
    expect(found.items[0]?.bytes).toBe(found.bytes);
    expect(await allKeys()).toEqual(keys);
  });

  it.each([
    ["a backup", `shop/${OLD}`, ["RUN.json", "manifest.json"], undefined],
    ["a folder that nobody claimed", `shop/${OLD}`, VOLUMES, undefined],
    [
      "a claim that names another database's run",
      `shop/${OLD}`,
      ["RUN.json"],
      { runId: `${ID.replace("a", "b")}.mgzzzzzz`, databaseId: ID },
    ],
    [
      "a claim with a UUID that is none",
      `shop/${OLD}`,
      ["RUN.json"],
      { runId: "shop.mgzzzzzz", databaseId: "shop" },
    ],
    [
      "a claim in capitals, whose object would know of no run",
      `shop/${OLD}`,
      ["RUN.json"],
      { runId: RUN.toUpperCase().replace("MGZZZZZZ", "mgzzzzzz"), databaseId: ID.toUpperCase() },
    ],
    [
      "a claim that is too long to be ours",
      `shop/${OLD}`,
      ["RUN.json"],
      { runId: RUN, databaseId: ID, more: "x".repeat(5_000) },
    ],
    ["a folder without a timestamp", "shop/latest", ["RUN.json"], undefined],
    ["an impossible moment", "shop/20261399T030000Z", ["RUN.json"], undefined],
    ["a folder of another tool, deeper", `other/shop/${OLD}`, ["RUN.json"], undefined],
    ["what lies below a folder of ours", `shop/${OLD}/copy`, ["RUN.json"], undefined],
    ["a run of this morning", "shop/21261121T020000Z", ["RUN.json"], undefined],
    ["a folder of the future", "shop/21261201T020000Z", ["RUN.json"], undefined],
    ["our own records", "_d1-nightly/20261101T030000Z", ["RUN.json"], undefined],
  ])("does not list %s", async (_, folder, files, claim) => {
    await putFolder(folder, files, claim);
    expect(await orphansNow("POST")).toMatchObject({ count: 0, items: [], job: { state: "complete" } });
  });

  it("does not list an old folder into which something was written today", async () => {
    // The bucket's clock is the real one: a folder whose name is old, and whose objects are an hour old.
    vi.setSystemTime(realNow() + HOUR_MS);
    await putFolder(`shop/${stampOf(realNow() - 9 * DAY_MS)}`, ["RUN.json"]);
    expect(await orphansNow("POST")).toMatchObject({ count: 0 });
    vi.setSystemTime(realNow() + 2 * DAY_MS);
    expect(await orphansNow("POST")).toMatchObject({ count: 1 });
  });
});

describe("what a dry run listed", { timeout: 30_000 }, () => {
  it("is deleted on request, as far as a run of ours writes it (failure mode 27)", async () => {
    await putFolder(`shop/${OLD}`, [
      "RUN.json",
      ...VOLUMES,
      "PINNED",
      "notes.txt",
      "shop.sql",
      "wiki.0001.sql.gz",
    ]);
    await orphansNow("POST");
    expect(await orphansNow("DELETE")).toMatchObject({
      items: [{ outcome: "collected" }],
      job: { kind: "collect", state: "complete" },
    });
    await settle();
    expect(await left(`shop/${OLD}`)).toEqual(["notes.txt", "shop.sql", "wiki.0001.sql.gz"]);
    expect(await orphansNow("POST")).toMatchObject({ count: 0 });
  });

  it.each([
    ["it became a backup", "manifest.json", "changed"],
    ["another run has claimed it", "RUN.json", "changed"],
  ])("stays when %s meanwhile", async (_, file, outcome) => {
    await putFolder(`shop/${OLD}`, ["RUN.json", ...VOLUMES]);
    await orphansNow("POST");
    await putFolder(`shop/${OLD}`, [file], { runId: `${ID}.mh000000`, databaseId: ID });
    const keys = await allKeys();
    expect(await orphansNow("DELETE")).toMatchObject({ items: [{ outcome }] });
    await settle();
    expect(await allKeys()).toEqual(keys);
  });

  it("stays when the catalogue comes to know it as a backup", async () => {
    await putFolder(`shop/${OLD}`, ["RUN.json", ...VOLUMES]);
    await orphansNow("POST");
    const row = { ...backupRow({ ...unsealed, files: [], checksum: "" }, "", `d1/shop/${OLD}/`, false) };
    await new D1Catalog(env.CATALOG).saveBackup({ ...row, id: `shop.${OLD}` });
    const keys = await allKeys();
    expect(await orphansNow("DELETE")).toMatchObject({ items: [{ outcome: "changed" }] });
    await settle();
    expect(await allKeys()).toEqual(keys);
    await env.CATALOG.exec("DELETE FROM backups");
  });

  it("stays while the run goes on, and goes when it is over (failure mode 27)", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 2.5 * 1024 * 1024);
    await startBackup(database.id);
    await drive(database.id, ({ phase }) => phase.at === "copying" && phase.copy.volumes.length === 1);
    const stamp = "21261121T030000Z";
    await advanceDays(2);
    // A run that nobody drove for two days: its folder looks abandoned, and is its own.
    expect(await orphansNow("POST")).toMatchObject({ count: 1 });
    const keys = await allKeys();
    expect(await orphansNow("DELETE")).toMatchObject({ items: [{ outcome: "in-use" }] });
    expect(await allKeys()).toEqual(keys);
    // Its state is lost, as by a release that cannot read it.
    await runInDurableObject(backups(database.id), (_, state) => state.storage.kv.delete("run"));
    await orphansNow("POST");
    expect(await orphansNow("DELETE")).toMatchObject({ items: [{ outcome: "collected" }] });
    await settle(database.id);
    expect(await left(`${database.name}/${stamp}`)).toEqual([]);
  });

  it("is not deleted before anything was listed, nor twice at once, nor by a viewer", async () => {
    await evictDurableObject(care());
    await runInDurableObject(care(), async (_, state) => state.storage.kv.delete("searched-at"));
    const ask = async (method: string): Promise<[number, unknown]> => {
      const response = await call("/api/orphans", { method });
      // the product's own answer
      return [response.status, ((await response.json()) as { code: unknown }).code];
    };
    expect(await ask("DELETE")).toEqual([409, "orphans-not-listed"]);
    expect(await ask("POST")).toEqual([202, undefined]);
    expect(await ask("POST")).toEqual([409, "orphans-under-way"]);
    expect(await ask("DELETE")).toEqual([409, "orphans-not-listed"]);
    await driveMaintenance();
    expect(await ask("DELETE")).toEqual([202, undefined]);
    expect(await ask("DELETE")).toEqual([409, "orphans-under-way"]);
    await driveMaintenance();
    const headers = { Authorization: "Bearer viewer-token-for-tests" };
    for (const method of ["POST", "DELETE"]) {
      const request = new Request("http://worker.test/api/orphans", { method, headers });
      expect((await exports.default.fetch(request)).status).toBe(403);
    }
  });
});

describe("the day's care", { timeout: 30_000 }, () => {
  // The bucket is emptied between two tests, the catalogue is not.
  beforeEach(() => allowLog("backups-damaged"));

  it("collects what a dry run of a day ago listed too, and nothing sooner (failure mode 27)", async () => {
    await putFolder(`shop/${OLD}`, ["RUN.json", ...VOLUMES]);
    await daily();
    await settle();
    expect(await orphansView()).toMatchObject({
      count: 1,
      items: [{ outcome: null }],
      job: { kind: "daily" },
    });
    await advanceDays(0.9);
    await putFolder(`wiki/${OLD}`, ["RUN.json", "wiki.0001.sql"]);
    await daily();
    await settle();
    expect(await left(`shop/${OLD}`)).toHaveLength(3);
    await advanceDays(0.2);
    await daily();
    await settle();
    expect(await left(`shop/${OLD}`)).toEqual([]);
    expect(await left(`wiki/${OLD}`)).toHaveLength(2);
  });

  it("tries again what could not be deleted the day before", async () => {
    await putFolder(`shop/${OLD}`, ["RUN.json", ...VOLUMES]);
    for (let day = 0; day < 2; day++) {
      await daily();
      await advanceDays(1.01);
    }
    // The object gave its leftover up, as it does after twenty tries.
    await runInDurableObject(backups(ID), (_, state) => state.storage.kv.delete("leftovers"));
    await settle();
    expect(await left(`shop/${OLD}`)).toHaveLength(3);
    await daily();
    await settle();
    expect(await left(`shop/${OLD}`)).toEqual([]);
  });

  it("forgets runs of 90 days ago, after other work if that is under way", async () => {
    const catalog = new D1Catalog(env.CATALOG);
    const database = await createDatabase("CREATE TABLE t (a);");
    const old = await backUp(database);
    await advanceDays(89);
    const young = await backUp(database);
    await advanceDays(1.5);
    expect((await call("/api/orphans", { method: "POST" })).status).toBe(202);
    await nextMaintenance();
    await daily();
    expect(await catalog.run(old.id)).toEqual({ ok: true, value: null });
    expect(await catalog.run(young.id)).toMatchObject({ ok: true, value: { id: young.id } });
    expect(await orphansView()).toMatchObject({ job: { kind: "daily", state: "complete" } });
    // The backup of a run that is forgotten stays, and is listed.
    expect(await catalog.backup(old.backupId ?? "")).toMatchObject({ ok: true, value: { runId: old.id } });
  });

  it("is done once, however often it is asked for at a time", async () => {
    await care().daily();
    await care().daily();
    await driveMaintenance();
    const waiting = await runInDurableObject(care(), (_, state) => state.storage.kv.get("waiting"));
    expect(waiting).toEqual([]);
  });
});

describe("a run that another release began and this one cannot read", () => {
  it("leaves its folder and its upload to be deleted", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 20 * 1024 * 1024, false);
    await call(`/api/databases/${database.id}/policy`, {
      method: "PUT",
      body: JSON.stringify({ volumeBytes: 12 * 1024 * 1024 }),
    });
    await startBackup(database.id);
    const { phase } = await drive(database.id, ({ phase: { at } }) => at === "copying");
    if (phase.at !== "copying") throw new Error("it copies");
    // The first volume is there, the second one's upload was begun: the process died, and another release came.
    const stamp = phase.copy.stamp;
    const folder = `d1/${database.name}/${stamp}/`;
    await drive(database.id, (run) => run.phase.at === "copying" && run.phase.copy.volumes.length === 1);
    const key = `${folder}${database.name}.0002.sql.gz`;
    const upload = await env.BACKUPS.createMultipartUpload(key);
    await upload.uploadPart(1, "x".repeat(5 * 1024 * 1024));
    await runInDurableObject(backups(database.id), (_, state) => {
      // of whatever version, this is what the test is about
      const run = state.storage.kv.get("run") as { phase: { copy: object } };
      const copy = { ...run.phase.copy, upload: { key, uploadId: upload.uploadId } };
      state.storage.kv.put("run", { ...run, version: 1, phase: { ...run.phase, copy } });
    });
    await advanceDays(1 / 24);
    await storedRunOf(database.id);
    await drive(database.id, ({ phase: { at } }) => at === "complete");
    await settle(database.id);
    expect(await left(`${database.name}/${stamp}`)).toEqual([]);
    await expect(upload.complete([])).rejects.toThrow(/does not exist|10024/);
  }, 30_000);
});

/** Has the object read its run, which adopts one of another release. */
async function storedRunOf(id: string): Promise<void> {
  await runDurableObjectAlarm(backups(id));
  await storedRun(id);
}

function realNow(): number {
  return performance.timeOrigin + performance.now();
}
