import catalog from "../../../migrations/0001_catalog.sql";
import integrity from "../../../migrations/0002_backup_integrity.sql";
import databases from "../../../migrations/0003_databases.sql";
import care from "../../../migrations/0004_care.sql";

/** The files of migrations/, which wrangler applies; the bundler takes them along as text. */
export const MIGRATIONS: readonly { readonly name: string; readonly sql: string }[] = [
  { name: "0001_catalog.sql", sql: catalog },
  { name: "0002_backup_integrity.sql", sql: integrity },
  { name: "0003_databases.sql", sql: databases },
  { name: "0004_care.sql", sql: care },
];

/** What makes these tables as the migrations make them, and leaves the others as they are. */
export function statementsFor(tables: readonly string[]): string[] {
  return MIGRATIONS.flatMap(({ sql }) => statementsOf(sql)).filter((statement) => {
    const table = /\b(?:CREATE TABLE|ALTER TABLE|ON) (\w+)/.exec(withoutComments(statement))?.[1];
    // An old index, dropped if it is there.
    return table === undefined || tables.includes(table);
  });
}

/** A migration's statements: each ends with a semicolon at the end of a line. */
function statementsOf(sql: string): string[] {
  return sql
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => withoutComments(statement).trim() !== "");
}

function withoutComments(sql: string): string {
  return sql.replace(/--.*$/gm, "");
}

/** Wrangler's own notes of what it has applied: as it makes them, so that it applies nothing twice. */
export const NOTES = `CREATE TABLE IF NOT EXISTS d1_migrations(
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`;
