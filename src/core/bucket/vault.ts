import { ok, type Result } from "../failure.ts";
import type { DownloadRequest } from "./byte-range.ts";
import type { Compression } from "./object-keys.ts";

/** The manifest of 10,000 volumes is shorter. A longer text is not ours, and is not read into memory. */
export const TEXT_LIMIT = 16 * 1024 * 1024;

/** Counts the bytes that the pipeline holds, so that "constant memory" is a figure. */
export interface Gauge {
  hold(bytes: number): void;
  release(bytes: number): void;
}

export interface VolumeWriter {
  /** Copies the bytes. Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<Result<void>>;
  /** Completes the object, which is not listed before. */
  finish(): Promise<Result<void>>;
  /** Discards what was uploaded so far. */
  abort(): Promise<void>;
}

export interface StoredObject {
  readonly bytes: number;
  readonly etag: string;
}

export interface Listing {
  readonly objects: readonly ListedObject[];
  /** Ends with a slash each. */
  readonly folders: readonly string[];
  /** Null at the end. */
  readonly cursor: string | null;
}

export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  readonly etag: string;
  readonly uploadedAt: number;
}

export interface MeasuredObject {
  readonly bytes: number;
  readonly sha256: string;
  /** The first bytes, up to 64 of them. */
  readonly opening: Uint8Array;
}

/** For a key that is too long for any object, the answer is that nothing is there. */
export interface Vault {
  /** Create-only. `taken` means that the key exists and nothing was changed. */
  create(key: string, text: string): Promise<Result<"created" | "taken">>;
  /** Overwrites. */
  put(key: string, content: string | Uint8Array): Promise<Result<void>>;
  readText(key: string): Promise<Result<string | null>>;
  head(key: string): Promise<Result<StoredObject | null>>;
  /** Opens a volume. `begun` is awaited with the upload's id before any part is sent. */
  openVolume(key: string, gauge: Gauge, begun: (uploadId: string) => Promise<void>): VolumeWriter;
  /** An upload that is already gone counts as aborted. */
  abortUpload(key: string, uploadId: string): Promise<Result<void>>;
  /** Size, SHA-256 and first bytes, read from the object and not from its metadata; null if it does not exist. */
  measure(key: string): Promise<Result<MeasuredObject | null>>;
  /** Ignores missing keys. A lock rule's refusal is `stored-object-locked`. */
  remove(keys: readonly string[]): Promise<Result<void>>;
  /**
   * Up to 1,000 objects whose keys begin with `prefix`, in the order of their keys; of those with a further slash
   * only the folder, when `folders` is set. `cursor` goes on where an earlier answer ended.
   */
  list(prefix: string, options: { folders: boolean; cursor: string | null }): Promise<Result<Listing>>;
  /** The response to a download of the object, which respects Range and conditions; null if it does not exist. */
  download(key: string, request: DownloadRequest): Promise<Result<Response | null>>;
  /** Opens an object to read it decompressed; null if it does not exist. */
  decoded(key: string, compression: Compression): Promise<Result<DecodedObject | null>>;
}

/** All objects whose keys begin with the folder's, over as many pages as there are: a backup may have 10,000 volumes. */
export async function listFolder(
  folder: string,
  vault: Pick<Vault, "list">,
): Promise<Result<ListedObject[]>> {
  const objects: ListedObject[] = [];
  let cursor: string | null = null;
  do {
    const page: Result<Listing> = await vault.list(folder, { folders: false, cursor });
    if (!page.ok) return page;
    objects.push(...page.value.objects);
    ({ cursor } = page.value);
  } while (cursor !== null);
  return ok(objects);
}

export interface DecodedObject {
  /** Of the object as it is stored, compressed. */
  readonly storedBytes: number;
  /**
   * At least one byte; null at the end. The array may be reused by the next call. Rejects with nothing: what
   * cannot be read or decompressed is a failed result.
   */
  read(): Promise<Result<Uint8Array | null>>;
  /** Ends the reading; also needed at the end. */
  cancel(): Promise<void>;
}
