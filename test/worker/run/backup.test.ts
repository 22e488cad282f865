import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { databaseOfRun } from "../../../src/core/bucket/object-keys.ts";
import { createDatabase, dumpOf, runSql, stateOf } from "../kit/emulated-account.ts";
import {
  backUp,
  call,
  drive,
  dumpSql,
  holdTheClock,
  isOver,
  keysOf,
  manifestOf,
  nextStep,
  startBackup,
  storedRun,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

const SHOP = `
  CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
  CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER REFERENCES customers(id), note TEXT, photo BLOB);
  CREATE TABLE empty (a);
  CREATE INDEX orders_of_customer ON orders(customer);
  CREATE TRIGGER tidy AFTER DELETE ON customers BEGIN DELETE FROM orders WHERE customer = old.id; SELECT 1; END;
  INSERT INTO customers VALUES (1, 'O''Brien'), (2, 'Zoë 🚀');
  INSERT INTO orders (customer, note, photo) VALUES (1, 'line 1
line 2; not the end', x'00ff'), (2, '--', NULL), (2, '', NULL);
`;

const hex = async (bytes: BufferSource): Promise<string> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();

describe("a backup", () => {
  it("is a folder with the dump, its checksums, a guide, and the manifest", async () => {
    const shop = await createDatabase(SHOP);
    const run = await backUp(shop);
    expect(run).toMatchObject({
      state: "complete",
      error: null,
      databaseName: shop.name,
      backupId: `${shop.name}.21261121T030000Z`,
    });
    expect(await keysOf(shop.name)).toEqual(
      ["RESTORE.md", "RUN.json", "SHA256SUMS", `${shop.name}.0001.sql.gz`, "manifest.json"].map(
        (name) => `21261121T030000Z/${name}`,
      ),
    );
    const dump = await dumpOf(shop.id);
    expect(await dumpSql(run.backupId)).toBe(dump);
    const manifest = await manifestOf(run.backupId);
    const stored = await (
      await env.BACKUPS.get(`d1/${shop.name}/21261121T030000Z/${shop.name}.0001.sql.gz`)
    )?.arrayBuffer();
    expect(manifest).toMatchObject({
      formatVersion: 1,
      runId: run.id,
      database: { id: shop.id, name: shop.name, accountId: "emulated-account" },
      trigger: "manual",
      compression: "gzip",
      dump: {
        bytes: new TextEncoder().encode(dump).length,
        sha256: await hex(new TextEncoder().encode(dump)),
      },
      volumes: [
        { bytes: stored?.byteLength, sha256: await hex(stored ?? new ArrayBuffer()), firstStatement: 1 },
      ],
      tables: [
        { name: "customers", rows: 2 },
        { name: "orders", rows: 3 },
        { name: "empty", rows: 0 },
      ],
      previous: null,
    });
    const sums = await (await call(`/api/backups/${run.backupId}/files/SHA256SUMS`)).text();
    expect(sums).toBe(`${manifest.volumes[0]?.sha256}  ${shop.name}.0001.sql.gz\n`);
    expect((await stateOf(shop.id)).bearerSeenOnSignedUrl).toBe(0);
  });

  it("of an empty database is one, with no tables", async () => {
    const empty = await createDatabase("");
    const run = await backUp(empty);
    expect(run).toMatchObject({ state: "complete" });
    expect(await dumpSql(run.backupId)).toBe("PRAGMA defer_foreign_keys=TRUE;");
    expect(await manifestOf(run.backupId)).toMatchObject({ tables: [], dump: { statements: 1 } });
  });

  it("names the one before it", async () => {
    const shop = await createDatabase(SHOP);
    const first = await backUp(shop);
    const text = await (await call(`/api/backups/${first.backupId}/files/manifest.json`)).text();
    const second = await backUp(shop);
    expect(second.backupId).not.toBe(first.backupId);
    const sha256 = await hex(new TextEncoder().encode(text));
    expect((await manifestOf(second.backupId)).previous).toEqual({
      backupId: first.backupId,
      manifestSha256: sha256,
    });
  });

  it("keeps the label and the pin that it was asked for with", async () => {
    const shop = await createDatabase(SHOP);
    const run = await backUp(shop, { label: "before migration 12", pinned: true });
    expect(await (await call(`/api/backups/${run.backupId}`)).json()).toMatchObject({
      label: "before migration 12",
      pinned: true,
    });
    expect(await keysOf(shop.name)).toContain("21261121T030000Z/PINNED");
  });

  it("takes the next second when another run holds the folder", async () => {
    const shop = await createDatabase(SHOP);
    await env.BACKUPS.put(
      `d1/${shop.name}/21261121T030000Z/RUN.json`,
      JSON.stringify({ runId: "another", databaseId: "x" }),
    );
    expect(await backUp(shop)).toMatchObject({
      state: "complete",
      backupId: `${shop.name}.21261121T030001Z`,
    });
    expect((await keysOf(shop.name)).filter((key) => key.startsWith("21261121T030000Z/"))).toEqual([
      "21261121T030000Z/RUN.json",
    ]);
  });

  it("takes the next second when another Worker on the bucket began in the very same millisecond", async () => {
    const shop = await createDatabase(SHOP);
    const request = {
      trigger: "manual",
      label: null,
      pinned: false,
      force: true,
      examine: false,
      key: null,
    } as const;
    // The objects of two Workers: they know nothing of each other.
    const workers = [shop.id, `${shop.id} of another Worker`];
    for (const worker of workers) await env.DATABASE_BACKUPS.getByName(worker).start(shop, request);
    for (const worker of workers) await nextStep(worker);
    const dumps: string[] = [];
    for (const worker of workers) {
      await runSql(shop.id, `INSERT INTO customers VALUES (${dumps.length + 100}, 'x')`);
      dumps.push(await dumpOf(shop.id));
      await drive(worker, isOver);
    }
    const [first, second] = [0, 1].map((later) => `${shop.name}.21261121T03000${later}Z`);
    expect(await Promise.all([first, second].map((id) => dumpSql(id ?? "")))).toEqual(dumps);
    const runs = await Promise.all(workers.map(storedRun));
    expect(runs.map(({ id }) => databaseOfRun(id))).toEqual([shop.id, shop.id]);
  });
});

describe("one database", () => {
  it("has one run at a time: the second request is told which", async () => {
    const shop = await createDatabase(SHOP);
    const id = await startBackup(shop.id);
    const second = await call(`/api/databases/${shop.name}/backups`, { method: "POST" });
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ code: "run-under-way", runId: id });
    await drive(shop.id, isOver);
    // Failure mode 35: an export makes the database unavailable, so never two at once, and its length is told.
    expect(await stateOf(shop.id)).toMatchObject({ exportsStarted: 1 });
    const { timings } = await manifestOf(
      (await (await call(`/api/runs/${id}`)).json<{ backupId: string }>()).backupId,
    );
    expect(timings.exportMs).toBeGreaterThanOrEqual(0);
  });

  it("serves a slot by one run, however often and late it is told to", async () => {
    const shop = await createDatabase(SHOP);
    const start = (slot: string) =>
      env.DATABASE_BACKUPS.getByName(shop.id).start(shop, {
        trigger: "scheduled",
        label: null,
        pinned: false,
        force: true,
        examine: false,
        key: `slot-${slot}`,
      });
    const first = await start("2126-11-21T03:00:00.000Z");
    expect(first).toMatchObject({ value: { kind: "started", run: { state: "queued" } } });
    const { id } = await storedRun(shop.id);
    expect(await start("2126-11-21T03:00:00.000Z")).toEqual(first);
    await drive(shop.id, isOver);
    vi.setSystemTime(Date.now() + 60_000);
    const late = await start("2126-11-21T03:00:00.000Z");
    expect(late).toMatchObject({ value: { kind: "started", run: { id, state: "complete" } } });
    expect(await stateOf(shop.id)).toMatchObject({ exportsStarted: 1 });
    await start("2126-11-22T03:00:00.000Z");
    expect((await storedRun(shop.id)).id).not.toBe(id);
  });

  it("begins a run anew when its stored state is of a version that this release does not know", async () => {
    const shop = await createDatabase(SHOP);
    const id = await startBackup(shop.id);
    const stub = env.DATABASE_BACKUPS.getByName(shop.id);
    await runInDurableObject(stub, async (_, state) => {
      const run = state.storage.kv.get<Record<string, unknown>>("run");
      state.storage.kv.put("run", { ...run, version: 999, phase: { at: "teleporting" } });
    });
    await runDurableObjectAlarm(stub);
    await drive(shop.id, isOver);
    expect(await storedRun(shop.id)).toMatchObject({ id, phase: { at: "complete" } });
  });

  it("goes on with the next request when nothing at all can be read of the stored run", async () => {
    expectLog("stored-run-unreadable");
    const shop = await createDatabase(SHOP);
    await startBackup(shop.id);
    const stub = env.DATABASE_BACKUPS.getByName(shop.id);
    await runInDurableObject(stub, async (_, state) => state.storage.kv.put("run", { nonsense: true }));
    await runDurableObjectAlarm(stub);
    expect(await stub.latest()).toBeNull();
    vi.setSystemTime(Date.now() + 60_000);
    expect(await backUp(shop)).toMatchObject({ state: "complete" });
  });

  it("is left alone when its run is over and was stored by another release", async () => {
    const shop = await createDatabase(SHOP);
    const before = await backUp(shop);
    const stub = env.DATABASE_BACKUPS.getByName(shop.id);
    await runInDurableObject(stub, async (_, state) => {
      const run = state.storage.kv.get<Record<string, unknown>>("run");
      state.storage.kv.put("run", { ...run, version: 999 });
    });
    expect(await stub.latest()).toBeNull();
    expect(await (await call(`/api/runs/${before.id}`)).json()).toMatchObject({ state: "complete" });
    vi.setSystemTime(Date.now() + 60_000);
    const next = await backUp(shop, { label: "before migration" });
    expect(next).toMatchObject({ state: "complete", label: "before migration" });
    expect(next.id).not.toBe(before.id);
  });
});

describe("a view whose SQL ends in a comment", () => {
  it("is backed up, and the manifest says what will not come back", async () => {
    const database = await createDatabase(
      "CREATE TABLE t (a);\nINSERT INTO t VALUES (1);\nCREATE VIEW v AS SELECT a FROM t -- only a\n;",
    );
    const run = await backUp(database);
    expect(run).toMatchObject({ state: "complete" });
    expect(await dumpSql(run.backupId)).toMatch(/-- only a;$/);
    expect((await manifestOf(run.backupId)).hazards).toMatchObject([
      { kind: "commented-semicolon", table: "v" },
    ]);
  });
});
