import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import type { DumpedDatabase, Value } from "../../../emulator/src/dump/dump-statements.ts";
import { sqlite3Dump } from "../../../emulator/src/dump/sqlite3-dump.ts";
import { randomDatabase } from "../../emulator/kit/random-database.ts";
import { pathOf } from "../../kit/programs.ts";

// The judge of the emulator's second dump format is the program that the format is named after.

const folder = mkdtempSync(join(tmpdir(), "d1-nightly-sqlite3-dump-"));
const file = join(folder, "source.db");
afterAll(() => rmSync(folder, { recursive: true }));

/** What a random database lacks: virtual tables of both kinds, and values that no literal can state. */
const extras = fc.constantFrom(
  "",
  `CREATE VIRTUAL TABLE "of words" USING fts5(a, b); INSERT INTO "of words" VALUES ('it''s', 'x
y')`,
  `CREATE TABLE docs (id INTEGER PRIMARY KEY, body); CREATE VIRTUAL TABLE found USING fts5(body, content=docs, content_rowid=id);
   INSERT INTO docs VALUES (5, 'lone'), (9, 'wolf'); INSERT INTO found(found) VALUES ('rebuild')`,
  `CREATE VIRTUAL TABLE "b'ox" USING rtree(id, low, high); INSERT INTO "b'ox" VALUES (1, 2.5, 3.25)`,
  `CREATE TABLE bytes (a); INSERT INTO bytes VALUES (CAST(x'ff41c328' AS TEXT)), (CAST(x'0aff0d5c6e' AS TEXT)), (-0.0), (0.1 + 0.2)`,
  `CREATE TABLE "group"(a, "b c", "order"); INSERT INTO "group" VALUES (9223372036854775807, 9.3e18, 4.0), ('a' || char(0) || 'b', char(13, 10), '\\n' || char(10))`,
);

it("of the emulator is what `sqlite3 FILE .dump` prints, byte for byte", { timeout: 120_000 }, () => {
  const version = execFileSync(pathOf("sqlite3"), ["--version"], { encoding: "utf8" });
  let bytes = 0;
  fc.assert(
    fc.property(randomDatabase, extras, (random, more) => {
      rmSync(file, { force: true });
      const database = new DatabaseSync(file, {
        enableDoubleQuotedStringLiterals: true,
        enableForeignKeyConstraints: false,
      });
      database.exec("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF");
      for (const { sql, inserts } of random.tables) for (const one of [sql, ...inserts]) database.exec(one);
      for (const { sql } of random.others) database.exec(sql);
      database.exec(more);
      if (random.isAnalyzed) database.exec("ANALYZE");
      const ours = Buffer.from(`${[...sqlite3Dump(asDumped(database), [])].join("\n")}\n`, "latin1");
      database.close();
      const theirs = execFileSync(pathOf("sqlite3"), ["-init", "/dev/null", file, ".dump"], {
        maxBuffer: 1e9,
      });
      bytes += theirs.length;
      expect(comparable(ours, version)).toBe(comparable(theirs, version));
    }),
    { numRuns: 100, seed: Number(process.env["FUZZ_SEED"] ?? "1") },
  );
  expect(bytes).toBeGreaterThan(100_000);
});

/**
 * Later programs than 3.40 write reals with other digits and control characters by unistr(): of theirs, the lines that
 * hold neither are compared.
 */
function comparable(dump: Buffer, version: string): string {
  const text = dump.toString("latin1");
  if (version.startsWith("3.40.")) return text;
  return text
    .split("\n")
    .filter((line) => !/^INSERT INTO .*(\.\d|[^ -ÿ]|\\|replace\(|unistr\()/.test(line))
    .join("\n");
}

function asDumped(database: DatabaseSync): DumpedDatabase {
  return {
    exec<Row extends Record<string, Value>>(sql: string) {
      const statement = database.prepare(sql);
      statement.setReadBigInts(true);
      const rows = statement.all().map((row) => Object.values(row).map(asStored));
      return { toArray: (): Row[] => [], raw: () => rows };
    },
  };
}

/** A Durable Object gives blobs as buffers, and integers as numbers. */
function asStored(value: SQLOutputValue): Value {
  if (typeof value === "bigint") return Number(value);
  return value instanceof Uint8Array ? Uint8Array.from(value).buffer : value;
}
