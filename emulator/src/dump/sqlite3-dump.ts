import { Buffer } from "node:buffer";
import type { DumpedDatabase, Value } from "./dump-statements.ts";
import { realLiteral } from "./real-literal.ts";
import { quotedForSqlite3 } from "./sqlite3-names.ts";

/**
 * The lines of `sqlite3 FILE .dump`, as Debian 12's program (3.40) prints them. Texts are read and yielded byte by byte,
 * one character a byte (latin1), because SQLite's text need not be UTF-8. The database must not change between the first
 * and the last of them. With `tables`, the objects of those names alone, as the program does with names.
 */
export function* sqlite3Dump(sql: DumpedDatabase, tables: readonly string[]): Generator<string, void> {
  const names = new Set(tables.map(bytesOf));
  const wanted = (name: string): boolean => (names.size === 0 || names.has(name)) && !name.startsWith("_cf_");
  let writesSchema = false;
  yield "PRAGMA foreign_keys=OFF;";
  yield "BEGIN TRANSACTION;";
  for (const { name, text } of entries(sql, TABLES)) {
    if (!wanted(name)) continue;
    if (text.startsWith("CREATE VIRTUAL TABLE")) {
      if (!writesSchema) yield "PRAGMA writable_schema=ON;";
      writesSchema = true;
      const values = [`'table'`, quoted(name), quoted(name), "0", quoted(text)];
      yield `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES(${values.join(",")});`;
      continue;
    }
    const opening = openingOf(name, text);
    if (opening === undefined) continue;
    yield opening;
    yield* insertStatements(sql, name);
  }
  for (const { name, text } of entries(sql, OTHERS)) {
    if (wanted(name)) yield text.includes("--") ? `${text}\n;` : `${text};`;
  }
  if (writesSchema) yield "PRAGMA writable_schema=OFF;";
  yield "COMMIT;";
}

const TABLES = `
  SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema
  WHERE type = 'table' AND sql IS NOT NULL ORDER BY tbl_name = 'sqlite_sequence', rowid`;

const OTHERS = `
  SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema
  WHERE sql IS NOT NULL AND type IN ('index', 'trigger', 'view')`;

/** What the schema holds, in bytes. */
function entries(sql: DumpedDatabase, question: string): { name: string; text: string }[] {
  return Array.from(sql.exec(question).raw(), ([name, text]) => ({
    name: cString(name ?? null),
    text: cString(text ?? null),
  }));
}

/** What stands before a table's rows, or nothing for a table that belongs to the engine. */
function openingOf(name: string, text: string): string | undefined {
  if (name === "sqlite_sequence") return "DELETE FROM sqlite_sequence;";
  if (/^sqlite_stat.$/.test(name)) return "ANALYZE sqlite_schema;";
  if (name.startsWith("sqlite_")) return undefined;
  const opening = /^CREATE TABLE ['"]/.test(text)
    ? `CREATE TABLE IF NOT EXISTS ${text.slice("CREATE TABLE ".length)}`
    : text;
  return `${opening}${endOfComment(text)};`;
}

/** What closes the comment in which a text ends, so that the semicolon behind it is none of the comment's. */
function endOfComment(text: string): string {
  const last = text.match(TOKEN)?.at(-1) ?? "";
  if (last.startsWith("--") && !last.endsWith("\n")) return "\n";
  return last.startsWith("/*") && !(last.length > 3 && last.endsWith("*/")) ? "*/" : "";
}

const TOKEN = /'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*\n?|\/\*[^]*?(?:\*\/|$)|[^]/g;

function* insertStatements(sql: DumpedDatabase, table: string): Generator<string, void> {
  const columns = columnsOf(sql, table).map((column) => textOf(quotedForSqlite3(column)));
  const values = columns.map((column) => {
    const cast = `CASE typeof(${column}) WHEN 'integer' THEN CAST(${column} AS TEXT) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`;
    return `typeof(${column}), ${cast}`;
  });
  const into = quotedForSqlite3(table);
  for (const row of sql.exec(`SELECT ${values.join(", ")} FROM ${textOf(into)}`).raw()) {
    const literals = columns.map((_, index) => literal(row[index * 2] ?? null, row[index * 2 + 1] ?? null));
    yield `INSERT INTO ${into} VALUES(${literals.join(",")});`;
  }
}

/** The columns that can be inserted: no generated and no hidden one. */
function columnsOf(sql: DumpedDatabase, table: string): string[] {
  const question = `SELECT CAST(name AS BLOB) FROM pragma_table_info(CAST(X'${Buffer.from(table, "latin1").toString("hex")}' AS TEXT))`;
  return Array.from(sql.exec(question).raw(), ([name]) => cString(name ?? null));
}

function literal(type: Value, value: Value): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return value;
  if (typeof value !== "number") return type === "text" ? textLiteral(cString(value)) : hexLiteral(value);
  if (Number.isFinite(value)) return realLiteral(value);
  return value > 0 ? "1e999" : "-1e999";
}

function hexLiteral(value: ArrayBuffer): string {
  return `X'${Buffer.from(value).toString("hex")}'`;
}

/** A literal on one line: a placeholder that the text does not hold stands for each kind of line break. */
function textLiteral(text: string): string {
  const breaks = (
    [
      ["\n", "\\n", "\\012", 10],
      ["\r", "\\r", "\\015", 13],
    ] as const
  ).filter(([character]) => text.includes(character));
  let whole = quoted(text);
  // The program nests the carriage return inside and looks for both placeholders in the text as it was.
  for (const [character, ...candidates] of breaks.toReversed()) {
    const [first, second, code] = candidates;
    const placeholder = unusedIn(text, first, second);
    whole = `replace(${whole.replaceAll(character, placeholder)},'${placeholder}',char(${code}))`;
  }
  return whole;
}

function unusedIn(text: string, first: string, second: string): string {
  if (!text.includes(first)) return first;
  if (!text.includes(second)) return second;
  for (let i = 0; ; i++) if (!text.includes(`(${first}${i})`)) return `(${first}${i})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Bytes up to the first NUL, where the program stops reading a text. */
function cString(value: Value): string {
  if (value === null || typeof value === "number") return "";
  const text = typeof value === "string" ? bytesOf(value) : Buffer.from(value).toString("latin1");
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

function bytesOf(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function textOf(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString();
}
