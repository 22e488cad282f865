/** A value as JSON can carry it: a blob is a list of its bytes. */
export type Cell = string | number | null | number[];

/** The value as a parameter of a statement. */
export function bindable(value: Cell): SqlStorageValue {
  return Array.isArray(value) ? new Uint8Array(value).buffer : value;
}

/** The value as a cell of a result. */
export function cell(value: SqlStorageValue): Cell {
  return value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value;
}

/** The rows as objects, as `query` gives them. Of columns with the same name, the last one counts. */
export function rowsAsObjects(columns: readonly string[], rows: readonly Cell[][]): Record<string, Cell>[] {
  return rows.map((row) => Object.fromEntries(columns.map((name, index) => [name, row[index] ?? null])));
}
