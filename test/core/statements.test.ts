import fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { schemaHazards } from "../../src/core/preflight.ts";
import { StatementScanner, type StatementKind } from "../../src/core/statements.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

type Seen = [StatementKind, string | null];

/** Scans `bytes` in chunks of the given sizes (the last one repeats). */
function scan(
  bytes: Uint8Array,
  sizes: readonly number[] = [bytes.length],
): { seen: Seen[]; whole: boolean } {
  const seen: Seen[] = [];
  const scanner = new StatementScanner((kind, table) => seen.push([kind, table]));
  for (let from = 0, turn = 0; from < bytes.length; turn++) {
    const size = Math.max(1, sizes[Math.min(turn, sizes.length - 1)] ?? 1);
    scanner.scan(bytes.subarray(from, from + size));
    from += size;
  }
  return { seen, whole: scanner.betweenStatements };
}

describe("a statement ends where SQLite says", () => {
  it.each<[string, string, Seen[]]>([
    ["a pragma", "PRAGMA defer_foreign_keys=TRUE;", [["other", null]]],
    ["semicolon in text", `INSERT INTO "t" ("a") VALUES('x;y');`, [["insert", "t"]]],
    [
      "doubled quotes",
      `INSERT INTO "t" ("a") VALUES('it''s; ''');\nINSERT INTO "t" ("a") VALUES(1);`,
      [
        ["insert", "t"],
        ["insert", "t"],
      ],
    ],
    ["line feed in text", `INSERT INTO "t" ("a") VALUES('x\n;\n');`, [["insert", "t"]]],
    ["semicolon in a quoted name", `CREATE TABLE "a;b" (x);`, [["create-table", "a;b"]]],
    ["quotes in a quoted name", `INSERT INTO "a""b" ("x") VALUES(1);`, [["insert", 'a"b']]],
    ["bracketed name", `CREATE TABLE [a]b] (x);`, [["create-table", "a"]]],
    ["backticked name", "CREATE TABLE `a``;b` (x);", [["create-table", "a`;b"]]],
    ["name in single quotes", `CREATE TABLE IF NOT EXISTS 'it''s' (x);`, [["create-table", "it's"]]],
    ["bare name", `CREATE TABLE größe(x);`, [["create-table", "größe"]]],
    ["line comment", `CREATE TABLE t (a -- first; not the end\n, b);`, [["create-table", "t"]]],
    ["block comment", `CREATE TABLE t (a /* ; ' " */ , b);`, [["create-table", "t"]]],
    ["a star and a slash that are none", `CREATE VIEW v AS SELECT 2*3/4-1;`, [["other", null]]],
    ["block comment that begins with a slash", `CREATE VIEW v AS SELECT 1 /*/ ; */;`, [["other", null]]],
    ["empty statements", ";;\n;", []],
    ["comment alone", "-- nothing;\n/* nothing; */", []],
    [
      "trigger with a body",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET a = 1; DELETE FROM u; END;\nINSERT INTO "t" ("a") VALUES(1);`,
      [
        ["other", null],
        ["insert", "t"],
      ],
    ],
    [
      "trigger with CASE … END",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END;`,
      [["other", null]],
    ],
    [
      "trigger with ;END in text and comments",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT '; END;'; -- ; END;\nSELECT 1; END ;`,
      [["other", null]],
    ],
    ["temporary trigger", `create temp trigger tr after insert on t begin select 1; end;`, [["other", null]]],
    [
      "a column named end",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; ENDLESS; END;`,
      [["other", null]],
    ],
    [
      "a table named trigger",
      `CREATE TABLE trigger_log (a);INSERT INTO "trigger_log" ("a") VALUES(1);`,
      [
        ["create-table", "trigger_log"],
        ["insert", "trigger_log"],
      ],
    ],
    [
      "two tables whose names begin alike",
      `INSERT INTO "t" ("a") VALUES(1);INSERT INTO "t2" ("a") VALUES(1);INSERT INTO "t" ("a") VALUES(1);`,
      [
        ["insert", "t"],
        ["insert", "t2"],
        ["insert", "t"],
      ],
    ],
    [
      "CRLF",
      `CREATE TABLE t (a);\r\nINSERT INTO "t" ("a") VALUES(1);\r\n`,
      [
        ["create-table", "t"],
        ["insert", "t"],
      ],
    ],
  ])("%s", (_, sql, expected) => {
    const bytes = encode(sql);
    expect(scan(bytes)).toEqual({ seen: expected, whole: true });
    expect(scan(bytes, [1])).toEqual({ seen: expected, whole: true });
  });

  it("takes a last view whose comment has swallowed its semicolon for whole, and for a hazard", () => {
    const seen: Seen[] = [];
    const scanner = new StatementScanner((kind, table) => seen.push([kind, table]));
    scanner.scan(encode("CREATE TABLE t (a);\nCREATE VIEW v AS SELECT a FROM t -- only a;"));
    scanner.end();
    expect(scanner.endsInCommentedSemicolon).toBe(true);
    expect(seen).toEqual([
      ["create-table", "t"],
      ["other", null],
    ]);
    const hazards = schemaHazards([
      { type: "table", name: "t", sql: "CREATE TABLE t (a -- the only one\n)" },
      { type: "view", name: "v", sql: "CREATE VIEW v AS SELECT a FROM t -- only a" },
      { type: "index", name: "sqlite_autoindex_t_1", sql: null },
    ]);
    expect(hazards).toMatchObject([{ kind: "commented-semicolon", table: "v", count: 1 }]);
  });

  it.each([
    "INSERT INTO t VALUES('x",
    "CREATE TABLE t (a",
    "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
    "SELECT 1 /* ",
    'SELECT "',
  ])("knows that %j is not whole", (sql) => {
    expect(scan(encode(`PRAGMA x;\n${sql}`)).whole).toBe(false);
  });
});

