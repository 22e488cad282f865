import { z } from "zod";
import { LONGEST_STATEMENT } from "../d1/limits.ts";
import type { SectionKind } from "./sections.ts";
import type { Scanned } from "./tally.ts";

export const hazardSchema = z.object({
  kind: z.string(),
  table: z.string().nullable(),
  count: z.number().int().nonnegative().nullable(),
  detail: z.string(),
  /** When the database itself was asked, for hazards found that way. It may be long before the dump. */
  examinedAt: z.iso.datetime().optional(),
});

const DETAIL: Record<Scanned["marks"][number][0], string> = {
  oversize: `Statements of more than ${LONGEST_STATEMENT} bytes, which D1 refuses to load; sqlite3 loads them.`,
  nul: "Rows with a NUL character in text, at which loading the dump into D1 or sqlite3 stops or cuts the text short.",
  infinity: "Rows with an infinite number, which some readers of SQL do not accept.",
  rounded:
    "Rows with a whole number beyond 2^53. If it was an integer, D1's dump may have rounded it; a floating-point number is unchanged. An examination of the database finds out which.",
  replaced:
    "Rows with the replacement character U+FFFD. Either the text contained it, or it was not UTF-8 (such as half of an emoji) and D1's dump has U+FFFD in its place. An examination of the database finds out which.",
};

/** The scanner's marks as hazards of the manifest. */
export function scanHazards({ marks }: Scanned): Hazard[] {
  return marks.map(([kind, table, count]) => ({ kind, table, count, detail: DETAIL[kind] }));
}

/** The hazard that says that nobody has looked for hazards: a lean backup may have some. */
export function notScanned(): Hazard {
  return {
    kind: "not-scanned",
    table: null,
    count: null,
    detail:
      "A lean backup is not scanned, but for its first line and last byte: its rows were not counted, and nobody has looked for what D1 refuses to load, for text that is not UTF-8, nor for something that D1 never writes into a dump.",
  };
}

/** Expected tables that are missing from the dump. SQLite's table names ignore case. */
export function missingTables(expected: readonly string[], { rows }: Scanned): string[] {
  const seen = new Set(rows.map(([name]) => name.toLowerCase()));
  return expected.filter((name) => !seen.has(name.toLowerCase()));
}

/** Expected parts after the tables that are missing from the dump: they come last, so a truncated dump lacks them. */
export function missingParts(expected: readonly SectionKind[], { starts }: Scanned): SectionKind[] {
  return expected.filter((kind) => kind !== "tables" && starts[kind] === null);
}

/** Tables whose number of rows in the dump differs from what the database counted in the same state. */
export function miscountedTables(
  counted: readonly (readonly [string, number])[],
  rows: readonly (readonly [string, number | null])[],
): string[] {
  const dumped = new Map(rows);
  return counted.filter(([table, count]) => dumped.get(table) !== count).map(([table]) => table);
}

export type Hazard = z.infer<typeof hazardSchema>;
