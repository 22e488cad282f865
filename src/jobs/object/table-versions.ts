/** As much of an object's SQLite as this needs. */
interface Sql {
  exec(query: string, ...bindings: (string | number)[]): { toArray(): Record<string, unknown>[] };
}

/**
 * Makes a store's tables, or brings those of an earlier release up to date: each step is SQL that runs once, in the
 * order of the list, and the storage remembers how many have run. A step that was released is never changed; what is
 * to be different is a new step. Steps only add, so that a release that was rolled back finds all that it knows.
 *
 * To be called without an await before or after it in the same turn: a turn's writes are kept together or not at all.
 */
export function upgradeTables(sql: Sql, store: string, steps: readonly string[]): void {
  sql.exec("CREATE TABLE IF NOT EXISTS schema_version (store TEXT PRIMARY KEY, version INTEGER NOT NULL)");
  const [row] = sql.exec("SELECT version FROM schema_version WHERE store = ?", store).toArray();
  const before = Number(row?.["version"] ?? 0);
  if (before >= steps.length) return;
  for (const step of steps.slice(before)) sql.exec(step);
  sql.exec("INSERT OR REPLACE INTO schema_version (store, version) VALUES (?, ?)", store, steps.length);
}
