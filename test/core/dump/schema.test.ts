import { expect, it } from "vitest";
import { dumpedParts, dumpedTables, openComments, schemaHazards } from "../../../src/core/dump/schema.ts";

const entry = (type: string, name: string, sql: string | null) => ({ type, name, sql });

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

it("SQL that may not have been UTF-8 is told by what it makes", () => {
  const schema = [
    entry("table", "t", "CREATE TABLE t (a DEFAULT 'half of an emoji: \uFFFD\uFFFD\uFFFD')"),
    entry("index", "i", "CREATE INDEX i ON t (a)"),
    entry("index", "sqlite_autoindex_t_1", null),
  ];
  expect(schemaHazards(schema)).toMatchObject([{ kind: "replaced-sql", table: "t", count: null }]);
});
