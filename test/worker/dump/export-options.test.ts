import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Manifest } from "../../../src/core/backup/manifest.ts";
import type { Policy } from "../../../src/core/policy/policy.ts";
import type { RunView } from "../../../src/core/run/run-view.ts";
import { createDatabase, dumpOf, runSql, stateOf } from "../kit/emulated-account.ts";
import {
  advanceDays,
  backUp,
  call,
  dumpSql,
  holdTheClock,
  keysOf,
  manifestOf,
  setPolicy,
} from "../kit/run-driver.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

const SHOP = `
  CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
  CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, owner INTEGER REFERENCES users(id));
  CREATE TABLE notes (body TEXT);
  INSERT INTO users (name) VALUES ('Ada'), ('Bob');
  INSERT INTO orders VALUES (1, 'tea', 1), (2, 'salt', 2), (3, 'ink', 1);
  CREATE INDEX orders_by_item ON orders (item);
  CREATE INDEX users_by_name ON users (name);
  CREATE VIEW latest AS SELECT max(id) AS id FROM orders;
  CREATE TRIGGER logs AFTER INSERT ON orders BEGIN INSERT INTO notes VALUES (new.item); END;`;

type ExportOptions = NonNullable<Policy["exportOptions"]>;

interface Backup {
  readonly run: RunView;
  readonly manifest: Manifest;
  readonly dump: string[];
  readonly guide: string;
}

async function backedUp(
  database: { id: string; name: string },
  exportOptions: ExportOptions,
  more: Policy = {},
  body: unknown = { force: true },
): Promise<Backup> {
  await setPolicy(database.id, { ...more, exportOptions });
  const run = await backUp(database, body);
  expect(run).toMatchObject({ state: "complete", error: null });
  const folder = run.backupId?.slice(database.name.length + 1) ?? "";
  const guide = await env.BACKUPS.get(`d1/${database.name}/${folder}/RESTORE.md`);
  return {
    run,
    manifest: await manifestOf(run.backupId),
    dump: (await dumpSql(run.backupId)).split("\n"),
    guide: (await guide?.text()) ?? "",
  };
}

const kinds = ({ run }: Backup): string[] => run.hazards.map(({ kind }) => kind);

/** What every partial backup says of itself. */
function expectPartial({ run, manifest, guide }: Backup, said: string): void {
  const partial = { kind: "partial", table: null, count: null, detail: expect.stringContaining(said) };
  expect(run.hazards).toContainEqual(partial);
  expect(manifest.hazards).toContainEqual(partial);
  expect(guide.split("\n")[2]).toMatch(/^\*\*This is a partial backup\*\*/);
  expect(guide.split("\n")[2]).toContain(said);
}

describe("a backup without rows", () => {
  it("holds the schema and counts nothing", async () => {
    const database = await createDatabase(SHOP);
    const backup = await backedUp(database, { noData: true }, {}, { examine: true });
    expect(backup.dump.filter((line) => line.startsWith("INSERT"))).toEqual([]);
    expect(backup.dump.filter((line) => line.startsWith("CREATE TABLE"))).toHaveLength(3);
    expect(backup.manifest).toMatchObject({
      exportOptions: { noData: true, noSchema: false, tables: [] },
      tables: ["users", "orders", "notes"].map((name) => ({ name, rows: null })),
      notExported: [],
      // There is no value in it that D1 could have altered.
      examined: null,
    });
    expectPartial(backup, "it has no rows");
    expect(backup.guide).toContain("3 tables, no rows.");
  });
});

describe("a backup without schema", () => {
  it("holds the rows, and counts them of empty tables too", async () => {
    const database = await createDatabase(SHOP);
    const backup = await backedUp(database, { noSchema: true }, {}, { examine: true });
    const [first, ...rows] = backup.dump;
    expect(first).toBe("PRAGMA defer_foreign_keys=TRUE;");
    expect(rows.filter((line) => !line.startsWith("INSERT INTO ") && line !== "")).toEqual([]);
    expect(backup.manifest).toMatchObject({
      exportOptions: { noData: false, noSchema: true, tables: [] },
      tables: [
        { name: "users", rows: 2 },
        { name: "orders", rows: 3 },
        { name: "notes", rows: 0 },
      ],
      examined: { tables: 3 },
    });
    expectPartial(backup, "only rows");
  });

  it("that lacks rows is found out when the database was asked in the same state (failure mode 4)", async () => {
    const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);");
    await setPolicy(database.id, { exportOptions: { noSchema: true } });
    const line = 'INSERT INTO "t" ("a") VALUES(2);';
    const whole = `PRAGMA defer_foreign_keys=TRUE;\nINSERT INTO "t" ("a") VALUES(1);\n${line}`;
    const cut = [{ on: "download", fault: "shorten", value: whole.length - line.length - 1 }];
    expect(await backUp(database, { examine: true }, cut)).toMatchObject({
      state: "failed",
      error: { code: "dump-incomplete", detail: expect.stringContaining("rows of t") },
    });
  });

  it("is told of a table that lost its rows, although it stands nowhere in the dump", async () => {
    const database = await createDatabase(SHOP);
    await backedUp(database, { noSchema: true });
    await runSql(database.id, "DELETE FROM orders");
    const { run } = await backedUp(database, { noSchema: true });
    expect(run.hazards).toContainEqual(
      expect.objectContaining({ kind: "emptied-table", table: "orders", count: 3 }),
    );
  });
});

