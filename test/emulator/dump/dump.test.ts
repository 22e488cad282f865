import { reset } from "cloudflare:test";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { splitStatements } from "../../../emulator/src/sql/statement-splitter.ts";
import { database, dump, reference } from "../kit/client.ts";

interface Options {
  no_schema?: boolean;
  no_data?: boolean;
  tables?: string[];
}

const SHOP = `
  CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, email TEXT UNIQUE);
  CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), total REAL);
  CREATE INDEX orders_by_customer ON orders(customer_id);
  CREATE VIEW spending AS SELECT customer_id, sum(total) AS total FROM orders GROUP BY customer_id;
  CREATE TRIGGER only_known BEFORE INSERT ON orders BEGIN
    SELECT CASE WHEN NEW.total < 0 THEN RAISE(ABORT, 'negative; no') END;
  END;
  CREATE TRIGGER spend INSTEAD OF INSERT ON spending BEGIN INSERT INTO orders (customer_id) VALUES (NEW.customer_id); END;
  INSERT INTO customers (name, email) VALUES ('Ada', 'ada@example.com'), ('O''Hara', NULL);
  INSERT INTO orders VALUES (7, 2, 12.5), (3, 1, 0.1), (5, 1, 100)`;

const CASES: Record<string, { sql: string; options?: Options[] }> = {
  "an empty database": { sql: "SELECT 1" },
  "foreign keys, indexes, views and triggers": {
    sql: SHOP,
    options: [{}, { no_data: true }, { no_schema: true }, { no_data: true, no_schema: true }],
  },
  "only the tables that are named": {
    sql: SHOP,
    options: [
      { tables: ["orders"] },
      { tables: ["orders", "orders_by_customer", "spending", "spend", "sqlite_sequence"] },
      { tables: ["absent"] },
      { tables: ["customers"], no_schema: true },
    ],
  },
  "generated columns": {
    sql: `CREATE TABLE lines (qty INTEGER, price REAL, total REAL GENERATED ALWAYS AS (qty * price) STORED,
            label TEXT AS ('x' || qty) VIRTUAL, note TEXT);
          INSERT INTO lines (qty, price, note) VALUES (2, 1.25, 'a'), (3, 2, NULL)`,
  },
  blobs: { sql: "CREATE TABLE b (data BLOB); INSERT INTO b VALUES (x''), (x'00ff10'), (zeroblob(300))" },
  "text that needs escapes": {
    sql: `CREATE TABLE texts (t);
      INSERT INTO texts VALUES (''), (''''), ('it''s'), ('a' || char(10) || 'b'), ('a' || char(13) || char(10)),
        ('a' || char(13)), ('literal \\n and \\r'), ('both \\n' || char(10)), ('both \\r' || char(13) || ' '' '),
        ('tab' || char(9)), ('👩‍🚀 ünïcödé'), ('--not a comment; /* nor this */'), ('a' || char(0) || 'b')`,
  },
  numbers: {
    sql: `CREATE TABLE numbers (n);
      INSERT INTO numbers VALUES (9e999), (-9e999), (9007199254740993), (-9223372036854775808), (1.0), (-0.0), (0.1),
        (1e21), (1e-7), (123456789.123456789), (2147483648), (5e-324), (1.7976931348623157e308)`,
  },
  sqlite_sequence: {
    sql: `CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO a VALUES (5), (NULL);
      CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, x); INSERT INTO b (x) VALUES (1); DELETE FROM b`,
    options: [{}, { tables: ["a"] }, { tables: ["sqlite_sequence"] }, { no_schema: true }],
  },
  "statistics of ANALYZE": {
    sql: `CREATE TABLE a (x, y); CREATE INDEX ax ON a(x); CREATE INDEX ayx ON a(y, x);
      INSERT INTO a VALUES (1, 'p'), (1, 'q'), (2, 'r'); ANALYZE; CREATE TABLE later (z)`,
    options: [{}, { no_schema: true }, { no_data: true }],
  },
  "quoted names": {
    sql: `CREATE TABLE "order" ("select" TEXT, "a ""quoted"" name" INTEGER); INSERT INTO "order" VALUES ('x', 1);
      CREATE TABLE 'single quoted' (a); INSERT INTO "single quoted" VALUES (1);
      CREATE TABLE [in brackets] (a); CREATE TABLE \`ticks\` (a); CREATE TABLE IF NOT EXISTS "if not" (a);
      CREATE TABLE "say ""hi""" ("x;y"); INSERT INTO "say ""hi""" VALUES (';');
      CREATE INDEX "an index" ON "order" ("select")`,
  },
  "WITHOUT ROWID and STRICT tables": {
    sql: `CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES ('b', 1), ('a', 2);
      CREATE TABLE s (i INTEGER, a ANY) STRICT; INSERT INTO s VALUES (1, x'01'), (2, 'text')`,
  },
  "rows in the order of a covering index": {
    sql: `CREATE TABLE c (a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX cb ON c(b, a);
      INSERT INTO c VALUES (1, 'z'), (2, 'a'), (3, 'm'); CREATE TABLE one (b TEXT); CREATE INDEX ob ON one(b);
      INSERT INTO one VALUES ('z'), ('a')`,
  },
  "comments and line breaks in the schema": {
    sql: `CREATE TABLE t ( -- the table; yes
        a /* what; */ TEXT,\r\n        b TEXT DEFAULT 'x;y');
      CREATE TRIGGER tr AFTER INSERT ON t\r\nBEGIN\r\n  UPDATE t SET b = 'end;' WHERE a = NEW.a;\r\nEND;
      CREATE TABLE altered (a); ALTER TABLE altered ADD COLUMN b TEXT; ALTER TABLE altered RENAME TO renamed`,
  },
  "names of the engine's own kind": {
    sql: "CREATE TABLE sqlitex (a); CREATE TABLE cf_x (a); CREATE TABLE _cfx (a)",
  },
  "virtual tables that are not asked for": {
    sql: "CREATE TABLE t (a); CREATE VIRTUAL TABLE search USING fts5(a); INSERT INTO search VALUES ('x')",
    options: [{ tables: ["t"] }, { tables: ["t", "search_content"] }],
  },
};

