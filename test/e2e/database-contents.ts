import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import type { Database, EmulatedAccount } from "../../scripts/real-backups.ts";

/** Asks a database for the first column of a query, as text. */
export type Ask = (sql: string) => Promise<string[]>;

export interface Contents {
  /** Everything that CREATE made; line breaks and spaces at its end are left out, for they mean nothing. */
  readonly schema: readonly string[];
  /** The rows of each table, SQLite's own bookkeeping included, in an order of their own. */
  readonly tables: Readonly<Record<string, readonly string[]>>;
}

/** All that a database holds. */
export async function contentsOf(ask: Ask): Promise<Contents> {
  const schema = await ask(
    `SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || coalesce(rtrim(sql, ' ' || char(10)), 'made by SQLite') FROM sqlite_master WHERE name NOT GLOB '_cf_*' ORDER BY type, name`,
  );
  const tables: Record<string, string[]> = {};
  for (const name of await ask(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf_*'",
  )) {
    const columns = await ask(
      `SELECT name FROM pragma_table_xinfo('${name.replaceAll("'", "''")}') ORDER BY cid`,
    );
    const row = columns.map((column) => exact(`"${column.replaceAll('"', '""')}"`)).join(" || ' ' || ");
    tables[name] = await ask(`SELECT ${row} FROM "${name.replaceAll('"', '""')}" ORDER BY 1`);
  }
  return { schema, tables };
}

/** quote() would end a text at a NUL character, and writes infinity differently in different releases. */
function exact(column: string): string {
  return `CASE WHEN typeof(${column}) = 'text' THEN 'text:' || hex(${column}) WHEN ${column} = 9e999 THEN 'infinite' ELSE quote(${column}) END`;
}

export function askEmulator(account: EmulatedAccount, database: Database): Ask {
  return async (sql) => (await account.rows(database, sql)).map(([first]) => z.string().parse(first));
}

/** Asks a database in a file, as it is whenever a question is asked. */
export function askFile(file: string): Ask {
  return async (sql) => rowsOf(file, sql).map(([first]) => z.string().parse(first));
}

/** The rows of one query, as lists of their columns. */
export function rowsOf(file: string, sql: string): unknown[][] {
  return inFile(file, (database) =>
    database
      .prepare(sql)
      .all()
      .map((row) => Object.values(row)),
  );
}

/** Runs statements in a database, which is made when it is not there. */
export function execute(file: string, ...statements: readonly string[]): void {
  inFile(file, (database) => database.exec(statements.join("\n")));
}

/** With what D1's dumps need: strings in double quotes, and children before their parents. */
function inFile<T>(file: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(file, {
    enableDoubleQuotedStringLiterals: true,
    enableForeignKeyConstraints: false,
  });
  try {
    return use(database);
  } finally {
    database.close();
  }
}