describe("a backup of named tables", () => {
  it("holds these, and of indexes, triggers and views those that are named too", async () => {
    const database = await createDatabase(SHOP);
    const backup = await backedUp(database, { tables: ["orders", "orders_by_item"] });
    expect(backup.dump.filter((line) => line.startsWith("CREATE"))).toEqual([
      "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, owner INTEGER REFERENCES users(id));",
      "CREATE INDEX orders_by_item ON orders (item);",
    ]);
    const { manifest } = backup;
    expect(manifest.tables).toEqual([{ name: "orders", rows: 3 }]);
    expect(manifest.sections?.map(({ kind }) => kind)).toEqual(["tables", "indexes"]);
    expect(manifest.notExported?.map(({ kind, name }) => `${kind} ${name}`).toSorted()).toEqual([
      "index users_by_name",
      "table notes",
      "table sqlite_sequence",
      "table users",
      "trigger logs",
      "view latest",
    ]);
    expect(manifest.notExported).toContainEqual(
      expect.objectContaining({
        name: "latest",
        sql: "CREATE VIEW latest AS SELECT max(id) AS id FROM orders",
      }),
    );
    expectPartial(backup, "6 others are not in it");
    expect(backup.guide).toContain("\n- view latest: exportOptions.tables does not list it\n");
  });

  it("is examined as to these", async () => {
    const database = await createDatabase(SHOP);
    const { manifest } = await backedUp(database, { tables: ["orders"] }, {}, { examine: true });
    expect(manifest.examined).toMatchObject({ tables: 1 });
  });

  it("can be lean, and without rows", async () => {
    const database = await createDatabase(SHOP);
    const backup = await backedUp(database, { tables: ["orders", "users"], noData: true }, { lean: true });
    expect(backup.dump.filter((line) => /^(CREATE|INSERT)/.test(line))).toHaveLength(2);
    expect(backup.manifest.tables).toEqual([
      { name: "users", rows: null },
      { name: "orders", rows: null },
    ]);
    expect(kinds(backup)).toEqual(["partial", "not-scanned"]);
  });

  it("still lacks nothing that was named: a dump cut before its index is found out (failure mode 4)", async () => {
    const database = await createDatabase(SHOP);
    const { dump } = await backedUp(database, { tables: ["orders", "orders_by_item"] });
    const value = dump.slice(0, -1).join("\n").length;
    expect(
      await backUp(database, { force: true }, [{ on: "download", fault: "shorten", value }]),
    ).toMatchObject({
      state: "failed",
      error: { code: "dump-incomplete", detail: expect.stringContaining("indexes") },
    });
  });

  it("leaves a virtual table out, for which D1 refuses any other export", async () => {
    const blog = await createDatabase(
      "CREATE TABLE posts (a); INSERT INTO posts VALUES ('x'); CREATE VIRTUAL TABLE search USING fts5(a);",
    );
    const { manifest, dump } = await backedUp(blog, { tables: ["posts"] });
    expect(dump).toHaveLength(3);
    expect(manifest.notExported).toContainEqual(
      expect.objectContaining({ name: "search", sql: "CREATE VIRTUAL TABLE search USING fts5(a)" }),
    );
    await setPolicy(blog.id, { exportOptions: { tables: ["posts", "search"] } });
    expect(await backUp(blog)).toMatchObject({ state: "failed", error: { code: "virtual-tables" } });
  });

  it.each<[string, string[], string]>([
    ["a table that is not there", ["orders", "invoices"], "invoices"],
    ["a table whose letters are of another case", ["Orders"], "the schema has orders"],
    ["an index whose table is not named", ["users", "orders_by_item"], "not orders"],
    ["a trigger whose table is not named", ["users", "logs"], "not orders"],
  ])("is refused before any export when it names %s", async (_, tables, said) => {
    const database = await createDatabase(SHOP);
    await setPolicy(database.id, { exportOptions: { tables } });
    const run = await backUp(database);
    expect(run).toMatchObject({ state: "failed", error: { code: "table-not-found" } });
    expect(`${run.error?.detail} ${run.error?.hint}`).toContain(said);
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 0 });
    expect(await keysOf(database.name)).toEqual([]);
  });
});

describe("a database whose export options change", () => {
  it("is backed up anew although nothing was written, and is unchanged again after that", async () => {
    const database = await createDatabase(SHOP);
    for (const exportOptions of [
      {},
      { noData: true },
      { noSchema: true },
      { tables: ["orders", "users"] },
      {},
    ]) {
      await backedUp(database, exportOptions, {}, {});
      // The order of the names is nothing that D1 looks at.
      if (exportOptions.tables !== undefined)
        await setPolicy(database.id, { exportOptions: { tables: exportOptions.tables.toReversed() } });
      await advanceDays(1 / 24);
      expect(await backUp(database, {})).toMatchObject({ state: "unchanged" });
    }
    expect(await (await call(`/api/databases/${database.id}`)).json()).toMatchObject({ unchangedOff: null });
  });

  it("has no table that lost its rows only because they were not asked for", async () => {
    const database = await createDatabase(SHOP);
    await backedUp(database, {});
    await runSql(database.id, "DELETE FROM orders");
    for (const exportOptions of [{ noSchema: true }, { noData: true }, { tables: ["orders"] }])
      expect(kinds(await backedUp(database, exportOptions))).toEqual(["partial"]);
    expect(kinds(await backedUp(database, {}))).toEqual([]);
  });

  it("is a whole one, and says nothing of options, by default", async () => {
    const database = await createDatabase(SHOP);
    const backup = await backedUp(database, {});
    expect(backup.dump.join("\n")).toBe(await dumpOf(database.id));
    expect(backup.guide).not.toContain("partial backup");
    expect(backup.manifest).toMatchObject({ notExported: [], hazards: [] });
  });
});
