import { describe, expect, it } from "vitest";
import { D1_FORMAT } from "../../../src/core/dump/dump-format.ts";
import { HEAD_BYTES } from "../../../src/core/sql/statement-head.ts";
import { FOREIGN_MARK } from "../../../src/core/sql/statements.ts";
import { scanStatements } from "../kit/scan-dump.ts";

const FIRST = "PRAGMA defer_foreign_keys=TRUE;";

/** Which statements of the dump D1 does not write, whatever pieces it comes in. */
function foreign(dump: string): { numbers: number[]; strayEnd: boolean } {
  const bytes = new TextEncoder().encode(dump);
  const seen = [1, 3, 7, 31, bytes.length].map((size) => {
    const { statements, strayEnd } = scanStatements(bytes, [size], D1_FORMAT);
    const numbers = [...statements.keys()].filter((i) => ((statements[i]?.marks ?? 0) & FOREIGN_MARK) !== 0);
    return { numbers: numbers.map((index) => index + 1), strayEnd };
  });
  for (const each of seen) expect(each).toEqual(seen[0]);
  return seen[0] ?? { numbers: [], strayEnd: false };
}

const dumpOf = (...lines: string[]): string => [FIRST, ...lines].join("\n");

describe("D1's dumps hold", () => {
  it.each([
    ["nothing but their first line", dumpOf()],
    ["tables and rows", dumpOf("CREATE TABLE t (a);", 'INSERT INTO "t" ("a") VALUES(1);')],
    ["a table with a quoted name", dumpOf('CREATE TABLE IF NOT EXISTS "t" (a);')],
    ["rows alone", dumpOf('INSERT INTO "t" ("a") VALUES(1);', 'INSERT INTO "u" ("a") VALUES(1);')],
    ["names with quotes and line breaks", dumpOf('INSERT INTO "a""b\n" (") VALUES(","c") VALUES(1,2);')],
    [
      "AUTOINCREMENT and statistics",
      dumpOf(
        "DELETE FROM sqlite_sequence;",
        'INSERT INTO "sqlite_sequence" ("name","seq") VALUES(\'t\',1);',
        "ANALYZE sqlite_schema;",
      ),
    ],
    [
      "indexes, triggers and views",
      dumpOf(
        "CREATE INDEX i ON t(a);",
        "CREATE UNIQUE INDEX j ON t(a);",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END;",
        "CREATE VIEW v AS SELECT 1 -- the last word;",
        "CREATE VIEW w AS SELECT 1;",
      ),
    ],
    ["a line feed at the end", `${dumpOf("CREATE TABLE t (a);")}\n`],
    [
      "a table's name of any length",
      dumpOf(
        `CREATE TABLE "${"n".repeat(9_000)}" (a);`,
        `INSERT INTO "${"n".repeat(9_000)}" ("a") VALUES(1);`,
      ),
    ],
    [
      "a name that ends where a head does",
      dumpOf(
        ...[12, 13, 14, 15, 16].map(
          (less) => `INSERT INTO "${"n".repeat(HEAD_BYTES - less)}" ("a") VALUES(1);`,
        ),
      ),
    ],
  ])("%s", (_, dump) => {
    expect(foreign(dump)).toEqual({ numbers: [], strayEnd: false });
  });
});

describe("D1's dumps do not hold", () => {
  it.each<[string, string, number[]]>([
    [
      "an error",
      dumpOf("CREATE TABLE t (a);", 'ERROR near "default": syntax error', "CREATE INDEX i ON t(a);"),
      [3],
    ],
    ["an error with a semicolon", dumpOf("ERROR;", "CREATE TABLE t (a);"), [2]],
    ["an error before the first line", `Error: no such table\n${dumpOf()}`, [1]],
    ["an error at the end", dumpOf("CREATE TABLE t (a);", "Killed;"), [3]],
    ["an error in quotes", dumpOf("'Killed';"), [2]],
    ["an error in brackets", dumpOf("<Error><Code>SlowDown</Code></Error>;"), [2]],
    [
      "an error in a comment",
      dumpOf("/****** ERROR: (11) database disk image is malformed *******/", "CREATE TABLE t (a);"),
      [2],
    ],
    [
      "an error in a comment before a row like the last one",
      dumpOf('INSERT INTO "t" ("a") VALUES(1);', "-- error", 'INSERT INTO "t" ("a") VALUES(2);'),
      [3],
    ],
    ["a semicolon alone", dumpOf(";", "CREATE TABLE t (a);"), [2]],
    ["an empty line", dumpOf("", "CREATE TABLE t (a);"), [2]],
    ["another dump", dumpOf(FIRST, "CREATE TABLE t (a);"), [2]],
    ["a transaction", dumpOf("BEGIN TRANSACTION;", "COMMIT;"), [2, 3]],
    ["another deletion", dumpOf("DELETE FROM t;"), [2]],
    ["another pragma", dumpOf("PRAGMA foreign_keys=OFF;"), [2]],
    [
      "rows without the names of their columns",
      dumpOf("INSERT INTO t VALUES(1);", 'INSERT INTO "t" VALUES(1);'),
      [2, 3],
    ],
    [
      "an error in the middle of a row, which swallows the next one",
      dumpOf(
        'INSERT INTO "t" ("a") VALUES(1);',
        'INSERT INTO "t" ("a") VALUES(2',
        "Error: out of memory",
        'INSERT INTO "t" ("a") VALUES(3);',
        'INSERT INTO "t" ("a") VALUES(4);',
      ),
      [3],
    ],
    [
      "a comment at the end of a row",
      dumpOf('INSERT INTO "t" ("a") VALUES(1) -- error', ";", 'INSERT INTO "t" ("a") VALUES(2);'),
      [2],
    ],
    ["a virtual table", dumpOf("CREATE VIRTUAL TABLE t USING fts5(a);"), [2]],
    ["a change of the schema", dumpOf("ALTER TABLE t ADD COLUMN b;", "DROP TABLE t;"), [2, 3]],
  ])("%s", (_, dump, numbers) => {
    expect(foreign(dump).numbers).toEqual(numbers);
  });

  it.each([
    ["a comment", `${dumpOf()}\n-- error`],
    ["a comment and its end", `${dumpOf()}\n/* error */\n`],
  ])("%s behind the last statement", (_, dump) => {
    expect(foreign(dump)).toEqual({ numbers: [], strayEnd: true });
  });
});
