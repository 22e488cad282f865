/**
 * The keys of objects in the bucket. docs/format.md specifies these names.
 *
 *   {prefix}{database name}/{YYYYMMDD}T{HHMMSS}Z/…
 *
 * A backup's id is its folder with the slash turned into a dot, `shop.20261121T030000Z`: folders are claimed
 * create-only, so ids are unique, and an id finds its backup with no index at all.
 */
export const COMPRESSIONS = ["gzip", "zstd", "none"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export const MANIFEST = "manifest.json";
export const CLAIM = "RUN.json";
export const CHECKSUMS = "SHA256SUMS";
export const RESTORE_GUIDE = "RESTORE.md";
export const PINNED = "PINNED";
/** The statements of what an encrypted backup leaves out. */
export const NOT_EXPORTED = "not-exported.sql.age";

const STAMP = /^\d{8}T\d{6}Z$/;
const EXTENSION: Record<Compression, string> = { gzip: ".sql.gz", zstd: ".sql.zst", none: ".sql" };

/** `20261121T030000Z` for a moment given in milliseconds since the epoch. */
export function stampOf(at: number): string {
  return new Date(at).toISOString().replace(/[-:]|\.\d+/g, "");
}

/** A database's name as part of a key. Characters that could end a folder or hide in a listing are percent-encoded. */
export function folderName(databaseName: string): string {
  const safe = databaseName.replace(/[\p{Cc}/\\%]/gu, (character) => encodeURIComponent(character));
  // Nothing else becomes a lone percent sign.
  if (safe === "") return "%";
  return safe === "." || safe === ".." || safe.startsWith("_d1-nightly")
    ? `%${safe.charCodeAt(0).toString(16)}${safe.slice(1)}`
    : safe;
}

/** The database's name, from the name of its folder. */
export function databaseNameOf(folder: string): string {
  if (folder === "%") return "";
  try {
    return decodeURIComponent(folder);
  } catch {
    // Not one of ours.
    return folder;
  }
}

export function folderOf(prefix: string, databaseName: string, stamp: string): string {
  return `${prefix}${folderName(databaseName)}/${stamp}/`;
}

export function backupIdOf(databaseName: string, stamp: string): string {
  return `${folderName(databaseName)}.${stamp}`;
}

/** The part before the database's name: the KEY_PREFIX with which the folder was made. */
export function prefixOfFolder(folder: string): string {
  return folder.replace(/[^/]*\/[^/]*\/$/, "");
}

/** The key of a database's policy and last checks. */
export function recordKey(prefix: string, databaseId: string): string {
  return `${prefix}_d1-nightly/${databaseId}.json`;
}

/** Used instead of a UUID for the policy of all databases. */
export const DEFAULT_POLICY = "policy";

/** A key in the bucket has 1,024 bytes at the most. */
const KEY_BYTES = 1_024;

/** Whether an object can have this key. R2 refuses a longer one, which no object can have. */
export function canBeKey(key: string): boolean {
  return key.length <= KEY_BYTES && new TextEncoder().encode(key).length <= KEY_BYTES;
}

/** The folder of a backup's id; null if it cannot be one of our ids. */
export function folderOfBackup(prefix: string, backupId: string): string | null {
  const dot = backupId.lastIndexOf(".");
  const name = backupId.slice(0, dot);
  const stamp = backupId.slice(dot + 1);
  if (dot < 1 || !STAMP.test(stamp) || /[\p{Cc}/\\]/u.test(name)) return null;
  const folder = `${prefix}${name}/${stamp}/`;
  return canBeKey(folder + MANIFEST) ? folder : null;
}

/** `shop.0001.sql.gz.age`: volumes are numbered from 1, and sort by name up to 9,999 of them. */
export function volumeName(
  databaseName: string,
  number: number,
  compression: Compression,
  encrypted: boolean,
): string {
  const extension = EXTENSION[compression] + (encrypted ? ".age" : "");
  return `${folderName(databaseName)}.${String(number).padStart(4, "0")}${extension}`;
}

/**
 * A run's id carries its database, so that the object that owns it is found with no index. `random`, in [0, 1), tells
 * it from the run of another Worker that was asked for in the same millisecond: a folder is claimed by this id.
 */
export function runIdOf(databaseId: string, createdAt: number, random: number): string {
  const chance = Math.floor(random * 36 ** 8).toString(36);
  return `${databaseId}.${createdAt.toString(36)}-${chance.padStart(8, "0")}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The database of a run's id; null if it cannot be one of our ids. The oldest ids have no random part. */
export function databaseOfRun(runId: string): string | null {
  const [databaseId = "", moment = "", ...rest] = runId.split(".");
  return isUuid(databaseId) && /^[0-9a-z]{6,12}(-[0-9a-z]{8})?$/.test(moment) && rest.length === 0
    ? databaseId
    : null;
}
