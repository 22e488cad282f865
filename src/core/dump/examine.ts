import type { Hazard } from "./hazards.ts";

/**
 * Questions to the database itself about values that D1's dumps alter without a trace: text with a real line break
 * and a literal `\n` (or `\r`), and integers beyond 2^53. Each reads every row of its table.
 */
const MAX_SAFE = Number.MAX_SAFE_INTEGER;

/** The columns of these tables, a row each: `table` and `name`. */
export function columnsQuestion(tables: readonly string[]): string {
  const wanted = JSON.stringify(tables).replaceAll("'", "''");
  return `SELECT t.value AS "table", c.name AS name FROM json_each('${wanted}') AS t, pragma_table_info(t.value) AS c`;
}

/** Counts the rows of a table, and those in which some column is altered: `total`, `text` and `integers`. */
export function alteredQuestion(table: string, columns: readonly string[]): string {
  const text = columns.map((column) => alteredText(quoted(column)));
  const integers = columns.map((column) => roundedInteger(quoted(column)));
  const altered = `${countOf(text)} AS text, ${countOf(integers)} AS integers`;
  return `SELECT count(*) AS total, ${altered} FROM ${quoted(table)}`;
}

function countOf(conditions: readonly string[]): string {
  return `count(CASE WHEN ${anyOf(conditions)} THEN 1 END)`;
}

function alteredText(column: string): string {
  const both = (code: number, literal: string): string =>
    `(instr(${column}, char(${code})) AND instr(${column}, '${literal}'))`;
  return `(typeof(${column}) = 'text' AND (${both(10, String.raw`\n`)} OR ${both(13, String.raw`\r`)}))`;
}

function roundedInteger(column: string): string {
  return `(typeof(${column}) = 'integer' AND (${column} > ${MAX_SAFE} OR ${column} < -${MAX_SAFE}))`;
}

/** Joined as a balanced tree: D1 allows expressions only 100 levels deep. */
function anyOf(conditions: readonly string[]): string {
  if (conditions.length <= 1) return conditions[0] ?? "0";
  const middle = conditions.length >> 1;
  return `(${anyOf(conditions.slice(0, middle))} OR ${anyOf(conditions.slice(middle))})`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function alteredHazards(table: string, counts: { text: number; integers: number }): Hazard[] {
  const hazards: Hazard[] = [];
  if (counts.text > 0) {
    hazards.push({
      kind: "altered-text",
      table,
      count: counts.text,
      detail:
        "Rows with text that holds both a real line break and a literal \\n or \\r: D1's dump turns the literal one into a line break too.",
    });
  }
  if (counts.integers > 0) {
    hazards.push({
      kind: "altered-integers",
      table,
      count: counts.integers,
      detail: "Rows with an integer beyond 2^53, which D1's dump holds rounded.",
    });
  }
  return hazards;
}

export const NOT_EXAMINED = "not-examined";

/** Of one table, or of all that were not asked about. */
export function notExamined(why: string, table: string | null = null): Hazard {
  const what = table === null ? "" : " in this table";
  return {
    kind: NOT_EXAMINED,
    table,
    count: null,
    detail: `The database was to be asked for values that D1's dumps alter${what}, but ${why} The backup itself is whole.`,
  };
}

/** So many findings name their table. Those beyond are told in one for each kind: a run's state has to stay small. */
const MOST_NAMED = 500;

/** What was found so far, and more of it. */
export function withFindings(found: readonly Hazard[], more: readonly Hazard[]): Hazard[] {
  const all = [...found];
  for (const hazard of more) {
    if (hazard.table === null || all.filter(({ table }) => table !== null).length < MOST_NAMED) {
      all.push(hazard);
      continue;
    }
    const further = `In further tables, which are too many to be named: so many ${hazard.count === null ? "tables" : "rows"} of them.`;
    const at = all.findIndex(({ kind, detail }) => kind === hazard.kind && detail.startsWith(further));
    const count = (all[at]?.count ?? 0) + (hazard.count ?? 1);
    const detail = all[at]?.detail ?? `${further} ${hazard.detail}`;
    const summed = { ...hazard, table: null, count, detail };
    if (at < 0) all.push(summed);
    else all[at] = summed;
  }
  return all;
}
