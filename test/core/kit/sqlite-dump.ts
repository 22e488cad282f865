import type { DatabaseSync } from "node:sqlite";
import { dumpStatements, type Value } from "../../../emulator/src/dump/dump-statements.ts";

const WHOLE = { noSchema: false, noData: false, tables: [] };

/** The statements of D1's dump of a database of ours: its values go through JavaScript, as D1's do. */
export function dumpOf(database: DatabaseSync): string[] {
  return [...dumpStatements({ exec: (sql) => new Answer(database, sql) }, WHOLE)];
}

class Answer {
  readonly #database: DatabaseSync;
  readonly #sql: string;

  constructor(database: DatabaseSync, sql: string) {
    this.#database = database;
    this.#sql = sql;
  }

  toArray<Row extends Record<string, Value>>(): Row[] {
    // What a column holds is the caller's to know, as with D1.
    return this.#database.prepare(this.#sql).all() as Row[];
  }

  *raw(): Generator<Value[]> {
    const statement = this.#database.prepare(this.#sql);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    // Arrays, because that was asked for.
    for (const row of statement.all() as unknown as unknown[][]) yield row.map(asD1Reads);
  }
}

/** A Durable Object's storage gives integers as numbers, rounded where they are large. */
function asD1Reads(value: unknown): Value {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return value.slice().buffer;
  return value === null || typeof value === "string" || typeof value === "number" ? value : null;
}

/** A statement of a dump as something that the sqlite3 library takes: it ends a statement at a NUL. */
export function loadable(statement: string): string {
  return statement.replaceAll("\0", "'||char(0)||'");
}
