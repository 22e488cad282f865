const DEFERS = /\bdefer_foreign_keys\b/i;

/** Whether the statement puts the check of foreign keys off to the end of the transaction. */
export function defersForeignKeys(statement: string): boolean {
  return DEFERS.test(statement);
}

/**
 * Throws what D1 says when rows refer to nothing at the end of a transaction. The storage of a Durable Object finds out
 * only while it commits, and then breaks the whole object instead of rolling back.
 */
export function checkForeignKeys(sql: SqlStorage): void {
  const tables = sql
    .exec<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%'")
    .toArray();
  for (const { name } of tables) {
    if (violates(sql, name)) throw new Error("FOREIGN KEY constraint failed: SQLITE_CONSTRAINT");
  }
}

function violates(sql: SqlStorage, table: string): boolean {
  try {
    const rows = sql.exec(`PRAGMA foreign_key_check("${table.replaceAll('"', '""')}")`).toArray();
    return rows.length > 0;
  } catch {
    // "foreign key mismatch": the parent has no such key. That is an error once there is a row, and not before.
    return false;
  }
}
