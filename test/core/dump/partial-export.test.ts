import { describe, expect, it } from "vitest";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import {
  exportedSchema,
  exportOptionsFailure,
  leftOut,
  partialHazards,
  rowsOfDump,
} from "../../../src/core/dump/partial-export.ts";

const entry = (type: string, name: string, sql: string | null = `CREATE ${type} ${name}`) => ({
  type,
  name,
  sql,
});

const schema = [
  entry("table", "orders"),
  entry("table", "users"),
  entry("index", "orders_by_item"),
  entry("index", "sqlite_autoindex_users_1", null),
  entry("table", "sqlite_sequence"),
  entry("table", "_cf_KV"),
  entry("trigger", "logs"),
  entry("view", "latest"),
];
const belongings = [
  { name: "orders_by_item", table: "orders" },
  { name: "logs", table: "ORDERS" },
];

const named = (...tables: string[]) => ({ ...EVERYTHING, tables });

describe("what is named is held against the schema", () => {
  it.each<[string, Parameters<typeof exportOptionsFailure>[2], string | null, string | null]>([
    ["everything", EVERYTHING, null, null],
    ["a table", named("orders"), null, null],
    [
      "a table with its index, its trigger and a view",
      named("orders", "orders_by_item", "logs", "latest"),
      null,
      null,
    ],
    ["AUTOINCREMENT's counters", named("orders", "sqlite_sequence"), null, null],
    ["no such table", named("orders", "invoices"), "table-not-found", "invoices"],
    ["a table in other letters", named("Orders"), "table-not-found", "the schema has orders"],
    ["a table of D1's own", named("_cf_KV"), "table-not-found", "_cf_KV"],
    ["what SQLite makes by itself", named("sqlite_autoindex_users_1"), "table-not-found", "sqlite_autoindex"],
    ["an index without its table", named("users", "orders_by_item"), "table-not-found", "not orders"],
    ["a trigger without its table", named("users", "logs"), "table-not-found", "not ORDERS"],
    [
      "an index, where no schema is dumped",
      { ...named("orders", "orders_by_item"), noSchema: true },
      "table-not-found",
      "orders_by_item",
    ],
    ["neither rows nor schema", { ...EVERYTHING, noData: true, noSchema: true }, "configuration", "noData"],
  ])("%s", (_, options, code, said) => {
    const failure = exportOptionsFailure(schema, belongings, options);
    expect(failure?.code ?? null).toBe(code);
    if (said !== null) expect(`${failure?.detail} ${failure?.hint}`).toContain(said);
    expect(failure?.retryable ?? false).toBe(false);
  });
});

describe("what is left out", () => {
  const names = (entries: readonly { name: string }[]): string[] => entries.map(({ name }) => name);

  it("is nothing when everything is dumped", () => {
    expect(exportedSchema(schema, EVERYTHING)).toEqual(schema);
    expect(leftOut(schema, EVERYTHING)).toEqual([]);
    expect(partialHazards(EVERYTHING, [])).toEqual([]);
  });

  it("is all that is not named, with its SQL", () => {
    const options = named("orders", "latest");
    expect(names(exportedSchema(schema, options))).toEqual(["orders", "latest"]);
    const rest = leftOut(schema, options);
    expect(names(rest)).toEqual(["users", "orders_by_item", "sqlite_sequence", "logs"]);
    expect(rest[0]).toMatchObject({ kind: "table", sql: "CREATE table users" });
    expect(partialHazards(options, rest)).toMatchObject([
      {
        kind: "partial",
        table: null,
        count: null,
        detail: expect.stringContaining("4 others are not in it"),
      },
    ]);
  });

  it("is told without its SQL when that is very long", () => {
    const wide = [...schema, entry("table", "wide", "x".repeat(300_000)), entry("table", "last")];
    const rest = leftOut(wide, named("orders"));
    expect(rest.slice(-2)).toMatchObject([
      { name: "wide", sql: "", reason: expect.stringContaining("too long") },
      { name: "last", sql: "" },
    ]);
    expect(JSON.stringify(rest).length).toBeLessThan(2_000);
  });

  it.each([
    ["rows", { ...EVERYTHING, noData: true }, "no rows"],
    ["the schema", { ...EVERYTHING, noSchema: true }, "only rows"],
  ])("makes a backup without %s a partial one", (_, options, said) => {
    expect(partialHazards(options, [])).toMatchObject([
      { kind: "partial", detail: expect.stringContaining(said) },
    ]);
  });
});

describe("the rows of a dump", () => {
  const scanned = [["t", 2]] satisfies [string, number][];

  it.each([
    ["are those that were counted", EVERYTHING, [["t", 2]]],
    ["were not counted where none were asked for", { ...EVERYTHING, noData: true }, [["t", null]]],
    [
      "of a table that stands nowhere for lack of rows are none",
      { ...EVERYTHING, noSchema: true },
      [
        ["t", 2],
        ["u", 0],
      ],
    ],
  ])("%s", (_, options, rows) => {
    expect(rowsOfDump(scanned, ["t", "u"], options)).toEqual(rows);
  });
});
