import { z } from "zod";
import {
  alteredText,
  hasReplacement,
  holdsIntegers,
  holdsWholeReals,
  isLargeInteger,
  replacements,
  roundedInteger,
  wholeReal,
} from "./altered-values.ts";
import type { Affinity, ExaminedTable } from "./table-columns.ts";

const count = z.number().int().nonnegative();

/** The answer to `alteredQuestion`: rows, but where it says otherwise. */
export const countsSchema = z.object({
  total: count,
  /** With text that holds a line break and a literal `\n` or `\r`. */
  text: count,
  /** With an integer that is printed as another number. */
  integers: count,
  /** With a whole REAL that comes back as an integer. */
  reals: count,
  /** That get another rowid. */
  renumbered: count,
  /** With U+FFFD in their text in the database itself; and how many of those characters there are. */
  replacementRows: count,
  replacements: count,
  /** The SQL of the table and its indexes, where a value is altered; else null. */
  rules: z.string().nullable(),
});
export type AlteredCounts = z.infer<typeof countsSchema>;

const TEXT = 1;
const WHOLE_REAL = 2;

/** D1 gives no more columns, not even inside of a statement. */
const MOST_COLUMNS = 100;

/**
 * Counts the rows of a table, and those that its dump alters, in one pass. D1 bounds a statement: 100 columns, 100,000
 * bytes, expressions 100 levels deep. So columns get short names, and what takes more SQL is written once, for all
 * columns, and worked out only for rows that need it.
 *
 * A dump holds no rowids: its rows get 1, 2, 3 … in the order in which SQLite has found them. The scan here reads each
 * column that the dump's does, so that SQLite takes the same way through the table.
 */
export function alteredQuestion({ name, columns, rowid }: ExaminedTable): string {
  const isNumbered = rowid !== null;
  const hasRoom = columns.length + (isNumbered ? 1 : 0) <= MOST_COLUMNS;
  const values = columns.map((column, index) => (hasRoom ? `c${index}` : quoted(column.name)));
  const aliases = columns.map((column, index) => `${quoted(column.name)} AS c${index}`);
  const scan = `(SELECT ${aliases.join(",")}${isNumbered ? `,${rowid} AS r` : ""} FROM ${quoted(name)})`;
  const flags = balanced(
    columns.map(({ affinity }, index) => flagsOf(values[index] ?? "", affinity)),
    "|",
  );
  const integers = values.filter((_, index) => holdsIntegers(columns[index]?.affinity ?? "BLOB"));
  const each = (some: readonly string[]): string =>
    `WITH each(v) AS (VALUES ${some.map((value) => `(${value})`).join(",")})`;
  const rounded =
    integers.length === 0
      ? "0"
      : `CASE WHEN ${balanced(integers.map(isLargeInteger), " OR ")} THEN EXISTS (${each(integers)} SELECT 1 FROM each WHERE ${isLargeInteger("v")} AND ${roundedInteger("v")}) ELSE 0 END`;
  const replaced = `CASE WHEN ${balanced(values.map(hasReplacement), " OR ")} THEN (${each(values)} SELECT sum(${replacements("v")}) FROM each WHERE ${hasReplacement("v")}) ELSE 0 END`;
  // LIMIT keeps SQLite from working these out anew wherever they are used.
  const rows = `SELECT ${flags} AS flags,${rounded} AS rounded,${replaced} AS replaced${isNumbered ? `,${hasRoom ? "r" : rowid} AS r` : ""}
FROM ${hasRoom ? scan : quoted(name)} LIMIT -1`;
  const numbered = `SELECT flags,rounded,replaced,r,row_number() OVER () AS n FROM (${rows})`;
  const rules = `SELECT group_concat(sql,char(10,59,10)) FROM sqlite_schema WHERE tbl_name=${inQuotes(name)} AND type IN ('table','index')`;
  return `SELECT count(*) AS total, count(nullif(flags & ${TEXT}, 0)) AS text, count(nullif(rounded, 0)) AS integers,
  count(nullif(flags & ${WHOLE_REAL}, 0)) AS reals, ${isNumbered ? "count(nullif(r<>n, 0))" : "0"} AS renumbered,
  count(nullif(replaced, 0)) AS replacementRows, ifnull(sum(replaced), 0) AS replacements,
  CASE WHEN max(flags OR rounded) THEN (${rules}) END AS rules
FROM (${isNumbered ? numbered : rows})`;
}

function flagsOf(value: string, affinity: Affinity): string {
  const real = holdsWholeReals(affinity) ? ` WHEN 'real' THEN ${WHOLE_REAL}*${wholeReal(value)}` : "";
  return `(CASE typeof(${value}) WHEN 'text' THEN ${TEXT}*${alteredText(value)}${real} ELSE 0 END)`;
}

/** Joined as a balanced tree, which is not deep. */
function balanced(terms: readonly string[], operator: string): string {
  if (terms.length <= 1) return terms[0] ?? "0";
  const middle = terms.length >> 1;
  return `(${balanced(terms.slice(0, middle), operator)}${operator}${balanced(terms.slice(middle), operator)})`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function inQuotes(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