async function referenceDump({ no_schema = false, no_data = false, tables = [] }: Options): Promise<string> {
  const statement = reference().prepare("PRAGMA miniflare_d1_export(?,?,?);");
  const [statements] = await statement.bind(no_schema, no_data, ...tables).raw();
  return (statements ?? []).join("\n");
}

describe("a dump is miniflare's own, byte for byte", () => {
  beforeEach(reset);

  const cases = Object.entries(CASES).flatMap(([name, { sql, options = [{}] }]) =>
    options.map((option) => ({ name, sql, option })),
  );

  it.each(cases)("$name $option", async ({ sql, option }) => {
    await reference().batch(splitStatements(sql).map((statement) => reference().prepare(statement)));
    const uuid = await database(sql);
    expect(await dump(uuid, option)).toBe(await referenceDump(option));
  });

  const column = fc.constantFrom("TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC", "");
  const value = fc.oneof(
    fc.constant("NULL"),
    fc.bigInt(-(2n ** 63n) + 1n, 2n ** 63n - 1n).map(String),
    fc
      .double({ noNaN: true })
      .map((number) => (Number.isFinite(number) ? number.toExponential() : `${number < 0 ? "-" : ""}9e999`)),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => `x'${bytes.toHex()}'`),
    fc
      .string({
        unit: fc.constantFrom("'", "\n", "\r", "\\", "n", "r", '"', ";", "-", "é", "🚀", "%"),
        maxLength: 12,
      })
      .map(quoted),
    fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => quoted(text.replaceAll("\0", ""))),
  );
  const name = fc
    .string({
      unit: fc.constantFrom("a", "B", "_", '"', "'", " ", ";", "ü", "]", "`", "9"),
      minLength: 1,
      maxLength: 6,
    })
    .map((text) => `"t${text.replaceAll('"', '""')}"`);
  const table = fc
    .uniqueArray(fc.tuple(name, column), {
      minLength: 1,
      maxLength: 5,
      selector: ([text]) => text.toLowerCase(),
    })
    .chain((columns) =>
      fc.record({
        columns: fc.constant(columns),
        rows: fc.array(fc.array(value, { minLength: columns.length, maxLength: columns.length }), {
          maxLength: 6,
        }),
      }),
    );
  const schema = fc.uniqueArray(fc.tuple(name, table), {
    maxLength: 3,
    selector: ([text]) => text.toLowerCase(),
  });

  it("whatever the tables are called and hold", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(schema, async (tables) => {
        await reset();
        const statements = tables.flatMap(([tableName, { columns, rows }]) => [
          `CREATE TABLE ${tableName} (${columns.map((definition) => definition.join(" ")).join(", ")})`,
          ...rows.map((row) => `INSERT INTO ${tableName} VALUES (${row.join(", ")})`),
        ]);
        const all = ["SELECT 1", ...statements];
        await reference().batch(all.map((statement) => reference().prepare(statement)));
        const uuid = await database(all.join(";\n"));
        const text = await dump(uuid);
        expect(text).toBe(await referenceDump({}));
        expect(await dump(await database(text))).toBe(text);
      }),
      { numRuns: 40 },
    );
  });
});

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
