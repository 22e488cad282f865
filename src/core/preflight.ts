import type { Failure } from "./failure.ts";
import type { SchemaEntry } from "./ports.ts";

/** D1 refuses to export a database with a virtual table, and such an attempt can leave it busy: so look before. */
export function virtualTables(schema: readonly SchemaEntry[]): string[] {
  return schema
    .filter((entry) => /^\s*CREATE\s+VIRTUAL\s+TABLE/i.test(entry.sql ?? ""))
    .map((entry) => entry.name);
}

export function virtualTablesFailure(names: readonly string[]): Failure {
  const listed =
    names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
  return {
    code: "virtual-tables",
    detail: `D1 cannot export a database with virtual tables (such as FTS5 search); here: ${listed}. No export was started.`,
    hint: "This release does not cover such databases yet. Until then: move the virtual table into a database of its own, or drop it before and create it anew after a backup.",
    retryable: false,
  };
}
