import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, describe, expect, it } from "vitest";
import type { UnsealedManifest } from "../../../src/core/backup/manifest.ts";
import { restoreGuide } from "../../../src/core/guide/restore-guide.ts";
import { EVERYTHING, type ExportOptions } from "../../../src/core/d1/export-options.ts";
import { scanHazards } from "../../../src/core/dump/hazards.ts";
import { rowsOfDump } from "../../../src/core/dump/partial-export.ts";
import { NOTHING_SCANNED, Tally } from "../../../src/core/dump/tally.ts";
import { sectionsOf } from "../../../src/core/run/build-manifest.ts";
import { StatementScanner } from "../../../src/core/sql/statements.ts";
import { unsealed, volume } from "../../core/kit/sample-manifest.ts";
import { execute, rowsOf } from "../database-contents.ts";
import { commandsOf, commandsUnder, runScript, toolbox } from "./guide-runner.ts";
import { backUp, databaseOf, dumpOf as dumpOfDatabase, schemaOf } from "./made-backup.ts";

// RESTORE.md's commands for backups that do not hold everything, run as they are printed.

const root = mkdtempSync(join(tmpdir(), "d1-nightly-partial-"));
const PATH = toolbox(join(root, "tools"), ["perl"]);
afterAll(() => rmSync(root, { recursive: true }));

const SCHEMA = [
  "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);",
  "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, owner INTEGER REFERENCES users(id));",
];
const ROWS = [
  `INSERT INTO "users" ("id","name") VALUES(1,'Ada');`,
  `INSERT INTO "users" ("id","name") VALUES(2,replace('INSERT INTO "sqlite_sequence"\\nB','\\n',char(10)));`,
];
const ORDERS = [`INSERT INTO "orders" ("id","item","owner") VALUES(1,'tea',7);`];
const COUNTER = `INSERT INTO "sqlite_sequence" ("name","seq") VALUES('users',9);`;
const STATISTICS = `INSERT INTO "sqlite_stat1" ("tbl","idx","stat") VALUES('orders',NULL,'1');`;
const INDEX = "CREATE INDEX orders_by_item ON orders (item);";

