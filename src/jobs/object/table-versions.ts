/** The part of an object's SQLite that this needs. */
interface Sql {
  exec(query: string, ...bindings: (string | number)[]): { toArray(): Record<string, unknown>[] };
}

/**
 * Creates a store's tables, or updates those of an earlier release: each step is SQL that runs once, in the order of
 * the list, and the storage records how many have run. Never change a released step; add a new one. Steps only add, so
 * that an earlier release still finds everything that it knows after a rollback.
 *
 * Call it without an await before or after it in the same turn: a turn's writes are stored together or not at all.
 */
export function upgradeTables(sql: Sql, store: string, steps: readonly string[]): void {
  sql.exec("CREATE TABLE IF NOT EXISTS schema_version (store TEXT PRIMARY KEY, version INTEGER NOT NULL)");
  const [row] = sql.exec("SELECT version FROM schema_version WHERE store = ?", store).toArray();
  const before = Number(row?.["version"] ?? 0);
  if (before >= steps.length) return;
  for (const step of steps.slice(before)) sql.exec(step);
  sql.exec("INSERT OR REPLACE INTO schema_version (store, version) VALUES (?, ?)", store, steps.length);
}
