import type { Hazard } from "../dump/hazards.ts";
import type { AlteredCounts } from "./question.ts";
import { tableRules } from "./table-rules.ts";

const ALTERED = [
  [
    "text",
    "altered-text",
    "Rows with text that contains both a line break and a literal \\n or \\r: D1's dump turns the literal one into a line break, too.",
  ],
  ["integers", "altered-integers", "Rows with an integer beyond 2^53 that D1's dump has rounded."],
  [
    "reals",
    "altered-reals",
    "Rows with a whole floating-point number, such as 4.0, in a column whose type does not restore it: D1's dump has 4, which is loaded as an integer.",
  ],
] as const satisfies [keyof AlteredCounts, string, string][];

/** The hazards that the answer about a table reveals. They have names, counts and kinds of rules, but no row's content. */
export function alteredHazards(table: string, counts: AlteredCounts): Hazard[] {
  const rules = counts.rules === null ? [] : tableRules(counts.rules);
  const altered = ALTERED.map(([key, kind, detail]) => ({
    kind,
    table,
    count: counts[key],
    detail: `${detail}${mayBreak(rules)}`,
  }));
  const renumbered = { kind: "renumbered-rows", table, count: counts.renumbered, detail: RENUMBERED };
  return [...altered, renumbered].filter(({ count }) => count > 0);
}

const RENUMBERED =
  "Rows that get another rowid when the dump is loaded, because the dump has no rowids and the table has no INTEGER PRIMARY KEY. This only matters if something refers to these rowids, such as a full-text index (content_rowid), another table or your application.";

function mayBreak(rules: readonly string[]): string {
  if (rules.length === 0) return "";
  return ` If such a value breaks a rule of its table (it has: ${rules.join(", ")}), the row is refused when the dump is loaded. The commands in RESTORE.md then load all other rows and list the refused ones.`;
}

export const NOT_EXAMINED = "not-examined";

/** For one table, or for all tables that were not asked about. */
export function notExamined(why: string, table: string | null = null): Hazard {
  const what = table === null ? "" : " in this table";
  return {
    kind: NOT_EXAMINED,
    table,
    count: null,
    detail: `d1-nightly could not ask the database for values that D1's dumps alter${what}: ${why} The backup itself is complete.`,
  };
}

/** So many findings name their table. Further ones are summed up by kind, because a run's state must stay small. */
const MOST_NAMED = 500;

/** Adds more findings to those so far. */
export function withFindings(found: readonly Hazard[], more: readonly Hazard[]): Hazard[] {
  const all = [...found];
  for (const hazard of more) {
    if (hazard.table === null || all.filter(({ table }) => table !== null).length < MOST_NAMED) {
      all.push(hazard);
      continue;
    }
    const further = `In further tables, too many to list; the count is of ${hazard.count === null ? "tables" : "rows"}.`;
    const at = all.findIndex(({ kind, detail }) => kind === hazard.kind && detail.startsWith(further));
    const count = (all[at]?.count ?? 0) + (hazard.count ?? 1);
    const detail = all[at]?.detail ?? `${further} ${hazard.detail}`;
    const summed = { ...hazard, table: null, count, detail };
    if (at < 0) all.push(summed);
    else all[at] = summed;
  }
  return all;
}
