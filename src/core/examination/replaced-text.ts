import { z } from "zod";
import { type Hazard, scanHazards } from "../dump/hazards.ts";
import type { Scanned } from "../dump/tally.ts";
import { REPLACEMENT_CHARACTER } from "./altered-values.ts";
import type { AlteredCounts } from "./question.ts";
import type { ExaminedTable } from "./table-columns.ts";

const count = z.number().int().nonnegative();

/** Of a table: rows with replacement characters in the database itself, and how many characters. */
const genuineSchema = z.tuple([z.string(), count, count]);
export type Genuine = z.infer<typeof genuineSchema>;

/** What was counted in one state of the database: the rows of each table that was asked about. */
export const countedSchema = z.object({
  rows: z.array(z.tuple([z.string(), count])),
  genuine: z.array(genuineSchema),
});
export type Counted = z.infer<typeof countedSchema>;

export const NOT_COUNTED: Counted = { rows: [], genuine: [] };

/** Null where there are none. Names are in each row of a dump, too. */
export function genuineReplacements(
  { name, columns }: ExaminedTable,
  { total, replacementRows, replacements }: AlteredCounts,
): Genuine | null {
  const names = [name, ...columns.map((column) => column.name)].join("");
  const inNames = names.split(REPLACEMENT_CHARACTER).length - 1;
  if (inNames > 0 && total > 0) return [name, total, replacements + inNames * total];
  return replacementRows > 0 ? [name, replacementRows, replacements] : null;
}

/**
 * What the scanner has marked, as the manifest tells it. Of a table that the database was asked about in the same state,
 * a mark that only says that a value may be altered gives way to what is known.
 */
export function dumpHazards(scanned: Scanned, counted: Counted): Hazard[] {
  const asked = new Set(counted.rows.map(([table]) => table));
  return scanHazards(scanned).flatMap((hazard) => {
    if (hazard.table === null || !asked.has(hazard.table)) return [hazard];
    if (hazard.kind === "replaced") return replacedText(hazard.table, hazard.count ?? 0, scanned, counted);
    return hazard.kind === "rounded" ? [] : [hazard];
  });
}

/**
 * In D1's dump at least one U+FFFD stands for each piece of text that is not UTF-8, beside those that were there before.
 * So as many as before means none.
 */
function replacedText(
  table: string,
  marked: number,
  { replacements }: Scanned,
  { genuine }: Counted,
): Hazard[] {
  const dumped = replacements.find(([name]) => name === table)?.[1] ?? 0;
  const [, rows, characters] = genuine.find(([name]) => name === table) ?? [table, 0, 0];
  if (dumped === characters) return [];
  const detail =
    "Rows with text that is not UTF-8, such as half of an emoji: D1's dump has the replacement character U+FFFD in its place. Texts that differed may be equal now. If that breaks a rule of the table, such as UNIQUE, the row is refused when the dump is loaded.";
  if (rows === 0) return [{ kind: "invalid-text", table, count: marked, detail }];
  const uncounted = ` How many rows was not counted, because ${rows} rows of the table contain U+FFFD as it is.`;
  return [{ kind: "invalid-text", table, count: null, detail: detail + uncounted }];
}
