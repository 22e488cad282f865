import type { UnsealedManifest } from "../backup/manifest.ts";
import { LONGEST_STATEMENT } from "../d1/limits.ts";
import { block, inDoubleQuotes, plural, SQLITE } from "./shell.ts";

/** D1 also limits the size of one query: it refuses programs of more than 25,000 steps. */
const TABLES_A_QUESTION = 200;

/** Step 4, and the files with its queries: short enough for D1, and for a command's argument. */
export interface Comparison {
  readonly paragraphs: readonly string[];
  readonly files: readonly string[];
}

/** Prints the tables that differ, or says why there is nothing to compare. */
export function comparisonOf({ tables, exportOptions }: UnsealedManifest): Comparison {
  if (exportOptions.noData) return { paragraphs: ["This backup has no rows."], files: [] };
  const counted = tables.flatMap(({ name, rows }) => (rows === null ? [] : [{ name, rows }]));
  // A name with a line break does not fit on one line of this file.
  const printable = counted.filter(({ name }) => !/\p{Cc}/u.test(name));
  if (printable.length === 0) return { paragraphs: ["No rows were counted while copying."], files: [] };
  const questions = inQuestions(printable.map(({ name, rows }) => rowOf(name, rows)));
  const files = questions.map((_, index) => `compare-${String(index + 1).padStart(3, "0")}.sql`);
  const left = counted.length - printable.length;
  const leftOut =
    left === 0 ? "" : ` Left out: ${plural(left, "table")} with a control character in the name.`;
  const text = `This prints a line for each table that differs: its name, its rows in the backup, its rows in \`restored.db\`.${leftOut}`;
  const commands = block(
    ...questions.flatMap((rows, index) => [
      // The VALUES get no name, because it could equal a table's name.
      `printf '%s\\n' "SELECT column1, column2, column3 FROM (VALUES`,
      ...rows.map((row, at) => (at === rows.length - 1 ? `${row})` : `${row},`)),
      `WHERE column2 <> column3;" > ${files[index]}`,
    ]),
    `if differing=$(cat ${files.join(" ")} | ${SQLITE} -bail -list -noheader restored.db) && [ -z "$differing" ]; then`,
    "  echo 'Every table has as many rows as the backup.'",
    `else echo "$differing"; false; fi`,
  );
  return { paragraphs: [text, commands], files };
}

function rowOf(name: string, rows: number): string {
  const literal = inDoubleQuotes(`'${name.replaceAll("'", "''")}'`);
  return `  (${literal}, ${rows}, (SELECT count(*) FROM ${inDoubleQuotes(sqlName(name))}))`;
}

/** Quoted with brackets if possible, because the shell's double quotes surround it. */
function sqlName(name: string): string {
  return name.includes("]") ? `"${name.replaceAll('"', '""')}"` : `[${name}]`;
}

function inQuestions(rows: readonly string[]): string[][] {
  const questions: string[][] = [];
  let bytes = 0;
  for (const row of rows) {
    // The text as the shell reads it, which is never shorter than what the shell makes of it.
    const size = new TextEncoder().encode(row).length + 2;
    const last = questions.at(-1);
    if (last === undefined || last.length >= TABLES_A_QUESTION || bytes + size > LONGEST_STATEMENT - 1_000) {
      questions.push([row]);
      bytes = size;
    } else {
      last.push(row);
      bytes += size;
    }
  }
  return questions;
}
