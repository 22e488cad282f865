import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import { pathOf } from "../../kit/programs.ts";
import { commandsOf, runScript, toolbox } from "./guide-runner.ts";
import { backUp, databaseOf, dumpOf, schemaOf } from "./made-backup.ts";

// One value that D1's dump has altered breaks the rule of its own table: the rest comes back, and the row is named.

const root = mkdtempSync(join(tmpdir(), "d1-nightly-refused-"));
const PATH = toolbox(join(root, "tools"));
afterAll(() => rmSync(root, { recursive: true }));

/** Rows beside it that must not be lost, and everything that is loaded behind the rows. */
const BESIDE = `CREATE TABLE other (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT); INSERT INTO other (b) VALUES ('x'), ('y');
  CREATE INDEX other_by_b ON other (b); CREATE VIEW v AS SELECT * FROM other;
  CREATE TRIGGER g INSTEAD OF DELETE ON v BEGIN DELETE FROM other; END;`;
const JSON_TEXT = String.raw`'{' || char(10) || '"text": "two\nlines"}'`;

/** Newer programs read a line break inside of JSON's quotes: they refuse nothing there. */
const takesJson =
  spawnSync(pathOf("sqlite3"), [":memory:", `SELECT json_extract('{"a": "b\nc"}', '$.a')`]).status === 0;

const CASES: readonly [what: string, sql: string, refused: number, reason: RegExp][] = [
  [
    "CHECK (json_valid) and pretty-printed JSON with a line break in a string",
    `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT CHECK (json_valid(body))); INSERT INTO t VALUES (1, '{}'), (2, ${JSON_TEXT}), (3, '[]');`,
    1,
    /CHECK constraint failed/,
  ],
  [
    "a generated column that reads it",
    `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, text TEXT AS (json_extract(body, '$.text')) STORED); INSERT INTO t (id, body) VALUES (1, '{}'), (2, ${JSON_TEXT});`,
    takesJson ? 0 : 1,
    /malformed JSON/,
  ],
  [
    "an index that reads it, made behind the rows",
    `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, '{}'), (2, ${JSON_TEXT}); CREATE INDEX i ON t (json_extract(body, '$.text'));`,
    takesJson ? 0 : 1,
    /malformed JSON/,
  ],
  [
    "keys beyond 2^53 that are rounded to the same",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1234567890123456789, 'x'), (1234567890123456790, 'y'), (7, 'z');",
    1,
    /UNIQUE constraint failed: t\.id/,
  ],
  [
    "a unique index on them, made behind the rows",
    "CREATE TABLE t (n INTEGER, a TEXT); INSERT INTO t VALUES (1234567890123456789, 'x'), (1234567890123456790, 'y'), (7, 'z'); CREATE UNIQUE INDEX i ON t (n);",
    1,
    /UNIQUE constraint failed: t\.n/,
  ],
  [
    "SQLite's largest integer in a STRICT table",
    "CREATE TABLE t (n INTEGER) STRICT; INSERT INTO t VALUES (9223372036854775807), (1);",
    1,
    /cannot store REAL value in INTEGER column/,
  ],
  [
    "texts that differ in a half of an emoji, which becomes the same",
    "CREATE TABLE t (name TEXT UNIQUE); INSERT INTO t VALUES (CAST(X'61EDA0BC' AS TEXT)), (CAST(X'61EDA0BD' AS TEXT)), ('fine');",
    1,
    /UNIQUE constraint failed: t\.name/,
  ],
  [
    "a whole REAL in a column that takes only REALs",
    "CREATE TABLE t (amount CHECK (typeof(amount) = 'real')); INSERT INTO t VALUES (4.0), (4.5);",
    1,
    /CHECK constraint failed/,
  ],
  [
    "a table that rolls everything back at a conflict",
    "CREATE TABLE t (n INTEGER UNIQUE ON CONFLICT ROLLBACK, a TEXT); INSERT INTO t VALUES (1234567890123456789, 'x'), (7, 'z'), (1234567890123456790, 'y'), (1234567890123456791, 'y');",
    2,
    /UNIQUE constraint failed/,
  ],
];

describe.each(CASES)("%s", (_, sql, refused, reason) => {
  const database = databaseOf(`${sql} ${BESIDE}`);
  const dump = dumpOf(database);

  it.each([false, true])("costs no other row (lean: %s), and is named", async (lean) => {
    const { folder, manifest } = backUp(root, dump, schemaOf(database), { lean });
    const ran = await runScript(folder, commandsOf(folder, [1, 2, 3]), { PATH });
    expect(ran.code === 0, ran.stderr).toBe(refused === 0);
    if (refused === 0) return;
    expect(ran.stderr).toMatch(reason);
    expect(ran.stderr).toContain(`Refused in "t": ${refused}\n${refused} refused: see refused.sql`);
    const rows = readFileSync(join(folder, "refused.sql"), "utf8");
    expect(rows.match(/^INSERT INTO "t" .*;$/gm)).toHaveLength(refused);
    expect(dump).toContain(rows.trimEnd().split("\n")[0] ?? "?");
    const restored = new DatabaseSync(join(folder, "restored.db"), { readOnly: true });
    const [total] = database.prepare("SELECT count(*) AS n FROM t").all();
    expect(restored.prepare("SELECT count(*) AS n FROM t").get()).toEqual({
      n: Number(total?.["n"]) - refused,
    });
    expect(restored.prepare("SELECT count(*) AS n, max(seq) AS s FROM other, sqlite_sequence").get()).toEqual(
      { n: 2, s: 2 },
    );
    const names = (from: DatabaseSync): unknown[] =>
      from.prepare("SELECT name FROM sqlite_master ORDER BY name").all();
    expect(names(restored)).toEqual(names(database));
    restored.close();

    const compared = await runScript(folder, commandsOf(folder, [4]), { PATH });
    if (!lean) expect(compared).toMatchObject({ code: 1, stdout: expect.stringMatching(/^t\|\d\|\d\n$/) });
    expect(manifest.tables.map(({ name }) => name)).toContain("t");

    const made = await runScript(folder, commandsOf(folder, [5]).split("npx ")[0] ?? "", { PATH });
    expect(made).toMatchObject({ code: 0, stderr: "" });
    const d1 = new DatabaseSync(":memory:");
    d1.exec(readFileSync(join(folder, "d1.sql"), "utf8"));
    expect(d1.prepare("SELECT count(*) AS n FROM other").get()).toEqual({ n: 2 });
  });
});

