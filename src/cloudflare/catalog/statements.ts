import { isUuid } from "../../core/bucket/object-keys.ts";
import { describeException, failed, ok, type Result } from "../../core/failure.ts";
import type { Cursor, Page } from "../../core/page.ts";

/**
 * A list's conditions, each only when it is asked for: an index that would serve one question serves no statement that
 * asks them all with OR.
 */
export class Conditions {
  readonly values: string[] = [];
  readonly #terms: string[] = [];

  add(term: string, ...values: readonly string[]): void {
    this.#terms.push(term);
    this.values.push(...values);
  }

  /** By UUID or by name, each of which has its index. D1 writes UUIDs in lower case. */
  ofDatabase(nameOrId: string): void {
    if (isUuid(nameOrId)) this.add("database_id = ?", nameOrId.toLowerCase());
    else this.add("database_name = ?", nameOrId);
  }

  get sql(): string {
    return this.#terms.length === 0 ? "" : `WHERE ${this.#terms.join(" AND ")}`;
  }
}

/** A page of `limit` of the `limit + 1` rows that were asked for, and the cursor behind its last row. */
export function page<Row, Item>(
  rows: Row[],
  limit: number,
  key: (row: Row) => Cursor,
  item: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(item), cursor: rows.length > limit && last !== undefined ? key(last) : null };
}

/** The catalogue is written between two polls of an export, which must not come late. */
const PATIENCE_MS = 5_000;

export async function attempt<T>(operation: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<Result<T>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${patienceMs / 1_000} s`)), patienceMs);
  });
  try {
    return ok(await Promise.race([operation(), late]));
  } catch (error) {
    return failed({
      code: "catalog-unavailable",
      detail: `The catalogue did not answer: ${describeException(error)}`,
      hint: "Backups continue without it. If its tables are missing, run `npm run deploy` (or `wrangler d1 migrations apply CATALOG --remote`).",
      retryable: true,
    });
  } finally {
    clearTimeout(timer);
  }
}
