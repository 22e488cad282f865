import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { backupRow } from "../../../src/core/backup/backup-row.ts";
import { readManifest } from "../../../src/core/backup/manifest.ts";
import { sha256Of } from "../../../src/core/bucket/codecs.ts";
import { createDatabase, runSql } from "../kit/emulated-account.ts";
import {
  allKeys,
  backupRows,
  bucketWith,
  emptyInstallation,
  putBackup,
  rebuildNow,
  rows,
  withBucket,
} from "../kit/maintenance-driver.ts";
import { advanceDays, backUp, call, holdTheClock, setPolicy } from "../kit/run-driver.ts";

beforeEach(async () => {
  holdTheClock();
  await emptyInstallation();
});
afterEach(() => vi.useRealTimers());

const account = () => env.ACCOUNT_COORDINATOR.getByName("emulated-account");

const databaseRows = () =>
  rows("SELECT id, name, fresh_at, last_backup_id, notices FROM databases ORDER BY id");
/** But for wrangler's own table, whose text is wrangler's. */
const schema = () =>
  rows(
    `SELECT type, name, tbl_name, sql FROM sqlite_master
     WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' AND tbl_name <> 'd1_migrations' ORDER BY type, name`,
  );

async function dropEverything(tables: readonly string[]): Promise<void> {
  await env.CATALOG.exec(tables.map((table) => `DROP TABLE ${table};`).join("\n"));
}

async function saveRowOf(text: string, folder: string): Promise<void> {
  const reading = readManifest(text);
  if (reading.kind !== "manifest") throw new Error(reading.kind);
  const row = backupRow(reading.manifest, sha256Of(text, codecs()), folder, false);
  expect(await new D1Catalog(env.CATALOG).saveBackup(row)).toMatchObject({ ok: true });
}

/** Lets the database's object do what follows a run: pruning, too. */
async function settle(id: string): Promise<void> {
  for (let i = 0; i < 20; i++) {
    vi.setSystemTime(Date.now() + 60_000);
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(id));
  }
}

/** Three databases: one with a pinned and a labelled backup, one with a policy, one that was found unchanged. */
async function someBackups(): Promise<{ pinned: string; id: string }> {
  const [shop, forum, wiki] = [
    await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1);", "shop"),
    await createDatabase("CREATE TABLE t (a);", "forum"),
    await createDatabase("CREATE TABLE t (a);", "wiki/ä%"),
  ];
  const first = await backUp(shop, { pinned: true });
  await setPolicy(forum.id, { compression: "none", maxUnchangedDays: 5 });
  await backUp(forum);
  for (let day = 0; day < 4; day++) {
    await advanceDays(1);
    await runSql(shop.id, `INSERT INTO t VALUES (${day});`);
    await backUp(shop, day === 0 ? { label: "before migration 12" } : { force: true });
  }
  await backUp(wiki);
  // Soon enough that no full one is due.
  await advanceDays(0.5);
  await backUp(wiki, {});
  // The account's object tells the bucket what it was told.
  for (let i = 0; i < 5; i++) {
    vi.setSystemTime(Date.now() + 60_000);
    await runDurableObjectAlarm(account());
  }
  return { pinned: first.backupId ?? "", id: shop.id };
}

