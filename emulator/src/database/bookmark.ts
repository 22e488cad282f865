import { createHash } from "node:crypto";

const DAY_MS = 86_400_000;

/** How often a database was written to, when last, and thereby its bookmark. */
export interface WriteMark {
  writes: number;
  rowsWritten: number;
  at: number;
}

/** A bookmark of D1's shape. Later ones sort after earlier ones; equal ones mean that nothing was written. */
export function bookmarkOf(database: string, mark: WriteMark): string {
  const day = Math.floor(mark.at / DAY_MS);
  const digest = createHash("md5").update(`${database}:${mark.writes}:${mark.rowsWritten}`).digest("hex");
  return `${hex8(mark.writes)}-${hex8(mark.rowsWritten)}-${hex8(day)}-${digest}`;
}

function hex8(value: number): string {
  return (value % 0x1_0000_0000).toString(16).padStart(8, "0");
}
