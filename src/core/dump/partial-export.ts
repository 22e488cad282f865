import { z } from "zod";
import type { SchemaEntry } from "../d1/api.ts";
import type { ExportOptions } from "../d1/export-options.ts";
import type { Failure } from "../failure.ts";
import type { Hazard } from "./hazards.ts";

/**
 * What a database's policy leaves out of its dumps. D1 writes a table, index, trigger or view only if its own name is
 * among `tables`, letter by letter, or when that list is empty.
 */

/** A part of the database that its backup does not hold, with its DDL. */
export const partNotExportedSchema = z.object({
  name: z.string(),
  kind: z.string(),
  sql: z.string(),
  reason: z.string(),
});
export type PartNotExported = z.infer<typeof partNotExportedSchema>;

/** What of the schema D1 is asked for. */
export function exportedSchema(schema: readonly SchemaEntry[], { tables }: ExportOptions): SchemaEntry[] {
  const names = new Set(tables);
  return schema.filter(({ name }) => names.size === 0 || names.has(name));
}

/** An index or a trigger, and the table (or view) that it belongs to. */
export interface Belonging {
  readonly name: string;
  readonly table: string;
}

/** Why a dump with these options would not be what somebody wanted; null when nothing speaks against it. */
export function exportOptionsFailure(
  schema: readonly SchemaEntry[],
  belongings: readonly Belonging[],
  options: ExportOptions,
): Failure | null {
  if (options.noData && options.noSchema) return nothingLeft();
  const missing = options.tables.filter(
    (name) => !schema.some((entry) => entry.name === name && isDumped(entry, options)),
  );
  if (missing.length > 0) return tablesNotFound(missing, schema, options);
  const named = new Set(options.tables.map((name) => name.toLowerCase()));
  const alone = belongings.find(
    ({ name, table }) => options.tables.includes(name) && !named.has(table.toLowerCase()),
  );
  if (alone === undefined) return null;
  return {
    ...NOT_FOUND,
    detail: `exportOptions.tables lists ${alone.name}, but not ${alone.table}, to which it belongs. Such a dump could not be loaded, so no export was started.`,
    hint: "List both in the database's policy, or neither.",
  };
}

/** D1 dumps neither what SQLite makes by itself nor its own tables; of SQLite's bookkeeping it dumps the rows. */
function isDumped({ type, name, sql }: SchemaEntry, { noSchema }: ExportOptions): boolean {
  if (sql === null || /^_cf_/i.test(name)) return false;
  if (/^sqlite_/i.test(name) && !/^sqlite_(sequence$|stat)/i.test(name)) return false;
  return type === "table" || !noSchema;
}

const NOT_FOUND = { code: "table-not-found", retryable: false } as const;

function tablesNotFound(
  missing: readonly string[],
  schema: readonly SchemaEntry[],
  { noSchema }: ExportOptions,
): Failure {
  const [first = ""] = missing;
  const alike = schema.find(({ name }) => name.toLowerCase() === first.toLowerCase() && name !== first);
  const others = missing.length > 5 ? ` and ${missing.length - 5} more` : "";
  const what = noSchema ? "tables" : "tables, indexes, triggers and views";
  return {
    ...NOT_FOUND,
    detail: `exportOptions.tables lists names that D1 cannot dump: ${missing.slice(0, 5).join(", ")}${others}. No export was started.`,
    hint:
      alike === undefined
        ? `Correct the database's policy: list its ${what} by their exact names in the schema.`
        : `Correct the database's policy: names are case-sensitive, and the schema has ${alike.name}.`,
  };
}

function nothingLeft(): Failure {
  return {
    code: "configuration",
    detail:
      "The database's policy leaves out both rows (noData) and schema (noSchema). No export was started.",
    hint: "Set one of the two to false in the database's policy, or in the default policy that it follows.",
    retryable: false,
  };
}

/** A manifest is read whole, and a run's state is stored whole: SQL that is longer in all is not kept in them. */
const SQL_KEPT = 256 * 1024;

/** The parts of the database that `tables` does not list. */
export function leftOut(schema: readonly SchemaEntry[], options: ExportOptions): PartNotExported[] {
  const exported = new Set(exportedSchema(schema, options));
  let kept = 0;
  return schema
    .filter((entry) => isDumped(entry, options) && !exported.has(entry))
    .map(({ type, name, sql }) => {
      const reason = "exportOptions.tables does not list it";
      kept += sql?.length ?? 0;
      if (kept <= SQL_KEPT) return { name, kind: type, sql: sql ?? "", reason };
      return { name, kind: type, sql: "", reason: `${reason}; its SQL is too long to keep here` };
    });
}

export const PARTIAL = "partial";

/** The hazard that marks a partial backup, so that nobody mistakes it for a complete one. */
export function partialHazards(options: ExportOptions, notExported: PartNotExported[]): Hazard[] {
  const said = partsLeftOut(options, notExported.length);
  if (said.length === 0) return [];
  const detail = `Partial backup, as the database's policy (exportOptions) says: ${said.join("; ")}.`;
  return [{ kind: PARTIAL, table: null, count: null, detail }];
}

/** What a backup with these options lacks, in words; empty for a complete backup. */
export function partsLeftOut({ noData, noSchema, tables }: ExportOptions, notExported: number): string[] {
  const others = notExported === 1 ? "1 other is" : `${notExported} others are`;
  return [
    ...(noData ? ["it has no rows"] : []),
    ...(noSchema ? ["it has only rows, and no tables, indexes, triggers or views"] : []),
    ...(tables.length > 0
      ? [`it has only the listed tables, indexes, triggers and views; ${others} not in it`]
      : []),
  ];
}

/** Rows per table for the manifest. Without CREATE statements, a table without rows does not appear in the dump. */
export function rowsOfDump(
  scanned: readonly (readonly [string, number])[],
  tables: readonly string[],
  { noData, noSchema }: ExportOptions,
): [string, number | null][] {
  if (noData) return scanned.map(([name]) => [name, null]);
  const seen = new Set(scanned.map(([name]) => name));
  const empty = noSchema ? tables.filter((name) => !seen.has(name)) : [];
  return [
    ...scanned.map(([name, rows]): [string, number] => [name, rows]),
    ...empty.map((name): [string, number] => [name, 0]),
  ];
}
