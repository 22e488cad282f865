import { LONGEST_STATEMENT } from "../../../src/core/d1/limits.ts";
import type { Scanned } from "../../../src/core/dump/tally.ts";
import type { StatementKind } from "../../../src/core/sql/statement-head.ts";
import { reference } from "./client.ts";
import { identifier } from "./random-database.ts";

/** Without these, a dump's parts that the options leave out. */
export interface DumpOptions {
  readonly noSchema: boolean;
  readonly noData: boolean;
}

export interface ExpectedStatement {
  readonly kind: StatementKind;
  readonly table: string | null;
}

type Mark = Scanned["marks"][number];

/** A table as the database itself counts it. */
interface CountedTable {
  readonly name: string;
  readonly rows: number;
  readonly marked: readonly Mark[];
}

const MARKS = {
  nul: (column: string) => `typeof(${column}) = 'text' AND instr(CAST(${column} AS BLOB), x'00')`,
  infinity: (column: string) => `typeof(${column}) = 'real' AND abs(${column}) > 1.7976931348623157e308`,
  rounded: (column: string) =>
    `typeof(${column}) = 'integer' AND (${column} > 9007199254740991 OR ${column} < -9007199254740991)
      OR typeof(${column}) = 'real' AND abs(${column}) BETWEEN 9007199254740992.0 AND 9223372036854775808.0`,
} satisfies Partial<Record<Mark[0], (column: string) => string>>;

/** The statements that a dump must consist of, as SQL counts them. */
export async function expectedStatements(options: DumpOptions): Promise<{
  statements: ExpectedStatement[];
  tables: CountedTable[];
}> {
  const entries = await rowsOf<{ type: string; name: string }>(
    "SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name = 'sqlite_sequence', rowid",
  );
  const statements: ExpectedStatement[] = [{ kind: "other", table: null }];
  const tables: CountedTable[] = [];
  for (const { name } of entries.filter(
    ({ type, name: table }) => type === "table" && !table.startsWith("_cf_"),
  )) {
    const isInternal = name.startsWith("sqlite_");
    if (!options.noSchema) {
      statements.push(isInternal ? { kind: "other", table: null } : { kind: "create-table", table: name });
    }
    const counted = options.noData ? { name, rows: 0, marked: [] } : await countTable(name);
    for (let row = 0; row < counted.rows; row++) statements.push({ kind: "insert", table: name });
    if (!options.noSchema || counted.rows > 0) tables.push(counted);
  }
  for (const kind of options.noSchema ? [] : (["index", "trigger", "view"] as const)) {
    for (const { type } of entries) if (type === kind) statements.push({ kind, table: null });
  }
  return { statements, tables };
}

/** Columns that are not computed: those that a dump holds. */
export async function storedColumns(table: string): Promise<string[]> {
  const columns = await rowsOf<{ name: string }>(`PRAGMA table_info(${identifier(table)})`);
  return columns.map(({ name }) => name);
}

async function countTable(name: string): Promise<CountedTable> {
  const columns = (await storedColumns(name)).map(identifier);
  const kinds = Object.entries(MARKS).map(([kind, condition]) => {
    const conditions = columns.map((column) => `(${condition(column)})`);
    return `count(CASE WHEN ${conditions.join(" OR ")} THEN 1 END) AS ${kind}`;
  });
  const [counts] = await rowsOf<Record<string, number>>(
    `SELECT count(*) AS "rows", ${kinds.join(", ")} FROM ${identifier(name)}`,
  );
  // The keys of MARKS are kinds of marks.
  const marked = (Object.keys(MARKS) as (keyof typeof MARKS)[]).map((kind): Mark => [
    kind,
    name,
    counts?.[kind] ?? 0,
  ]);
  return { name, rows: counts?.["rows"] ?? 0, marked: marked.filter(([, , count]) => count > 0) };
}

/** All that must have been seen of a dump with these parts. */
export function expectedScan(
  statements: readonly ExpectedStatement[],
  tables: readonly CountedTable[],
  starts: readonly number[],
  parts: readonly string[],
): Omit<Scanned, "missingSemicolons"> {
  const startOf = (kind: StatementKind): number | null =>
    starts[statements.findIndex((statement) => statement.kind === kind)] ?? null;
  const oversize = new Map<string | null, number>();
  const replaced = new Map<string, number>();
  const characters = new Map<string, number>();
  for (const [index, { kind, table }] of statements.entries()) {
    const part = parts[index] ?? "";
    const owner = kind === "insert" ? table : null;
    if (new TextEncoder().encode(part).length > LONGEST_STATEMENT) countMore(oversize, owner, 1);
    const replacements = part.split("\uFFFD").length - 1;
    if (owner === null || replacements === 0) continue;
    countMore(replaced, owner, 1);
    countMore(characters, owner, replacements);
  }
  return {
    rows: tables.filter(({ name }) => !name.startsWith("sqlite_")).map(({ name, rows }) => [name, rows]),
    marks: [
      ...[...oversize].map(([table, count]): Mark => ["oversize", table, count]),
      ...[...replaced].map(([table, rows]): Mark => ["replaced", table, rows]),
      ...tables.flatMap(({ marked }) => marked),
    ],
    replacements: [...characters],
    starts: { indexes: startOf("index"), triggers: startOf("trigger"), views: startOf("view") },
  };
}

function countMore<Key>(counts: Map<Key, number>, key: Key, more: number): void {
  counts.set(key, (counts.get(key) ?? 0) + more);
}

export async function rowsOf<T extends object>(sql: string): Promise<T[]> {
  return (await reference().prepare(sql).all<T>()).results;
}
