import { createHash } from "node:crypto";
import type { ByteRange } from "../wire/byte-range.ts";
import { findFault, type Fault } from "../faults/fault-rule.ts";
import type { SignedObject } from "./signed-urls.ts";
import { describeSyntheticDump, syntheticBytes, wishOfKey } from "../dump/synthetic-dump.ts";

/** What lies under a signed URL. */
export interface Source {
  size: number;
  etag: string;
  open(range: ByteRange): AsyncIterable<Uint8Array>;
}

const HTML =
  "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to continue.</body></html>\n";
const SLICE_BYTES = 2 * 1024 * 1024;
const SEVEN = 0x37;
const EIGHT = 0x38;

/** What a download of the object gets, or nothing when the object is gone. */
export async function sourceOf(
  env: Env,
  object: SignedObject,
  faults: readonly Fault[],
): Promise<Source | undefined> {
  if (findFault(faults, "empty") !== undefined) return textSource("");
  if (findFault(faults, "not-a-dump") !== undefined) return textSource(HTML);
  const source = syntheticSource(object.key) ?? (await storedSource(env.DUMPS, object.key));
  const isChanged = object.isChanged || findFault(faults, "change") !== undefined;
  if (source === undefined) return undefined;
  const told = isChanged ? changedSource(source) : source;
  const shorten = findFault(faults, "shorten");
  return shorten === undefined ? told : shortSource(told, shorten.value);
}

function textSource(text: string): Source {
  const bytes = new TextEncoder().encode(text);
  return {
    size: bytes.length,
    etag: etagOf(text),
    async *open({ offset, length }) {
      yield bytes.subarray(offset, offset + length);
    },
  };
}

function syntheticSource(key: string): Source | undefined {
  const wish = wishOfKey(key);
  if (wish === undefined) return undefined;
  const { size } = describeSyntheticDump(wish);
  return { size, etag: etagOf(key), open: (range) => syntheticBytes(wish, range) };
}

async function storedSource(bucket: R2Bucket, key: string): Promise<Source | undefined> {
  const head = await bucket.head(key);
  if (head === null) return undefined;
  return {
    size: head.size,
    etag: head.httpEtag,
    // Slice by slice: the local bucket reads all that is asked for before it gives the first byte.
    async *open({ offset, length }) {
      const end = offset + length;
      for (let from = offset; from < end; from += SLICE_BYTES) {
        const range = { offset: from, length: Math.min(SLICE_BYTES, end - from) };
        const slice = await bucket.get(key, { range });
        if (slice === null) throw new Error(`${key} is gone`);
        yield new Uint8Array(await slice.arrayBuffer());
      }
    },
  };
}

/** A dump that was written short, and says so nowhere. */
function shortSource(source: Source, bytes: number): Source {
  return { ...source, size: Math.min(source.size, bytes), etag: etagOf(`short ${bytes} ${source.etag}`) };
}

/** Other bytes of the same length, as valid as before: every 7 has become an 8. */
function changedSource(source: Source): Source {
  return {
    size: source.size,
    etag: etagOf(`changed ${source.etag}`),
    async *open(range) {
      for await (const chunk of source.open(range)) {
        yield chunk.map((byte) => (byte === SEVEN ? EIGHT : byte));
      }
    },
  };
}

function etagOf(text: string): string {
  return `"${createHash("md5").update(text).digest("hex")}"`;
}