/** A folder with the backup of such a dump. */
function backupOf(dump: string, exportOptions: ExportOptions, lean = false): string {
  const bytes = Buffer.from(dump);
  const folder = join(root, createHash("sha256").update(`${dump}${lean}`).digest("hex").slice(0, 12));
  const tally = new Tally(NOTHING_SCANNED, 0);
  const scanner = new StatementScanner(tally.count);
  scanner.scan(bytes);
  scanner.end();
  const stored = gzipSync(bytes);
  const sha256 = createHash("sha256").update(stored).digest("hex");
  const rows = rowsOfDump(tally.scanned.rows, ["users", "orders"], exportOptions);
  const manifest: UnsealedManifest = {
    ...unsealed,
    exportOptions,
    lean,
    dump: { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex"), statements: null },
    volumes: [{ ...volume, sha256, bytes: stored.length, dumpBytes: bytes.length }],
    tables: rows.map(([name, count]) => ({ name, rows: lean ? null : count })),
    hazards: scanHazards(tally.scanned),
    sections: lean ? null : sectionsOf(tally.scanned, bytes.length),
    missingSemicolons: lean ? null : tally.scanned.missingSemicolons,
  };
  mkdirSync(folder);
  writeFileSync(join(folder, volume.name), stored);
  writeFileSync(join(folder, "SHA256SUMS"), `${sha256}  ${volume.name}\n`);
  writeFileSync(join(folder, "RESTORE.md"), restoreGuide(manifest));
  return folder;
}

const dumpOf = (...lines: string[]): string => ["PRAGMA defer_foreign_keys=TRUE;", ...lines].join("\n");
const restore = (folder: string, steps = [1, 2, 3, 4]) =>
  runScript(folder, commandsOf(folder, steps), { PATH });

const restoredIn = (folder: string): string => join(folder, "restored.db");

/** What a query gives: a line for each row, with | between its columns. */
function ask(database: string, sql: string): string {
  return rowsOf(database, sql)
    .map((columns) => columns.join("|"))
    .join("\n");
}

/** The part of step 5 that needs no Cloudflare: it makes d1.sql, which is loaded here into a new SQLite database. */
async function loadAsD1Does(folder: string, there: readonly string[] = []): Promise<string> {
  const script = commandsOf(folder, [5]).split("npx ")[0] ?? "";
  expect((await runScript(folder, script, { PATH })).code).toBe(0);
  const database = join(folder, "d1.db");
  execute(database, ...there, "BEGIN;", readFileSync(join(folder, "d1.sql"), "utf8"), "COMMIT;");
  return database;
}

describe("a backup without schema", () => {
  const nul = `INSERT INTO "users" ("id","name") VALUES(3,'a\0b');`;

  it.each([
    ["", false, [] as string[]],
    [" with NUL characters", false, [nul]],
    [", lean, with NUL characters", true, [nul]],
  ])("is loaded into tables that are there%s, counters included", async (_, lean, more) => {
    const folder = backupOf(
      dumpOf(...ROWS, ...more, STATISTICS, ...ORDERS, COUNTER),
      { ...EVERYTHING, noSchema: true },
      lean,
    );
    execute(restoredIn(folder), ...SCHEMA);
    const restored = await restore(folder);
    expect(restored).toMatchObject({ code: 0, stderr: "" });
    expect(restored.stdout.includes("Every table has as many rows")).toBe(!lean);
    expect(ask(restoredIn(folder), "SELECT count(*) FROM users")).toBe(String(2 + more.length));
    expect(ask(restoredIn(folder), "SELECT name, seq FROM sqlite_sequence")).toBe("users|9");
    expect(ask(restoredIn(folder), "SELECT hex(name) FROM users WHERE id = 3")).toBe(
      more.length === 0 ? "" : "610062",
    );
    const d1 = await loadAsD1Does(folder, SCHEMA);
    expect(ask(d1, "SELECT seq FROM sqlite_sequence")).toBe("9");
    expect(ask(d1, "SELECT count(*) FROM users, orders")).toBe(`${2 + more.length}`);
  });

  it.each([
    ["are no tables", []],
    [
      "are triggers, which would fire",
      [...SCHEMA, "CREATE TRIGGER g AFTER INSERT ON users BEGIN DELETE FROM orders; END;"],
    ],
  ])("is not loaded where there %s", async (_, there) => {
    const folder = backupOf(dumpOf(...ROWS, `-- ${there.length}`), { ...EVERYTHING, noSchema: true });
    if (there.length > 0) execute(restoredIn(folder), ...there);
    const refused = await restore(folder);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("must have the tables");
  });

  it("that is loaded twice is told from one that was loaded once", async () => {
    const folder = backupOf(dumpOf(`INSERT INTO "orders" ("id","item","owner") VALUES(NULL,'ink',1);`), {
      ...EVERYTHING,
      noSchema: true,
    });
    execute(restoredIn(folder), ...SCHEMA);
    expect(await restore(folder)).toMatchObject({ code: 0 });
    expect((await restore(folder)).stdout).toContain("orders|1|2");
  });
});

it("a backup without rows gives the schema back", async () => {
  const folder = backupOf(dumpOf(...SCHEMA, "DELETE FROM sqlite_sequence;", INDEX), {
    ...EVERYTHING,
    noData: true,
  });
  expect(await restore(folder)).toMatchObject({ code: 0, stderr: "" });
  expect(ask(restoredIn(folder), "SELECT group_concat(name) FROM sqlite_master")).toBe(
    "users,sqlite_sequence,orders,orders_by_item",
  );
  await loadAsD1Does(folder);
});

it("a backup of named tables gives these back, whatever they refer to", async () => {
  const [, orders = ""] = SCHEMA;
  const folder = backupOf(dumpOf(orders, ...ORDERS, INDEX), {
    ...EVERYTHING,
    tables: ["orders", "orders_by_item"],
  });
  const restored = await restore(folder);
  expect(restored).toMatchObject({ code: 0, stderr: "" });
  expect(restored.stdout).toContain("Every table has as many rows as the backup.");
  expect(ask(restoredIn(folder), "SELECT item, owner FROM orders")).toBe("tea|7");
});

it("a backup without its database's virtual tables says how to write to it again", async () => {
  const database = databaseOf(`
    CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
    CREATE VIRTUAL TABLE search USING fts5 (body, content = notes, content_rowid = id);
    CREATE TRIGGER "it's fed" AFTER INSERT ON notes BEGIN INSERT INTO search (rowid, body) VALUES (new.id, new.body); END;
    CREATE TRIGGER other AFTER DELETE ON notes BEGIN SELECT 1; END;
    INSERT INTO notes VALUES (1, 'tea');`);
  const exportOptions = { ...EVERYTHING, tables: ["notes", "it's fed", "other"] };
  const schema = schemaOf(database);
  const made = backUp(root, dumpOfDatabase(database, exportOptions), schema, { exportOptions });
  const { folder } = made;
  expect(await restore(folder)).toMatchObject({ code: 0, stderr: "" });
  const write = (): void => execute(restoredIn(folder), "INSERT INTO notes (body) VALUES ('ink');");
  expect(write).toThrow("no such table: main.search");
  const guide = readFileSync(join(folder, "RESTORE.md"), "utf8");
  expect(guide).toContain("**Virtual tables are missing: search.**");
  const commands = commandsUnder(folder, "Not in this backup");
  expect(await runScript(folder, commands, { PATH })).toMatchObject({ code: 0, stderr: "" });
  write();
  expect(ask(restoredIn(folder), "SELECT max(id) FROM notes")).toBe("2");
  expect(ask(restoredIn(folder), "SELECT group_concat(name) FROM sqlite_master WHERE type = 'trigger'")).toBe(
    "other",
  );
});

describe("an encrypted backup of named tables", async () => {
  const identity = await generateX25519Identity();
  const key = { file: join(root, "key.txt"), recipient: await identityToRecipient(identity) };
  writeFileSync(key.file, `${identity}\n`);
  const exportOptions = { ...EVERYTHING, tables: ["notes"] };
  const made = (): string => {
    const database = databaseOf(`
      CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
      CREATE VIRTUAL TABLE search USING fts5 (body, content = notes, content_rowid = id);
      CREATE VIEW short AS SELECT * FROM notes WHERE length(body) < 9 -- or 10
      ;
      INSERT INTO notes VALUES (1, 'tea');`);
    const dump = dumpOfDatabase(database, exportOptions);
    return backUp(root, dump, schemaOf(database), { exportOptions, key }).folder;
  };

  it("gives the statements of what it leaves out to who has the key", async () => {
    const folder = made();
    expect(await restore(folder)).toMatchObject({ code: 0, stderr: "" });
    // Of the tables behind the virtual one it says that they exist already.
    await runScript(folder, "sqlite3 restored.db < not-exported.sql", { PATH });
    execute(restoredIn(folder), "INSERT INTO search (search) VALUES ('rebuild')");
    expect(ask(restoredIn(folder), "SELECT search.body FROM search('tea'), short")).toBe("tea");
  });

  it.each<[string, (file: string) => void, string]>([
    ["is not there", (file) => rmSync(file), ""],
    ["is damaged", (file) => writeFileSync(file, "damaged"), "The dump is complete without it."],
  ])("is restored when the file with these statements %s", async (_, damage, said) => {
    const folder = made();
    damage(join(folder, "not-exported.sql.age"));
    const restored = await restore(folder);
    expect(restored.code).toBe(0);
    expect(restored.stderr).toContain(said);
    expect(ask(restoredIn(folder), "SELECT body FROM notes")).toBe("tea");
  });

  it("is told from one that is not whole, although no hash of its dump is known", async () => {
    const folder = made();
    const guide = readFileSync(join(folder, "RESTORE.md"), "utf8");
    expect(guide).not.toMatch(/[0-9a-f]{64}/);
    const short = guide.replace(/-eq (\d+) \]/, (_, bytes: string) => `-eq ${Number(bytes) + 1} ]`);
    writeFileSync(join(folder, "RESTORE.md"), short);
    const restored = await restore(folder);
    expect(restored.stderr).toContain("dump.sql is incomplete");
    expect(restored.code).not.toBe(0);
  });
});
