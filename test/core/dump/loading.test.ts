import { expect, it } from "vitest";
import { loadingHazards, loadingOf } from "../../../src/core/dump/loading.ts";
import { shellLines } from "../../../src/core/dump/shell-lines.ts";
import { neededSqlite, newerFeatures, releaseNumber } from "../../../src/core/dump/sqlite-features.ts";

const entry = (type: string, name: string, sql: string | null) => ({ type, name, sql });

it.each<[type: string, sql: string, ends: number, returns: number, inQuotes: number]>([
  ["view", "CREATE VIEW v AS SELECT 1\n/\n2", 1, 0, 0],
  ["view", "CREATE VIEW v AS SELECT 1\r\n \t/ -- x\r\n2", 1, 2, 0],
  ["table", "CREATE TABLE t (a\nGO /* x */ /* y */\n, b)", 1, 0, 0],
  ["view", "CREATE VIEW v AS SELECT 1\n/ 2", 0, 0, 0],
  ["view", "CREATE VIEW v AS SELECT 1 -- x\n/\n2", 0, 0, 0],
  ["view", "CREATE VIEW v AS SELECT 1 /*\n/\n*/", 0, 0, 0],
  ["view", "CREATE VIEW v AS SELECT '\n/\n', \"\ngo\n\", [\n/\n], `\ngo\n`", 0, 0, 0],
  ["view", "CREATE VIEW v AS SELECT 1 '--'\n/\n2", 1, 0, 0],
  ["view", "CREATE VIEW v AS SELECT 'a\r\nb' AS \"c\r\nd\" -- e\r\n", 0, 3, 2],
  ["trigger", "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1\n/\n2; END", 0, 0, 0],
  ["index", "CREATE INDEX i ON t (a)", 0, 0, 0],
])("of a %s's lines sqlite3 reads so many otherwise: %j", (type, sql, ends, returns, returnsInQuotes) => {
  expect(shellLines({ type, sql })).toMatchObject({ ends, returns, returnsInQuotes });
});

it.each<[sql: string, features: Record<string, string>]>([
  ["CREATE TABLE t (a, b TEXT AS (upper(a)) STORED CHECK (length(b) > 1))", {}],
  ["CREATE TABLE t (a CHECK (octet_length(a) < 9)) STRICT", { "octet_length()": "3.43.0", STRICT: "3.37.0" }],
  ["CREATE TABLE concat (a, strict TEXT REFERENCES concat (a))", {}],
  ["CREATE INDEX i ON concat (a)", {}],
  ["CREATE VIEW v AS SELECT 'concat(a)', \"concat\" FROM t -- concat(a)", {}],
  [
    "CREATE VIEW v AS SELECT group_concat(a, ',' ORDER BY b) FROM t",
    { "ORDER BY inside of a function": "3.44.0" },
  ],
  ["CREATE VIEW v AS SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM (SELECT a FROM t ORDER BY b)", {}],
  ["CREATE VIEW v AS SELECT rank() OVER w FROM t WINDOW w AS (ORDER BY a)", {}],
  [
    "CREATE VIEW v AS SELECT count((SELECT a FROM u ORDER BY a)), a IN (SELECT b FROM t ORDER BY b) FROM t",
    {},
  ],
  [
    "CREATE VIEW v AS SELECT a->>'$.b', 1_000, iif(a, b), iif(a, b, c), if(a, b, c, d) FROM t",
    {
      "-> or ->>": "3.38.0",
      "digits like 1_000": "3.46.0",
      "iif()": "3.32.0",
      "iif() with 2 arguments": "3.48.0",
      "if()": "3.48.0",
      "if() with more than 3 arguments": "3.49.0",
    },
  ],
  [
    "CREATE VIEW v AS WITH c AS NOT MATERIALIZED (SELECT 1) SELECT * FROM c FULL OUTER JOIN d ON c.a IS NOT DISTINCT FROM d.a",
    {
      MATERIALIZED: "3.35.0",
      "FULL JOIN": "3.39.0",
      "IS DISTINCT FROM": "3.39.0",
    },
  ],
  ["CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'), RAISE(IGNORE); END", {}],
  [
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'a' || new.b); END",
    { "raise() with an expression": "3.47.0" },
  ],
  [
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO concat (a) VALUES (jsonb(new.a)); END",
    { "jsonb()": "3.45.0" },
  ],
])("%s asks for the releases that brought what it uses", (sql, features) => {
  const found = newerFeatures([entry("view", "it", sql)]);
  expect(Object.fromEntries(found.map(({ feature, since }) => [feature, since]))).toEqual(features);
  const newest = Math.max(releaseNumber("3.31.0"), ...Object.values(features).map(releaseNumber));
  expect(releaseNumber(neededSqlite(found))).toBe(newest);
});

const SEARCH = entry("table", "search", "CREATE VIRTUAL TABLE search USING fts5(body)");
const NOTES = entry("table", "notes", "CREATE TABLE notes (body)");
const FEEDS = entry(
  "trigger",
  "feeds",
  'CREATE TRIGGER feeds AFTER INSERT ON notes BEGIN INSERT INTO "Search" VALUES (new.body); END',
);
const OTHER = entry(
  "trigger",
  "other",
  "CREATE TRIGGER other AFTER INSERT ON notes BEGIN SELECT 'search'; END",
);

it("virtual tables that are left out are known with the triggers that write to them", () => {
  const exported = [NOTES, FEEDS];
  expect(loadingOf(exported, [...exported, SEARCH]).virtualTables).toEqual([
    { name: "search", triggers: ["feeds"] },
  ]);
  const asText = { ...FEEDS, sql: FEEDS.sql?.replace('"Search"', "'search'") ?? null };
  expect(loadingOf([NOTES, asText], [NOTES, asText, SEARCH]).virtualTables[0]?.triggers).toEqual(["feeds"]);
  expect(loadingOf([NOTES], [NOTES]).virtualTables).toEqual([]);
  expect(loadingOf([NOTES, OTHER], [NOTES, OTHER, SEARCH]).virtualTables[0]?.triggers).toEqual([]);
});

it.each<[string, string[], string[], string[]]>([
  ["a counter's table is there", ["CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)"], [], []],
  ["it is gone", ["CREATE TABLE t (a -- AUTOINCREMENT\n)"], [], ["lost-sequence"]],
  ["a parent is gone", ["CREATE TABLE t (a REFERENCES gone)"], [], ["lost-sequence", "lost-parent"]],
  [
    "a parent is left out by the policy",
    ["CREATE TABLE t (a REFERENCES u (a))"],
    ["CREATE TABLE u (a UNIQUE)"],
    ["lost-sequence"],
  ],
])("is told of: %s", (_, sql, leftOut, kinds) => {
  const tables = (all: string[]) =>
    all.map((each) => entry("table", /TABLE (\w)/.exec(each)?.[1] ?? "", each));
  const exported = [
    ...tables(sql),
    entry("table", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
  ];
  const schema = [...exported, ...tables(leftOut)];
  const hazards = loadingHazards(loadingOf(exported, schema), exported, schema);
  expect(hazards.map(({ kind }) => kind).toSorted()).toEqual(kinds.toSorted());
  expect(loadingOf(exported, schema).lostParents).toHaveLength(sql.join().includes("REFERENCES") ? 1 : 0);
});
