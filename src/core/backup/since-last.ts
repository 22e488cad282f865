import { type ExportOptions, sameExport } from "../d1/export-options.ts";
import type { Hazard } from "../dump/hazards.ts";
import type { Manifest } from "./manifest.ts";

/** Tables that held rows in the last backup and hold none in this one. A backup that was to hold something else says nothing of it. */
export function emptiedTables(
  before: Manifest | null,
  rows: readonly (readonly [string, number | null])[],
  exportOptions: ExportOptions,
): Hazard[] {
  if (before === null || !sameExport(before.exportOptions, exportOptions)) return [];
  const now = new Map(rows);
  return before.tables
    .filter((table) => (table.rows ?? 0) > 0 && now.get(table.name) === 0)
    .map((table) => ({
      kind: "emptied-table",
      table: table.name,
      count: table.rows,
      detail: `The table is empty; the backup before this one (${before.backupId}) holds so many rows of it.`,
    }));
}

export function encryptionEnded(before: Manifest | null, recipients: readonly string[]): Hazard[] {
  if (before === null || before.encryption === null || recipients.length > 0) return [];
  return [
    {
      kind: "encryption-ended",
      table: null,
      count: null,
      detail: `The backup before this one (${before.backupId}) is encrypted, this one is not: AGE_RECIPIENTS is no longer set. Was it lost in a deploy?`,
    },
  ];
}

/**
 * Compares two backups of one bookmark: what differs, or null. Volumes may be cut elsewhere, so only a dump in one
 * volume has a hash to compare; else its size, and what was counted of it.
 */
export function differenceOfEquals(
  before: Manifest,
  after: Omit<Manifest, "checksum" | "files">,
): string | null {
  if (before.atBookmark !== after.atBookmark) return null;
  if (!sameExport(before.exportOptions, after.exportOptions)) return null;
  if (before.dump.bytes !== after.dump.bytes)
    return `its dump has ${after.dump.bytes} bytes instead of ${before.dump.bytes}`;
  if (before.dump.sha256 !== null && after.dump.sha256 !== null && before.dump.sha256 !== after.dump.sha256)
    return "its dump has as many bytes, but another SHA-256";
  if (before.lean || after.lean) return null;
  const rows = new Map(before.tables.map((table) => [table.name, table.rows]));
  const other = after.tables.find((table) => rows.get(table.name) !== table.rows);
  if (other !== undefined || before.tables.length !== after.tables.length)
    return `it counts other rows${other === undefined ? "" : ` in ${other.name}`}`;
  return null;
}
