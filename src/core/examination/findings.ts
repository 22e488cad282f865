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

/** What the answer about a table says of its dump. Names, counts and kinds of rules: nothing of what its rows hold. */
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
