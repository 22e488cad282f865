import type { SchemaEntry } from "../d1/api.ts";
import type { Failure } from "../failure.ts";
import { StatementScanner } from "../sql/statements.ts";
import type { Hazard } from "./hazards.ts";
import type { SectionKind } from "./sections.ts";

/** D1 refuses to export a database with a virtual table, and such an attempt can leave it busy: so look before. */
export function virtualTables(schema: readonly SchemaEntry[]): string[] {
  return schema
    .filter((entry) => /^\s*CREATE\s+VIRTUAL\s+TABLE/i.test(entry.sql ?? ""))
    .map((entry) => entry.name);
}

/** The tables whose rows a dump must hold: all but those of SQLite's and of D1's own. */
export function dumpedTables(schema: readonly SchemaEntry[]): string[] {
  return schema
    .filter(({ type, name }) => type === "table" && !/^(sqlite_|_cf_)/i.test(name))
    .map(({ name }) => name);
}

/** The parts that a dump of this schema must have behind its tables. */
export function dumpedParts(schema: readonly SchemaEntry[]): SectionKind[] {
  const types = new Set(schema.filter(({ sql }) => sql !== null).map(({ type }) => type));
  return PARTS.filter(([type]) => types.has(type)).map(([, part]) => part);
}

const PARTS = [
  ["index", "indexes"],
  ["trigger", "triggers"],
  ["view", "views"],
] as const satisfies [string, SectionKind][];

export function virtualTablesFailure(names: readonly string[]): Failure {
  const listed =
    names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
  return {
    code: "virtual-tables",
    detail: `D1 cannot export a database with virtual tables (such as FTS5 search). This one has: ${listed}. No export was started.`,
    hint: "This release does not back up virtual tables. To back up the rest, list it in the database's policy under exportOptions.tables: sqlite_sequence and every table, index, trigger and view, except virtual tables, their shadow tables and triggers that write to them. The backup then states what it leaves out.",
    retryable: false,
  };
}

/** What swallows the rest of D1's dump: SQL that ends in a comment which nobody has closed. */
export function openComments(schema: readonly SchemaEntry[]): string[] {
  return schema
    .filter(({ sql }) => sql !== null && scanned(sql).inBlockComment)
    .map(({ name, type }) => `${type} ${name}`);
}

export function openCommentsFailure(entries: readonly string[]): Failure {
  return {
    code: "open-comment",
    detail: `The SQL of ${entries.slice(0, 5).join(", ")} ends in an unclosed "/*" comment, which would swallow what follows it in D1's dump. No export was started.`,
    hint: "Recreate it without the comment, or with a */ at its end.",
    retryable: false,
  };
}

/**
 * What D1's dump will hold but not give back. A view whose SQL ends in a line comment swallows its own semicolon in
 * the dump, and with it the statement behind it. SQL that is not UTF-8 comes to us as it comes into the dump.
 */
export function schemaHazards(schema: readonly SchemaEntry[]): Hazard[] {
  return schema.flatMap(({ name, type, sql }) => {
    const hazards: Hazard[] = [];
    if (sql !== null && endsInComment(sql)) {
      hazards.push({
        kind: "commented-semicolon",
        table: name,
        count: 1,
        detail: `The ${type}'s SQL ends in a "--" comment, which swallows its semicolon in D1's dump. The commands in RESTORE.md restore it; without them, this statement and the next fail to load.`,
      });
    }
    if (sql?.includes("\uFFFD") === true) {
      hazards.push({
        kind: "replaced-sql",
        table: name,
        count: null,
        detail: `The ${type}'s SQL contains the replacement character U+FFFD. Either it was written so, or a part of it, such as a DEFAULT, was not UTF-8 and D1's dump has U+FFFD in its place.`,
      });
    }
    return hazards;
  });
}

function endsInComment(sql: string): boolean {
  return scanned(sql).endsInCommentedSemicolon;
}

function scanned(sql: string): StatementScanner {
  const scanner = new StatementScanner(() => undefined);
  scanner.scan(new TextEncoder().encode(`${sql};`));
  return scanner;
}
