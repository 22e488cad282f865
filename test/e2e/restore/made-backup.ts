import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  type DumpedDatabase,
  dumpStatements,
  type Value,
} from "../../../emulator/src/dump/dump-statements.ts";
import type { UnsealedManifest } from "../../../src/core/backup/manifest.ts";
import { statementsText } from "../../../src/core/backup/sealed-statements.ts";
import { type Compression, NOT_EXPORTED } from "../../../src/core/bucket/object-keys.ts";
import { EVERYTHING, type ExportOptions } from "../../../src/core/d1/export-options.ts";
import type { SchemaEntry } from "../../../src/core/d1/api.ts";
import { D1_FORMAT } from "../../../src/core/dump/dump-format.ts";
import { notScanned, scanHazards } from "../../../src/core/dump/hazards.ts";
import { loadingHazards, loadingOf } from "../../../src/core/dump/loading.ts";
import { exportedSchema, leftOut, rowsOfDump } from "../../../src/core/dump/partial-export.ts";
import { dumpedTables, schemaHazards } from "../../../src/core/dump/schema.ts";
import { NOTHING_SCANNED, Tally } from "../../../src/core/dump/tally.ts";
import { restoreGuide } from "../../../src/core/guide/restore-guide.ts";
import { sectionsOf } from "../../../src/core/run/build-manifest.ts";
import { StatementScanner } from "../../../src/core/sql/statements.ts";
import { unsealed } from "../../core/kit/sample-manifest.ts";
import { pathOf } from "../../kit/programs.ts";
import { contentsOf, type Contents } from "../database-contents.ts";

// Backups of databases that a test makes with SQL: dumped as D1 does, looked at and written as a run does, in a moment.

export interface Kind {
  readonly lean?: boolean;
  readonly compression?: Compression;
  /** An age key: the file that holds it, and its public half. */
  readonly key?: { readonly file: string; readonly recipient: string };
  readonly exportOptions?: ExportOptions;
}

/** A database in memory, with what D1 allows: text in double quotes, foreign keys that lead nowhere. */
export function databaseOf(sql: string): DatabaseSync {
  const database = new DatabaseSync(":memory:", {
    enableDoubleQuotedStringLiterals: true,
    enableForeignKeyConstraints: false,
  });
  database.exec(sql);
  return database;
}

export function schemaOf(database: DatabaseSync): SchemaEntry[] {
  const rows = database.prepare("SELECT type, name, sql FROM sqlite_master ORDER BY rowid").all();
  return rows.map(({ type, name, sql }) => ({
    type: String(type),
    name: String(name),
    sql: sql === null ? null : String(sql),
  }));
}

/** D1's dump of it. */
export function dumpOf(database: DatabaseSync, options: ExportOptions = EVERYTHING): string {
  const source: DumpedDatabase = {
    exec<Row extends Record<string, Value>>(sql: string) {
      const statement = database.prepare(sql);
      statement.setReadBigInts(true);
      const rows = statement
        .all()
        .map((row) => Object.entries(row).map(([key, value]): [string, Value] => [key, asD1(value)]));
      return {
        // The names of the columns are the caller's.
        toArray: () => rows.map((row) => Object.fromEntries(row) as Row),
        raw: () => rows.map((row) => row.map(([, value]) => value)),
      };
    },
  };
  return [...dumpStatements(source, options)].join("\n");
}

/** D1 knows no integers beyond a double's, and gives blobs as buffers. */
function asD1(value: SQLOutputValue): Value {
  if (typeof value === "bigint") return Number(value);
  return value instanceof Uint8Array ? Uint8Array.from(value).buffer : value;
}

/** A folder below `root` with the backup of a dump, and what its manifest says. */
export function backUp(
  root: string,
  dump: string,
  schema: readonly SchemaEntry[],
  { lean = false, compression = "gzip", key, exportOptions = EVERYTHING }: Kind = {},
): { folder: string; manifest: UnsealedManifest } {
  const bytes = Buffer.from(dump);
  const folder = mkdtempSync(join(root, "backup-"));
  const tally = new Tally(NOTHING_SCANNED, 0, !exportOptions.noSchema);
  const scanner = new StatementScanner(tally.count, D1_FORMAT);
  scanner.scan(bytes);
  scanner.end();
  // However odd the schema is: the run would have failed.
  if (tally.foreign !== null || scanner.endsInStray) throw new Error("The dump is none of D1's.");
  const exported = exportedSchema(schema, exportOptions);
  const dumpedSql = exportOptions.noSchema ? [] : exported;
  const loading = loadingOf(dumpedSql, schema);
  const rows = rowsOfDump(tally.scanned.rows, dumpedTables(exported), exportOptions);
  const compressed = { gzip: gzipSync, zstd: zstdCompressSync, none: (plain: Buffer) => plain }[compression](
    bytes,
  );
  const sealed = (plain: Buffer | string): Buffer =>
    execFileSync(pathOf("age"), ["-r", key?.recipient ?? ""], { input: plain });
  const stored = key === undefined ? compressed : sealed(compressed);
  const parts = leftOut(schema, exportOptions);
  const suffix = `.sql${{ gzip: ".gz", zstd: ".zst", none: "" }[compression]}${key === undefined ? "" : ".age"}`;
  const name = `shop.0001${suffix}`;
  const manifest: UnsealedManifest = {
    ...unsealed,
    exportOptions,
    lean,
    compression,
    encryption: key === undefined ? null : { format: "age-encryption.org/v1", recipients: [key.recipient] },
    dump: { bytes: bytes.length, sha256: key === undefined ? sha256(bytes) : null, statements: null },
    volumes: [
      {
        name,
        bytes: stored.length,
        sha256: sha256(stored),
        dumpBytes: bytes.length,
        dumpSha256: key === undefined ? sha256(bytes) : null,
        firstStatement: null,
        statements: null,
      },
    ],
    tables: rows.map(([table, count]) => ({ name: table, rows: lean ? null : count })),
    notExported: key === undefined ? parts : parts.map((part) => ({ ...part, sql: "" })),
    hazards: [
      ...schemaHazards(dumpedSql),
      ...loadingHazards(loading, dumpedSql, schema),
      ...(lean ? [notScanned()] : scanHazards(tally.scanned)),
    ],
    sections: lean ? null : sectionsOf(tally.scanned, bytes.length),
    missingSemicolons: lean ? null : tally.scanned.missingSemicolons,
    loading,
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), stored);
  writeFileSync(join(folder, "SHA256SUMS"), `${sha256(stored)}  ${name}\n`);
  writeFileSync(join(folder, "RESTORE.md"), restoreGuide(manifest));
  if (key !== undefined) cpSync(key.file, join(folder, "key.txt"));
  if (key !== undefined && parts.length > 0)
    writeFileSync(join(folder, NOT_EXPORTED), sealed(statementsText(parts)));
  return { folder, manifest };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function contents(database: DatabaseSync): Promise<Contents> {
  return contentsOf(async (sql) =>
    database
      .prepare(sql)
      .all()
      .map((row) => String(Object.values(row)[0])),
  );
}

/** What a folder's restored.db holds. */
export async function restoredContents(folder: string): Promise<Contents> {
  const database = new DatabaseSync(join(folder, "restored.db"), { enableDoubleQuotedStringLiterals: true });
  const held = await contents(database);
  database.close();
  return held;
}