it("rows that are refused in tables of one's own are named too, and the tables are as they were until then", async () => {
  const database = databaseOf(
    "CREATE TABLE t (n INTEGER UNIQUE, a); INSERT INTO t VALUES (1, 'x'), (2, 'y');",
  );
  const options = { ...EVERYTHING, noSchema: true };
  const { folder } = backUp(root, dumpOf(database, options), schemaOf(database), { exportOptions: options });
  const there = new DatabaseSync(join(folder, "restored.db"));
  there.exec("CREATE TABLE t (n INTEGER UNIQUE CHECK (n < 2), a)");
  there.close();
  const ran = await runScript(folder, commandsOf(folder, [1, 2, 3]), { PATH });
  expect(ran.code).not.toBe(0);
  expect(ran.stderr).toContain('Refused in "t": 1\n');
  const restored = new DatabaseSync(join(folder, "restored.db"), { readOnly: true });
  expect(restored.prepare("SELECT n FROM t").all()).toEqual([{ n: 1 }]);
  restored.close();
});

it("a schema that sqlite3 does not take leaves nothing behind, and does not pass for a load", async () => {
  const database = databaseOf("CREATE TABLE t (a); INSERT INTO t VALUES (1);");
  const { folder } = backUp(root, `${dumpOf(database)}\nCREATE VIEW v AS SELECT FROM t;`, schemaOf(database));
  const ran = await runScript(folder, commandsOf(folder, [1, 2, 3]), { PATH });
  expect(ran.code).not.toBe(0);
  expect(ran.stderr).toContain("syntax error");
  expect(() =>
    new DatabaseSync(join(folder, "restored.db"), { readOnly: true }).prepare("SELECT * FROM t"),
  ).toThrow();
});

it("rows that are too long for D1 keep no other row out of it", async () => {
  const database = databaseOf(
    `CREATE TABLE t (a TEXT, b BLOB); INSERT INTO t VALUES ('x', zeroblob(60000)), ('y', x'00'); ${BESIDE}`,
  );
  const { folder } = backUp(root, dumpOf(database), schemaOf(database));
  expect(readFileSync(join(folder, "RESTORE.md"), "utf8")).toContain("**D1 cannot import every row.**");
  const commands = commandsOf(folder, [1, 2, 3, 4]) + (commandsOf(folder, [5]).split("npx ")[0] ?? "");
  const ran = await runScript(folder, commands, { PATH });
  expect(ran.code).toBe(0);
  expect(ran.stderr).toBe("Rows too long for D1: 1. They are in too-long.sql, not in d1.sql.\n");
  const lines = readFileSync(join(folder, "d1.sql"), "utf8").split("\n");
  expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(100_000);
  expect(lines.filter((line) => line.startsWith('INSERT INTO "t"'))).toHaveLength(1);
});

/** More rows than sqlite3's page cache holds, so that the load that is refused has written to the file. */
const MANY_ROWS = `WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 3000)
  INSERT INTO t SELECT n, '"' || hex(zeroblob(2000)) || '"' FROM i; INSERT INTO t VALUES (3001, ${JSON_TEXT})`;

describe.each([false, true])(
  "a refused load that was larger than the page cache (rows alone: %s)",
  (noSchema) => {
    it("undoes nothing of what is loaded after it", async () => {
      const table = "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT CHECK (json_valid(body)))";
      const database = databaseOf(`${table}; ${MANY_ROWS};`);
      const exportOptions = { ...EVERYTHING, noSchema };
      const dump = dumpOf(database, exportOptions);
      const { folder } = backUp(root, dump, schemaOf(database), { exportOptions });
      const file = join(folder, "restored.db");
      if (noSchema) {
        const there = new DatabaseSync(file);
        there.exec(`${table}; INSERT INTO t VALUES (9999, '"before"')`);
        there.close();
      }
      const ran = await runScript(folder, commandsOf(folder, [1, 2, 3]), { PATH });
      expect(ran.stderr).toContain('Refused in "t": 1\n');
      // Written to, so that a journal that is left would be rolled back.
      const restored = new DatabaseSync(file);
      expect(restored.prepare("SELECT count(*) AS n FROM t").get()).toEqual({ n: noSchema ? 3001 : 3000 });
      expect(restored.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
      restored.close();
    });
  },
);
