import { expect, it } from "vitest";
import {
  dumpedParts,
  dumpedTables,
  lineHazards,
  openComments,
  schemaHazards,
} from "../../../src/core/dump/schema.ts";

const entry = (type: string, name: string, sql: string | null) => ({ type, name, sql });

it.each<[string, string, string, boolean]>([
  ["a plain table", "table", "CREATE TABLE t (\n  a TEXT,\n  b TEXT\n)", false],
  [
    "a trigger with rows to insert",
    "trigger",
    'CREATE TRIGGER g AFTER INSERT ON t BEGIN\nINSERT INTO "u" VALUES (1);\nEND',
    false,
  ],
  ["a line break in a name", "table", 'CREATE TABLE t ("c\nd" TEXT)', true],
  ["a line break in a bracketed name", "table", "CREATE TABLE t ([c\nd] TEXT)", true],
  ["a line break in a text", "table", "CREATE TABLE t (a TEXT DEFAULT 'x\ny')", false],
  ["a quote in a comment", "table", 'CREATE TABLE t (a TEXT -- 5" wide\n, b TEXT)', false],
  [
    "a text that looks like a row",
    "table",
    "CREATE TABLE t (a TEXT DEFAULT '\nINSERT INTO \"u\" VALUES (1);')",
    true,
  ],
  [
    "a text that looks like a view",
    "trigger",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 'a\nCREATE VIEW fake'; END",
    true,
  ],
  ["a comment that looks like a trigger", "table", "CREATE TABLE t (a /*\nCREATE TRIGGER old\n*/)", true],
])("%s misleads commands that go by lines: see the last column", (_, type, sql, misleading) => {
  expect(lineHazards([entry(type, "it", sql)]).map(({ kind, table }) => [kind, table])).toEqual(
    misleading ? [["ambiguous-lines", "it"]] : [],
  );
});

it("what a dump must hold is told from the schema, SQLite's and D1's own left out", () => {
  const schema = [
    entry("table", "t", "CREATE TABLE t (a UNIQUE)"),
    entry("index", "sqlite_autoindex_t_1", null),
    entry("table", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
    entry("table", "_cf_KV", "CREATE TABLE _cf_KV (k)"),
    entry("view", "v", "CREATE VIEW v AS SELECT 1"),
  ];
  expect(dumpedTables(schema)).toEqual(["t"]);
  expect(dumpedParts(schema)).toEqual(["views"]);
});

it("comments that swallow what follows are told from those that do not", () => {
  const views = ["SELECT 1 -- note", "SELECT 1 /* note", "SELECT 1 /* note */", "SELECT '--', '/*'"];
  const schema = views.map((sql, index) => entry("view", `v${index}`, `CREATE VIEW v${index} AS ${sql}`));
  expect(schemaHazards(schema).map(({ table }) => table)).toEqual(["v0"]);
  expect(openComments(schema)).toEqual(["view v1"]);
});
