import { Buffer } from "node:buffer";

/** What a caller of the export asks for; an empty list of tables means all of them. */
export interface DumpOptions {
  noSchema: boolean;
  noData: boolean;
  tables: string[];
}

/** A value as a Durable Object's storage gives it. */
export type Value = ArrayBuffer | string | number | null;

/** What is asked of a database: a Durable Object's SqlStorage has it. */
export interface DumpedDatabase {
  exec<Row extends Record<string, Value>>(sql: string): { toArray(): Row[]; raw(): Iterable<Value[]> };
}

interface Column {
  name: string;
  [column: string]: Value;
}

interface SchemaEntry {
  name: string;
  sql: string;
  [column: string]: Value;
}

const TABLES = `
  SELECT name, sql FROM sqlite_schema
  WHERE type = 'table' AND sql IS NOT NULL
  ORDER BY tbl_name = 'sqlite_sequence', rowid`;

const INDEXES_TRIGGERS_VIEWS = `
  SELECT name, sql FROM sqlite_schema
  WHERE sql IS NOT NULL AND type IN ('index', 'trigger', 'view')
  ORDER BY type COLLATE NOCASE`;

/** The first virtual table that the dump would have to contain. D1 refuses to export such a database. */
export function firstVirtualTable(sql: DumpedDatabase, options: DumpOptions): string | undefined {
  const wanted = filterOf(options);
  return sql
    .exec<SchemaEntry>(TABLES)
    .toArray()
    .find((table) => wanted(table.name) && table.sql.startsWith("CREATE VIRTUAL TABLE"))?.name;
}

/**
 * The statements of a D1 dump, in D1's order and with D1's defects: join them with line breaks.
 * The database must not change between the first and the last of them.
 */
export function* dumpStatements(sql: DumpedDatabase, options: DumpOptions): Generator<string, void> {
  yield "PRAGMA defer_foreign_keys=TRUE;";
  const wanted = filterOf(options);
  for (const table of sql.exec<SchemaEntry>(TABLES).toArray()) {
    if (!wanted(table.name)) continue;
    const opening = openingStatement(table);
    if (opening === undefined) continue;
    if (!options.noSchema) yield opening;
    if (!options.noData) yield* insertStatements(sql, table.name);
  }
  if (options.noSchema) return;
  for (const entry of sql.exec<SchemaEntry>(INDEXES_TRIGGERS_VIEWS).toArray()) {
    if (wanted(entry.name)) yield `${entry.sql};`;
  }
}

function filterOf({ tables }: DumpOptions): (name: string) => boolean {
  const names = new Set(tables);
  return (name) => names.size === 0 || names.has(name);
}

/** What stands before a table's rows, or nothing for a table that belongs to the engine. */
function openingStatement({ name, sql }: SchemaEntry): string | undefined {
  if (name === "sqlite_sequence") return "DELETE FROM sqlite_sequence;";
  if (/^sqlite_stat./.test(name)) return "ANALYZE sqlite_schema;";
  if (name.startsWith("_cf_") || name.startsWith("sqlite_")) return undefined;
  if (/CREATE TABLE ['"]/.test(sql))
    return `CREATE TABLE IF NOT EXISTS ${sql.slice("CREATE TABLE ".length)};`;
  return `${sql};`;
}

function* insertStatements(sql: DumpedDatabase, table: string): Generator<string, void> {
  // table_info leaves out generated columns, which cannot be inserted.
  const columns = sql.exec<Column>(`PRAGMA table_info=${quoteIdentifier(table)}`).toArray();
  const names = columns.map((column) => quoteIdentifier(column.name));
  const opening = `INSERT INTO ${quoteIdentifier(table)} (${names.join(",")}) VALUES(`;
  // The text of this SELECT decides the order of the rows: a covering index may serve it.
  const rows = sql.exec(`SELECT ${names.join(", ")} FROM ${quoteIdentifier(table)};`);
  for (const row of rows.raw()) yield `${opening}${row.map(literal).join(",")});`;
}

function literal(value: Value): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return textLiteral(value);
  if (typeof value !== "number") return `X'${Buffer.from(value).toString("hex")}'`;
  if (Number.isFinite(value)) return `${value === 0 ? 0 : value}`;
  return value > 0 ? "9e999" : "-9e999";
}

/** A literal without line breaks: they become `\n` and `\r`, which also catches a backslash that was there before. */
function textLiteral(text: string): string {
  let quoted = `'${text.replaceAll("'", "''")}'`;
  const carriageReturns = text.includes("\r");
  const lineFeeds = text.includes("\n");
  if (carriageReturns) quoted = `replace(${quoted.replaceAll("\r", "\\r")},'\\r',char(13))`;
  if (lineFeeds) quoted = `replace(${quoted.replaceAll("\n", "\\n")},'\\n',char(10))`;
  return quoted;
}

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
