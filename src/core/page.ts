/** Where a list goes on: behind the item of this time and id. Opaque to clients. */
export type Cursor = readonly [time: string, id: string];

export function encodeCursor(cursor: Cursor): string {
  return btoa(encodeURIComponent(JSON.stringify(cursor)));
}

/** Null for what is none of ours. */
export function decodeCursor(text: string): Cursor | null {
  try {
    const value: unknown = JSON.parse(decodeURIComponent(atob(text)));
    if (!Array.isArray(value) || value.length !== 2) return null;
    const [time, id]: unknown[] = value;
    return typeof time === "string" && typeof id === "string" ? [time, id] : null;
  } catch {
    return null;
  }
}

export interface Page<T> {
  readonly items: T[];
  readonly cursor: Cursor | null;
}
