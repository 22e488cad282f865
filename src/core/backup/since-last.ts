import { type Codecs, sha256Of } from "../bucket/codecs.ts";
import { type ExportOptions, sameExport } from "../d1/export-options.ts";
import type { Hazard } from "../dump/hazards.ts";
import type { Manifest, Volume } from "./manifest.ts";

/** Tables with rows in the last backup and none in this one. Ignores a backup with other export options. */
export function emptiedTables(
  before: Manifest | null,
  rows: readonly (readonly [string, number | null])[],
  exportOptions: ExportOptions,
): Hazard[] {
  if (before === null || before.tables === null || before.exportOptions === null) return [];
  if (!sameExport(before.exportOptions, exportOptions)) return [];
  const now = new Map(rows);
  return before.tables
    .filter((table) => (table.rows ?? 0) > 0 && now.get(table.name) === 0)
    .map((table) => ({
      kind: "emptied-table",
      table: table.name,
      count: table.rows,
      detail: `The table is empty; in the previous backup (${before.backupId}) it had this many rows.`,
    }));
}

export function encryptionEnded(before: Manifest | null, recipients: readonly string[]): Hazard[] {
  if (before === null || before.encryption === null || recipients.length > 0) return [];
  return [
    {
      kind: "encryption-ended",
      table: null,
      count: null,
      detail: `The previous backup (${before.backupId}) is encrypted, but this one is not, because AGE_RECIPIENTS is no longer set. Check whether a deployment has removed it.`,
    },
  ];
}

/** One hash for the plain dump in these volumes, cut as they are; null if a volume has no hash of its own. */
export function fingerprintOf(
  volumes: readonly Pick<Volume, "dumpSha256">[],
  codecs: Pick<Codecs, "digest">,
): string | null {
  const hashes = volumes.map(({ dumpSha256 }) => dumpSha256);
  return hashes.includes(null) ? null : sha256Of(hashes.join("\n"), codecs);
}

/**
 * Compares two backups of one bookmark: what differs, or null. Volumes may be cut elsewhere; then there is no hash to
 * compare, but the dump's size, and what was counted of it. The fingerprints are those of the two dumps, where known.
 */
export function differenceOfEquals(
  before: Manifest,
  after: Omit<Manifest, "checksum" | "files">,
  fingerprints: { readonly before: string | null; readonly after: string | null },
): string | null {
  // Of one that was made anew, nothing tells what it was to hold.
  if (before.exportOptions === null || after.exportOptions === null) return null;
  if (before.tables === null || after.tables === null) return null;
  if (before.atBookmark !== after.atBookmark) return null;
  if (!sameExport(before.exportOptions, after.exportOptions)) return null;
  if (before.dump.bytes !== after.dump.bytes)
    return `its dump has ${after.dump.bytes} bytes instead of ${before.dump.bytes}`;
  const known = fingerprints.before !== null && fingerprints.after !== null;
  if (known && cutAlike(before.volumes, after.volumes) && fingerprints.before !== fingerprints.after)
    return "its dump has as many bytes, but another SHA-256";
  if (before.lean !== false || after.lean !== false) return null;
  const rows = new Map(before.tables.map((table) => [table.name, table.rows]));
  const other = after.tables.find((table) => rows.get(table.name) !== table.rows);
  if (other !== undefined || before.tables.length !== after.tables.length)
    return `it counts other rows${other === undefined ? "" : ` in ${other.name}`}`;
  return null;
}

function cutAlike(some: Manifest["volumes"], others: Manifest["volumes"]): boolean {
  return (
    some.length === others.length &&
    some.every(({ dumpBytes }, index) => dumpBytes === others[index]?.dumpBytes)
  );
}
