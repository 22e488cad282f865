import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { schemaHazards } from "../../../src/core/dump/schema.ts";
import type { StatementKind } from "../../../src/core/sql/statement-head.ts";
import { StatementScanner, UNENDED_MARK } from "../../../src/core/sql/statements.ts";
import { chunkSizes, joined, name, quote, randomDump, unkindText } from "../kit/random-dumps.ts";
import { scanStatements, scanVolumes } from "../kit/scan-dump.ts";
import fc from "fast-check";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

type Seen = [StatementKind, string | null];

function scan(bytes: Uint8Array, sizes?: readonly number[]): { seen: Seen[]; whole: boolean } {
  const { statements, whole } = scanStatements(bytes, sizes);
  return { seen: statements.map(({ kind, table }) => [kind, table]), whole };
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
    ["a name of nothing", `INSERT INTO "" ("a") VALUES(1);`, [["insert", ""]]],
    ["line comment", `CREATE TABLE t (a -- first; not the end\n, b);`, [["create-table", "t"]]],
    ["block comment", `CREATE TABLE t (a /* ; ' " */ , b);`, [["create-table", "t"]]],
    ["a star and a slash that are none", `CREATE VIEW v AS SELECT 2*3/4-1;`, [["view", null]]],
    ["block comment that begins with a slash", `CREATE VIEW v AS SELECT 1 /*/ ; */;`, [["view", null]]],
    ["empty statements", ";;\n;", []],
    ["comment alone", "-- nothing;\n/* nothing; */", []],
    [
      "trigger with a body",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET a = 1; DELETE FROM u; END;\nINSERT INTO "t" ("a") VALUES(1);`,
      [
        ["trigger", null],
        ["insert", "t"],
      ],
    ],
    [
      "trigger with CASE … END",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END;`,
      [["trigger", null]],
    ],
    [
      "trigger with ;END in text and comments",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT '; END;'; -- ; END;\nSELECT 1; END ;`,
      [["trigger", null]],
    ],
    [
      "temporary trigger",
      `create temp trigger tr after insert on t begin select 1; end;`,
      [["trigger", null]],
    ],
    [
      "a column named end",
      `CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; ENDLESS; END;`,
      [["trigger", null]],
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
    expect(scan(encode("CREATE TABLE t (a);\nCREATE VIEW v AS SELECT a FROM t -- only a;"))).toEqual({
      seen: [
        ["create-table", "t"],
        ["view", null],
      ],
      whole: true,
    });
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

describe("what a statement is, by its first words", () => {
  it.each<[StatementKind, string]>([
    ["index", "CREATE INDEX i ON t(a);"],
    ["index", "CREATE UNIQUE INDEX i ON t(a);"],
    ["index", "create\tunique\r\nindex if not exists i on t(a);"],
    ["trigger", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;"],
    ["trigger", "CREATE /* a */ TEMP -- b\n TRIGGER IF NOT EXISTS tr AFTER INSERT ON t BEGIN SELECT 1; END;"],
    ["trigger", "CREATE TEMPORARY TRIGGER[tr]AFTER INSERT ON t BEGIN SELECT 1; END;"],
    ["view", "CREATE VIEW v AS SELECT 1;"],
    ["view", "CREATE/**/VIEW/* * / */IF NOT EXISTS v AS SELECT 1;"],
    ["view", "CREATE TEMP VIEW v AS SELECT 1;"],
    ["create-table", "CREATE TABLE -- TRIGGER\n t (a);"],
    ["create-table", "CREATE TEMP TABLE t (a);"],
    ["create-table", "CREATE TABLE if (a);"],
    ["other", "CREATE VIRTUAL TABLE t USING fts5(a);"],
    ["other", "CREATE VIEWS v AS SELECT 1;"],
    ["other", "DELETE FROM sqlite_sequence;"],
    ["other", "ANALYZE sqlite_schema;"],
    ["other", "REPLACE INTO t VALUES(1);"],
  ])("%s: %s", (kind, sql) => {
    for (const sizes of [undefined, [1]]) {
      expect(scanStatements(encode(sql), sizes).statements.map((statement) => statement.kind)).toEqual([
        kind,
      ]);
    }
  });
});

it.each<[string, Uint8Array, Seen[]]>([
  [
    "a name beyond the head, which is nobody's",
    encode(`INSERT INTO "${'a""'.repeat(2_000)}" ("a") VALUES(1);`),
    [["insert", null]],
  ],
  [
    "columns beyond the head",
    encode(`INSERT INTO "t" ("${"é".repeat(4_000)}") VALUES(';');\n`.repeat(3)),
    [
      ["insert", "t"],
      ["insert", "t"],
      ["insert", "t"],
    ],
  ],
  [
    "a name that is no UTF-8",
    Uint8Array.from(`INSERT INTO "\xff" ("\xe9") VALUES('abc;d');\n`.repeat(3), (character) =>
      character.charCodeAt(0),
    ),
    [
      ["insert", "\ufffd"],
      ["insert", "\ufffd"],
      ["insert", "\ufffd"],
    ],
  ],
])("passes %s", (_, bytes, seen) => {
  expect(scan(bytes)).toEqual({ seen, whole: true });
  expect(scan(bytes, [7])).toEqual({ seen, whole: true });
});

describe("a semicolon that its own comment swallows ends a statement", () => {
  const scanned = (sql: string, sizes?: readonly number[]): [StatementKind, string, boolean][] =>
    scanStatements(encode(sql), sizes).statements.map(({ kind, start, bytes, marks }) => [
      kind,
      sql.slice(start, start + bytes),
      (marks & UNENDED_MARK) !== 0,
    ]);

  it.each<[string, [StatementKind, string, boolean][]]>([
    [
      "before another view",
      [
        ["view", "CREATE VIEW v AS SELECT 1 -- one;\n", true],
        ["view", "CREATE VIEW w AS SELECT 2;", false],
      ],
    ],
    [
      "twice, and at the end",
      [
        ["index", "CREATE INDEX i ON t(a) -- one;\n", true],
        ["view", "CREATE VIEW v AS SELECT 1 --;\n", true],
        ["view", "CREATE VIEW w AS SELECT 2 -- ;;", true],
      ],
    ],
    ["at an end with a line feed", [["view", "CREATE VIEW v AS SELECT 1 -- one;\n", true]]],
    [
      "before a trigger",
      [
        ["index", "CREATE INDEX i ON t(a) -- one;\n", true],
        ["trigger", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;", false],
      ],
    ],
    [
      "before rows of its table",
      [
        ["create-table", "CREATE TABLE t (a) STRICT -- one;\n", true],
        ["insert", 'INSERT INTO "t" ("a") VALUES(1);', false],
      ],
    ],
    [
      "before SQLite's own tables",
      [
        ["create-table", "CREATE TABLE t (a) STRICT -- one;\n", true],
        ["other", "DELETE FROM sqlite_sequence;\n", false],
        ["create-table", "CREATE TABLE u (a) STRICT -- one;\n", true],
        ["other", "ANALYZE sqlite_schema;", false],
      ],
    ],
    [
      "in text that only looks so",
      [
        ["view", "CREATE VIEW u AS SELECT 1 AS -- one;\nCREATED;\n", false],
        ["view", "CREATE VIEW v AS SELECT 1 -- one;\n, 2 -- ;\n, ' -- ;\nCREATE ' -- ;\n;\n", false],
        ["create-table", "CREATE TABLE t (a REFERENCES p ON -- ;\nDELETE CASCADE);\n", false],
        [
          "trigger",
          "CREATE TRIGGER tr AFTER INSERT ON t -- ;\nBEGIN SELECT 1; -- ;\nINSERT INTO t VALUES(1); END;\n",
          false,
        ],
        ["view", "CREATE VIEW w AS SELECT 1 /* -- ;\nCREATE */;\n", false],
        ["view", "CREATE VIEW x AS SELECT * FROM -- ;\nANALYZE sqlite_schema;", false],
      ],
    ],
  ])("%s", (_, expected) => {
    const sql = expected.map(([, text]) => text).join("");
    const tidy = expected.map(([kind, text, unended]) => [
      kind,
      unended ? text : text.replace(/\n$/, ""),
      unended,
    ]);
    expect(scanned(sql)).toEqual(tidy);
    for (let size = 1; size < 40; size++) expect(scanned(sql, [size])).toEqual(tidy);
  });

  it("and no volume, which ends at the same byte for any chunks", () => {
    const sql =
      "CREATE TABLE t (a) STRICT -- one;\nDELETE FROM sqlite_sequence;\nCREATE VIEW v AS SELECT 1 -- ;\nCREATE VIEW w AS SELECT 2;\n";
    const bytes = encode(sql);
    const ends = ["sqlite_sequence;\n", "SELECT 2;\n"].map((end) => sql.indexOf(end) + end.length);
    for (let limit = 0; limit < bytes.length; limit++) {
      const cuts = new Set(
        Array.from({ length: 60 }, (_, size) => scanVolumes(bytes, limit, [size]).cuts.at(0)),
      );
      expect([...cuts]).toEqual(limit < (ends[0] ?? 0) ? [ends[0]] : [undefined]);
    }
  });

  it.each(["CREA", "CREATE", "ANALYZE sqlite_schema", "INSERT INTO", "\n"])(
    "but not before %j, where the dump is cut short",
    (rest) => {
      const bytes = encode(`CREATE TABLE t (a) STRICT -- one;\n${rest}`);
      expect(scan(bytes)).toEqual({ seen: [], whole: false });
      expect(scan(bytes, [1])).toEqual({ seen: [], whole: false });
    },
  );

  it("but not inside a trigger's body, where the dump is cut short", () => {
    const sql = "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; -- one;";
    expect(scan(encode(sql))).toEqual({ seen: [], whole: false });
    expect(scan(encode(`${sql}\n`))).toEqual({ seen: [], whole: false });
  });
});

describe("whatever is in the text and however the stream is cut", () => {
  it("finds every statement, its table, its place and its marks", () => {
    fc.assert(
      fc.property(randomDump, chunkSizes, (statements, chunks) => {
        const { bytes, ends } = joined(statements);
        const expected = statements.map(({ kind, table, marks }, index) => {
          const start = ends[index - 1] ?? 0;
          const isLast = index === statements.length - 1;
          // The line feed belongs to what has no semicolon of its own.
          const lineFeed = isLast || (marks & UNENDED_MARK) !== 0 ? 0 : 1;
          return { kind, table, start, bytes: (ends[index] ?? 0) - start - lineFeed, marks };
        });
        const seen = { statements: expected, whole: true, strayEnd: false };
        expect(scanStatements(bytes)).toEqual(seen);
        expect(scanStatements(bytes, chunks)).toEqual(seen);
      }),
      { numRuns: 1_000 },
    );
  });

  it("cuts at the first boundary behind the wanted length, at the same byte for any chunks", () => {
    fc.assert(
      fc.property(randomDump, chunkSizes, fc.nat(900), (statements, chunks, limit) => {
        const { bytes, ends } = joined(statements);
        // A cut takes the line feed along. What ends with the dump needs none, and what has no semicolon gets none.
        const wanted = ends.slice(0, -1).find((end, index) => {
          const { marks } = statements[index] ?? { marks: 0 };
          return end - 1 >= limit && (marks & UNENDED_MARK) === 0;
        });
        const scanner = new StatementScanner(() => undefined);
        let cutAt: number | null = null;
        for (let from = 0, turn = 0; from < bytes.length && cutAt === null; turn++) {
          const size = chunks[turn % chunks.length] ?? 1;
          const cut = scanner.scan(bytes.subarray(from, from + size), limit - from - 1);
          if (cut !== null) cutAt = from + cut;
          from += size;
        }
        expect(cutAt).toBe(wanted ?? null);
      }),
      { numRuns: 500 },
    );
  });

  it("counts the rows that SQLite has after loading the same dump", () => {
    const rows = fc.array(
      fc.tuple(
        fc.constantFrom("a", "b b", 'c"c'),
        unkindText.filter((value) => !value.includes("\0") && value.isWellFormed()),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(rows, chunkSizes, (content, chunks) => {
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
