import type { UnsealedManifest } from "../backup/manifest.ts";
import { LONGEST_STATEMENT } from "../d1/limits.ts";
import { block, inDoubleQuotes, plural, SQLITE } from "./shell.ts";

/** D1 also bounds how much one question may ask: it refuses programs of more than 25,000 steps. */
const TABLES_A_QUESTION = 200;

/** Step 4, and the files with its questions: short enough for D1, and for a command's argument. */
export interface Comparison {
  readonly paragraphs: readonly string[];
  readonly files: readonly string[];
}

/** Prints the tables that differ; says why when there is nothing to compare. */
export function comparisonOf({ tables, exportOptions }: UnsealedManifest): Comparison {
  if (exportOptions.noData) return { paragraphs: ["This backup holds no rows."], files: [] };
  const counted = tables.flatMap(({ name, rows }) => (rows === null ? [] : [{ name, rows }]));
  // A line break cannot stand in a line of this file.
  const printable = counted.filter(({ name }) => !/\p{Cc}/u.test(name));
  if (printable.length === 0) return { paragraphs: ["No rows were counted while copying."], files: [] };
  const questions = inQuestions(printable.map(({ name, rows }) => rowOf(name, rows)));
  const files = questions.map((_, index) => `compare-${String(index + 1).padStart(3, "0")}.sql`);
  const left = counted.length - printable.length;
  const leftOut =
    left === 0 ? "" : ` Left out: ${plural(left, "table")} with a control character in the name.`;
  const text = `A line that this prints is a table that differs: its name, the rows in the backup, the rows found.${leftOut}`;
  const commands = block(
    ...questions.flatMap((rows, index) => [
      // Without a name of its own, which could be taken for a table's.
      `printf '%s\\n' "SELECT column1, column2, column3 FROM (VALUES`,
      ...rows.map((row, at) => (at === rows.length - 1 ? `${row})` : `${row},`)),
      `WHERE column2 <> column3;" > ${files[index]}`,
    ]),
    `if differing=$(cat ${files.join(" ")} | ${SQLITE} -bail -list -noheader restored.db) && [ -z "$differing" ]; then`,
    "  echo 'Every table has the rows that were counted.'",
    `else echo "$differing"; false; fi`,
  );
  return { paragraphs: [text, commands], files };
}

function rowOf(name: string, rows: number): string {
  const literal = inDoubleQuotes(`'${name.replaceAll("'", "''")}'`);
  return `  (${literal}, ${rows}, (SELECT count(*) FROM ${inDoubleQuotes(sqlName(name))}))`;
}

/** In brackets where they do, because a shell's double quotes are around it. */
function sqlName(name: string): string {
  return name.includes("]") ? `"${name.replaceAll('"', '""')}"` : `[${name}]`;
}

function inQuestions(rows: readonly string[]): string[][] {
  const questions: string[][] = [];
  let bytes = 0;
  for (const row of rows) {
    // As it stands in the shell: never shorter than what the shell makes of it.
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