/** Text that is unkind to scanners, and any bytes at all between quotes. */
const text = fc.oneof(
  fc.string({
    unit: fc.constantFrom(
      "'",
      '"',
      ";",
      "\n",
      "\r",
      "--",
      "/*",
      "*/",
      "[",
      "]",
      "`",
      "END",
      "BEGIN",
      " ",
      "\0",
      "é",
      "🚀",
      "\\n",
    ),
  }),
  fc.string({ unit: "binary" }),
);
const quote = (value: string): string => `'${value.replaceAll("'", "''")}'`;
const name = (value: string): string => `"${value.replaceAll('"', '""')}"`;
const tableName = fc.oneof(
  fc.constantFrom("t", "t2", "order items", "END", "trigger", 'a"b', "größe", "t;", "-- x"),
  fc.string({ minLength: 1, maxLength: 12 }).filter((value) => value.trim() !== "" && !value.includes("\0")),
);
const insert = fc.record({
  table: tableName,
  values: fc.array(
    fc.oneof(
      text.map(quote),
      fc.integer().map(String),
      fc.constant("NULL"),
      fc.uint8Array().map((bytes) => `X'${Buffer.from(bytes).toString("hex")}'`),
    ),
    { minLength: 1 },
  ),
});

const statement = fc.oneof(
  {
    weight: 5,
    arbitrary: insert.map(({ table, values }) => ({
      sql: `INSERT INTO ${name(table)} ("a") VALUES(${values.join(",")});`,
      seen: ["insert", table] satisfies Seen,
    })),
  },
  tableName.map((table) => ({
    sql: `CREATE TABLE ${name(table)} (a, b DEFAULT ';');`,
    seen: ["create-table", table] satisfies Seen,
  })),
  text.map((body) => ({
    sql: `CREATE TRIGGER ${name("tr")} AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN ${quote(body)} END; DELETE FROM t; END;`,
    seen: ["other", null] satisfies Seen,
  })),
  text.map((body) => ({
    sql: `CREATE VIEW v AS SELECT ${quote(body)} -- ;\n, 2 /* ; ' */;`,
    seen: ["other", null] satisfies Seen,
  })),
);
const dump = fc.array(statement, { minLength: 1, maxLength: 20 });
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 });

describe("whatever is in the text and however the stream is cut", () => {
  it("finds every statement and its table", () => {
    fc.assert(
      fc.property(dump, sizes, (statements, chunks) => {
        const bytes = encode(statements.map(({ sql }) => sql).join("\n"));
        expect(scan(bytes, chunks)).toEqual({ seen: statements.map(({ seen }) => seen), whole: true });
      }),
      { numRuns: 500 },
    );
  });

  it("cuts at the first boundary behind the wanted length, at the same byte for any chunks", () => {
    fc.assert(
      fc.property(dump, sizes, fc.nat(600), (statements, chunks, limit) => {
        const bytes = encode(statements.map(({ sql }) => sql).join("\n"));
        const ends = statements.map(
          (_, index) =>
            encode(
              statements
                .slice(0, index + 1)
                .map(({ sql }) => sql)
                .join("\n"),
            ).length,
        );
        // A cut takes the line feed along, and what ends with the dump itself needs none.
        const wanted = ends.slice(0, -1).find((end) => end >= limit);
        const scanner = new StatementScanner(() => undefined);
        let cutAt: number | null = null;
        for (let from = 0, turn = 0; from < bytes.length && cutAt === null; turn++) {
          const size = chunks[turn % chunks.length] ?? 1;
          const cut = scanner.scan(bytes.subarray(from, from + size), limit - from - 1);
          if (cut !== null) cutAt = from + cut;
          from += size;
        }
        expect(cutAt).toBe(wanted === undefined ? null : wanted + 1);
      }),
      { numRuns: 500 },
    );
  });

  it("counts the rows that SQLite has after loading the same dump", () => {
    const rows = fc.array(
      fc.tuple(
        fc.constantFrom("a", "b b", 'c"c'),
        text.filter((value) => !value.includes("\0") && value.isWellFormed()),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(rows, sizes, (content, chunks) => {
        const creates = ["a", "b b", 'c"c'].map((table) => `CREATE TABLE ${name(table)} (x TEXT);`);
        const inserts = content.map(
          ([table, value]) => `INSERT INTO ${name(table)} ("x") VALUES(${quote(value)});`,
        );
        const sql = [...creates, ...inserts].join("\n");
        const db = new DatabaseSync(":memory:");
        db.exec(sql);
        const counted = new Map<string, number>();
        for (const [kind, table] of scan(encode(sql), chunks).seen) {
          if (table !== null) counted.set(table, (counted.get(table) ?? 0) + (kind === "insert" ? 1 : 0));
        }
        for (const [table, count] of counted) {
          expect(db.prepare(`SELECT count(*) AS n FROM ${name(table)}`).get()).toEqual({ n: count });
        }
        expect([...counted.keys()].sort()).toEqual(["a", "b b", 'c"c']);
        db.close();
      }),
    );
  });
});
