import { execFile } from "node:child_process";
import { promisify } from "node:util";
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

export function askFile(file: string): Ask {
  const answer = z.array(z.record(z.string(), z.string()));
  return async (sql) => {
    const options = { maxBuffer: 256 * 1024 * 1024 };
    const { stdout } = await promisify(execFile)(
      "sqlite3",
      ["-batch", "-init", "/dev/null", "-json", file, sql],
      options,
    );
    return answer
      .parse(stdout.trim() === "" ? [] : JSON.parse(stdout))
      .map((row) => Object.values(row)[0] ?? "");
  };
}
