import { z } from "zod";
import { CHECKSUMS, CLAIM, isUuid, MANIFEST, NOT_EXPORTED, PINNED, RESTORE_GUIDE } from "./object-keys.ts";
import type { ListedObject } from "./vault.ts";

/** What a walk through the bucket learns about a folder with one of our names, only from its listing. */
export const folderSchema = z.object({
  folder: z.string(),
  objects: z.number().int(),
  bytes: z.number(),
  /** When the newest of its objects was written, in milliseconds since the epoch. */
  newestAt: z.number(),
  /** Bytes of manifest.json and of RUN.json; null without one. */
  manifest: z.number().nullable(),
  claim: z.number().nullable(),
  pinned: z.boolean(),
  volumes: z.number().int(),
  /** It holds SHA256SUMS or RESTORE.md, which a run writes when it has read every volume back. */
  finished: z.boolean(),
});
export type BucketFolder = z.infer<typeof folderSchema>;

/** The place of a key, if it is one of ours. */
export type KeyParts =
  | { readonly kind: "folder"; readonly folder: string; readonly file: string }
  | { readonly kind: "record"; readonly databaseId: string };

/** Not everything in or below a folder of ours is ours: see isOurs. */
export function partsOfKey(prefix: string, key: string): KeyParts | null {
  if (!key.startsWith(prefix)) return null;
  const [name = "", stamp = "", ...file] = key.slice(prefix.length).split("/");
  if (file.length === 0) {
    const databaseId = stamp.endsWith(".json") ? stamp.slice(0, -".json".length) : "";
    return name === "_d1-nightly" && isUuid(databaseId) ? { kind: "record", databaseId } : null;
  }
  if (!isFolderName(name) || timeOfStamp(stamp) === null) return null;
  return { kind: "folder", folder: `${prefix}${name}/${stamp}/`, file: file.join("/") };
}

/** Whether a folder's name is one that `folderName` gives. */
function isFolderName(name: string): boolean {
  return (
    name !== "" &&
    name !== "." &&
    name !== ".." &&
    !name.startsWith("_d1-nightly") &&
    !/[\p{Cc}\\]/u.test(name)
  );
}

/** The moment of `20261121T030000Z`, in milliseconds since the epoch; null if it is not a valid one. */
function timeOfStamp(stamp: string): number | null {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(stamp);
  if (parts === null) return null;
  const [, year, month, day, hour, minute, second] = parts;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) ? null : time;
}

/** When the run of this folder started its work; null if the folder is not ours. */
export function startOfFolder(prefix: string, folder: string): number | null {
  const place = partsOfKey(prefix, `${folder}${MANIFEST}`);
  if (place?.kind !== "folder" || place.folder !== folder) return null;
  return timeOfStamp(folder.slice(0, -1).slice(-16));
}

/** A page of the bucket's listing: its complete folders, and the one that the next page may continue. */
export interface GroupedPage {
  readonly complete: BucketFolder[];
  readonly open: BucketFolder | null;
  /** Databases whose record lies there. */
  readonly records: { databaseId: string; key: string }[];
}

/** Groups a page of objects, which come in the order of their keys, into folders. */
export function groupPage(
  prefix: string,
  before: BucketFolder | null,
  objects: readonly ListedObject[],
  last: boolean,
): GroupedPage {
  const complete: BucketFolder[] = [];
  const records: { databaseId: string; key: string }[] = [];
  let open = before;
  for (const object of objects) {
    const place = partsOfKey(prefix, object.key);
    if (open !== null && (place?.kind !== "folder" || place.folder !== open.folder)) {
      complete.push(open);
      open = null;
    }
    if (place?.kind === "record") records.push({ databaseId: place.databaseId, key: object.key });
    if (place?.kind === "folder") open = withObject(open ?? emptyFolder(place.folder), place.file, object);
  }
  if (last && open !== null) complete.push(open);
  return { complete, open: last ? null : open, records };
}

function emptyFolder(folder: string): BucketFolder {
  return {
    folder,
    objects: 0,
    bytes: 0,
    newestAt: 0,
    manifest: null,
    claim: null,
    pinned: false,
    volumes: 0,
    finished: false,
  };
}

function withObject(folder: BucketFolder, file: string, { bytes, uploadedAt }: ListedObject): BucketFolder {
  return {
    ...folder,
    objects: folder.objects + 1,
    bytes: folder.bytes + bytes,
    newestAt: Math.max(folder.newestAt, uploadedAt),
    manifest: file === MANIFEST ? bytes : folder.manifest,
    claim: file === CLAIM ? bytes : folder.claim,
    pinned: folder.pinned || file === PINNED,
    volumes: folder.volumes + volumesAmong(folder.folder, [file]).length,
    finished: folder.finished || file === CHECKSUMS || file === RESTORE_GUIDE,
  };
}

/** How long the remains of a run are left alone. */
export const ORPHAN_AGE_MS = 24 * 60 * 60_000;

/**
 * What a folder without a manifest may be, by its listing alone: an orphan, which a run began and left behind, or a
 * damaged backup, whose run had read every volume back. Null for all others, and for what is not old by its name and
 * by its newest object. What RUN.json says has still to be read, where there is one.
 */
export function suspicionOf(prefix: string, folder: BucketFolder, now: number): "orphan" | "damaged" | null {
  const startedAt = startOfFolder(prefix, folder.folder);
  if (startedAt === null || folder.manifest !== null) return null;
  if (now - startedAt <= ORPHAN_AGE_MS || now - folder.newestAt <= ORPHAN_AGE_MS) return null;
  if (folder.finished) return folder.claim !== null || folder.volumes > 0 ? "damaged" : null;
  return folder.claim === null ? null : "orphan";
}

const VOLUME = /^\.\d{4,}\.sql(\.gz|\.zst)?(\.age)?$/;

/** The volumes among the files of a folder of ours. */
export function volumesAmong(folder: string, files: readonly string[]): string[] {
  const name = folder.split("/").at(-3) ?? "";
  return files.filter((file) => file.startsWith(name) && VOLUME.test(file.slice(name.length)));
}

/** Whether a run writes a file of this name into this folder. */
export function isOurs(folder: string, file: string): boolean {
  return (
    [CLAIM, CHECKSUMS, RESTORE_GUIDE, NOT_EXPORTED, PINNED, MANIFEST].includes(file) ||
    volumesAmong(folder, [file]).length === 1
  );
}
