import { z } from "zod";

export const exportOptionsSchema = z.object({
  noData: z.boolean(),
  noSchema: z.boolean(),
  tables: z.array(z.string()),
});

export type ExportOptions = z.infer<typeof exportOptionsSchema>;

/** An empty list of tables means all of them. */
export const EVERYTHING: ExportOptions = { noData: false, noSchema: false, tables: [] };

/** Whether both options select the same parts: only then can the two dumps be compared. */
export function sameExport(a: ExportOptions, b: ExportOptions): boolean {
  return a.noData === b.noData && a.noSchema === b.noSchema && sameSet(a.tables, b.tables);
}

export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && new Set([...a, ...b]).size === new Set(a).size;
}