describe("a rebuild of the catalogue", { timeout: 30_000 }, () => {
  it("brings back what was lost with every table, and what is pinned outlives the next pruning (failure mode 30)", async () => {
    const { pinned, id } = await someBackups();
    const before = { backups: await backupRows(), databases: await databaseRows(), schema: await schema() };
    const notes = await rows("SELECT name FROM d1_migrations ORDER BY id");
    expect(before.backups.length).toBe(7);
    expect(before.backups.filter((row) => row["pinned"] === 1).map((row) => row["id"])).toEqual([pinned]);
    expect(before.databases.map((row) => row["name"]).toSorted()).toEqual(["forum", "shop", "wiki/ä%"]);
    const keys = await allKeys();

    await dropEverything(["runs", "backups", "databases", "d1_migrations"]);
    expect((await call("/api/backups")).status).toBe(503);
    const rebuilt = await rebuildNow();
    expect(rebuilt).toMatchObject({
      state: "complete",
      error: null,
      progress: { step: "done", backups: 7 },
      databases: 3,
      removed: 0,
      tables: ["runs", "backups", "databases"],
      unreadable: { count: 0, items: [] },
    });
    expect(await backupRows()).toEqual(before.backups);
    expect(await databaseRows()).toEqual(before.databases);
    expect(await schema()).toEqual(before.schema);
    expect(await rows("SELECT name FROM d1_migrations ORDER BY id")).toEqual(notes);
    expect(await allKeys()).toEqual(keys);

    await setPolicy(id, {
      retention: { keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 },
    });
    await runSql(id, "INSERT INTO t VALUES (99);");
    await backUp({ id });
    await settle(id);
    const left = (await allKeys()).filter(
      (key) => key.startsWith("d1/shop/") && key.endsWith("manifest.json"),
    );
    expect(left.length).toBe(2);
    expect(left).toContain(`d1/${pinned.replace(".", "/")}/manifest.json`);
  });

  it("is not needed for pruning, which deletes nothing for the catalogue's sake (failure mode 30)", async () => {
    const database = await createDatabase("CREATE TABLE t (a);", "stale");
    await setPolicy(database.id, { retention: { keepLast: 3 } });
    const ids: (string | null)[] = [];
    const backUpOnceMore = async (): Promise<void> => {
      await runSql(database.id, `INSERT INTO t VALUES (${ids.length});`);
      ids.push((await backUp(database)).backupId);
      await advanceDays(1 / 24);
    };
    for (let i = 0; i < 3; i++) await backUpOnceMore();
    // A catalogue of long ago: it knows the first backup alone, and others that were never there.
    await env.CATALOG.prepare(
      "UPDATE backups SET id = 'stale.2126112' || rowid || 'T090000Z', started_at = '2126-11-29T09:00:00.000Z' WHERE id <> ?",
    )
      .bind(ids[0])
      .run();
    await backUpOnceMore();
    await settle(database.id);
    const kept = (await allKeys()).filter(
      (key) => key.startsWith("d1/stale/") && key.endsWith("/manifest.json"),
    );
    expect(kept).toEqual(ids.slice(1).map((id) => `d1/${(id ?? "").replace(".", "/")}/manifest.json`));
  });

  it("leaves tables that are there as they are, the history of runs too", async () => {
    await backUp(await createDatabase("CREATE TABLE t (a);"));
    const runs = await rows("SELECT * FROM runs ORDER BY id");
    const before = { backups: await backupRows(), schema: await schema() };
    await dropEverything(["backups"]);
    expect(await rebuildNow()).toMatchObject({ state: "complete", tables: ["backups"] });
    expect({ backups: await backupRows(), schema: await schema() }).toEqual(before);
    expect(await rows("SELECT * FROM runs ORDER BY id")).toEqual(runs);
    expect(await rebuildNow()).toMatchObject({ state: "complete", tables: [], removed: 0 });
    expect(await backupRows()).toEqual(before.backups);
  });

  it("makes all tables anew when those that are left may be of another age", async () => {
    const before = await schema();
    await env.CATALOG.exec(
      "DROP TABLE backups; DROP TABLE databases; DELETE FROM d1_migrations WHERE name LIKE '0004%'; CREATE TABLE databases (id TEXT);",
    );
    expect(await rebuildNow()).toMatchObject({ state: "complete", tables: ["runs", "backups", "databases"] });
    expect(await schema()).toEqual(before);
  });

  it("gives a new account's object the policies that the bucket remembers", async () => {
    await someBackups();
    const shared = { exclude: ["tmp-*"], retention: { keepYearly: 10 } };
    await call("/api/policy", { method: "PUT", body: JSON.stringify(shared) });
    await runDurableObjectAlarm(account());
    await runInDurableObject(account(), (_, state) => state.storage.deleteAll());
    await evictDurableObject(account());
    const policyOf = async (): Promise<unknown> => {
      const response = await call("/api/databases/forum");
      // of the product's own answer, the part that this is about
      return ((await response.json()) as { ownPolicy: unknown }).ownPolicy;
    };
    expect(await rebuildNow()).toMatchObject({ state: "complete" });
    expect(await policyOf()).toEqual({ compression: "none", maxUnchangedDays: 5 });
    expect(await (await call("/api/policy")).json()).toMatchObject({
      policy: shared,
      policyChanges: [{ who: "restored from the bucket" }, { who: "ADMIN_TOKEN", policy: shared }],
    });
    await call("/api/policy", { method: "PUT", body: "{}" });
  });

  it("counts and names what cannot be read, and leaves it and its row as they are", async () => {
    const fine = await putBackup("fine", "20261121T030000Z");
    const known = await putBackup("altered", "20261121T030000Z");
    await saveRowOf(known, "d1/altered/20261121T030000Z/");
    await env.BACKUPS.put(
      "d1/altered/20261121T030000Z/manifest.json",
      known.replace('"statements": 1', '"statements": 2'),
    );
    await env.BACKUPS.put("d1/broken/20261121T030000Z/manifest.json", "{");
    await env.BACKUPS.put("d1/copied/20261121T030000Z/manifest.json", fine);
    await env.BACKUPS.put("d1/newer/20261121T030000Z/manifest.json", '{"formatVersion": 2}');
    const record = "d1/_d1-nightly/00000000-0000-4000-8000-000000000001.json";
    await env.BACKUPS.put(record, '{"formatVersion": 1}');
    const shared = "d1/_d1-nightly/policy.json";
    await env.BACKUPS.put(shared, "no policy");
    const keys = await allKeys();
    const rebuilt = await rebuildNow();
    expect(rebuilt).toMatchObject({
      state: "complete",
      progress: { backups: 1 },
      removed: 0,
      unreadable: { count: 6 },
    });
    expect(rebuilt.unreadable.items.map(({ key }) => key)).toEqual([
      record,
      ...["altered", "broken", "copied", "newer"].map((name) => `d1/${name}/20261121T030000Z/manifest.json`),
      shared,
    ]);
    expect(rebuilt.unreadable.items.map(({ problem }) => problem).join("\n")).toMatch(
      /databaseId.*\n.*checksum does not match\n.*not JSON\n.*another folder\n.*formatVersion 2/,
    );
    expect((await backupRows()).map((row) => row["id"])).toEqual([
      "altered.20261121T030000Z",
      "fine.20261121T030000Z",
    ]);
    expect(await allKeys()).toEqual(keys);
  });

  it("removes rows whose backup is gone, and no row that a run writes meanwhile (failure mode 30)", async () => {
    await putBackup("kept", "20261121T030000Z");
    for (const name of ["gone", "later", "zone"]) {
      const text = await putBackup(name, "20261121T030000Z");
      await saveRowOf(text, `d1/${name}/20261121T030000Z/`);
      await env.BACKUPS.delete(`d1/${name}/20261121T030000Z/manifest.json`);
    }
    await env.CATALOG.prepare(
      "INSERT INTO databases (id, name, first_seen_at, fresh_at, last_backup_id, written_at) VALUES ('id of gone', 'gone', '2026', '2026', 'x', '2026')",
    ).run();
    let listed = 0;
    await withBucket((bucket) =>
      bucketWith(bucket, "list", async (list, options) => {
        const page = await list(options);
        if (options?.prefix !== "d1/") return page;
        listed += 1;
        // Behind the walk's back: a run commits a backup, and tells the catalogue of it.
        await saveRowOf(await putBackup("early", "20261121T030000Z"), "d1/early/20261121T030000Z/");
        return page;
      }),
    );
    const rebuilt = await rebuildNow();
    expect(listed).toBe(1);
    expect(rebuilt).toMatchObject({ state: "complete", progress: { backups: 1 }, removed: 3 });
    expect((await backupRows()).map((row) => row["id"])).toEqual([
      "early.20261121T030000Z",
      "kept.20261121T030000Z",
    ]);
    const [gone] = await rows("SELECT fresh_at, last_backup_id FROM databases WHERE id = 'id of gone'");
    expect(gone).toEqual({ fresh_at: null, last_backup_id: null });
  });

  it("leaves no row of a backup that is deleted while it reads it, and takes a pin along that comes meanwhile", async () => {
    for (const name of ["gone", "kept", "pinned"]) await putBackup(name, "20261121T030000Z");
    await withBucket((bucket) =>
      bucketWith(bucket, "get", async (get, key, ...more) => {
        const object = await get(key, ...more);
        // Behind the walk's back: one is deleted and its row taken away, and another one is pinned.
        if (key === "d1/gone/20261121T030000Z/manifest.json") await env.BACKUPS.delete(key);
        if (key === "d1/pinned/20261121T030000Z/manifest.json")
          await env.BACKUPS.put("d1/pinned/20261121T030000Z/PINNED", "");
        return object;
      }),
    );
    expect(await rebuildNow()).toMatchObject({ state: "complete", progress: { backups: 2 } });
    expect((await backupRows()).map(({ id, pinned }) => [id, pinned])).toEqual([
      ["kept.20261121T030000Z", 0],
      ["pinned.20261121T030000Z", 1],
    ]);
  });

  it("lets freshness go back to the backup that is left, but for what was told since it began", async () => {
    await putBackup("shop", "20261119T030000Z", { startedAt: "2026-11-19T03:00:00.000Z" });
    await putBackup("wiki", "20261119T030000Z", { startedAt: "2026-11-19T03:00:00.000Z" });
    const insert = env.CATALOG.prepare(
      "INSERT INTO databases (id, name, first_seen_at, fresh_at, last_backup_id, written_at) VALUES (?, ?, '2026-01', '2126-11-21T02:00:00.000Z', ?, ?)",
    );
    await insert.bind("id of shop", "shop", "shop.20261120T030000Z", "2026-11-20T03:00:00.000Z").run();
    await insert.bind("id of wiki", "wiki", "wiki.new", "2126-11-21T03:00:00.000Z").run();
    expect(await rebuildNow()).toMatchObject({ state: "complete", databases: 2 });
    expect(
      await rows("SELECT name, fresh_at, last_backup_id, first_seen_at FROM databases ORDER BY name"),
    ).toEqual([
      {
        name: "shop",
        fresh_at: "2026-11-19T03:00:00.000Z",
        last_backup_id: "shop.20261119T030000Z",
        first_seen_at: "2026-01",
      },
      {
        name: "wiki",
        fresh_at: "2126-11-21T02:00:00.000Z",
        last_backup_id: "wiki.new",
        first_seen_at: "2026-01",
      },
    ]);
  });
});
