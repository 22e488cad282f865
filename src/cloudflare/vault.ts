import { createHash } from "node:crypto";
import { answerOf, wantedBytes, type DownloadRequest } from "../core/byte-range.ts";
import { describeException, failed, ok, type Result } from "../core/failure.ts";
import type { Compression } from "../core/object-keys.ts";
import type {
  DecodedObject,
  Gauge,
  Listing,
  MeasuredObject,
  StoredObject,
  Vault,
  VolumeWriter,
} from "../core/ports.ts";
import { decodedObject } from "./decompress.ts";

/** Parts of one upload must be of equal size (all but the last) and 5 MiB at least: two of these are held at most. */
export const PART_BYTES = 6 * 1024 * 1024;

/** Objects are read back in large pieces: as a stream of 4 KiB each, that costs several times what the hash does. */
const READ_BYTES = 512 * 1024;
const READ_AT_LEAST = 128 * 1024;

/** A key in R2 is not longer. */
const KEY_BYTES = 1_024;

/** Enough of an object's beginning to tell what it is. */
const OPENING_BYTES = 64;

/** How a refusal for the sake of a lock rule reads; one of a busy database, "database is locked", is none. */
const LOCKED =
  /\b10069\b|\bobject is locked\b|\bbucket (policy|lock)|\block rule|\bretention (policy|period|rule)/i;

/** The backups' bucket. */
export class R2Vault implements Vault {
  readonly #bucket: R2Bucket;

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket;
  }

  async create(key: string, text: string): Promise<Result<"created" | "taken">> {
    const created = await attempt<"created" | "taken">("creating", key, async () => {
      const stored = await this.#bucket.put(key, text, {
        onlyIf: { etagDoesNotMatch: "*" },
        httpMetadata: metadata(key),
      });
      return stored === null ? "taken" : "created";
    });
    // A lock rule may refuse to touch what is there before the condition is looked at: then it is there.
    if (created.ok || !LOCKED.test(created.failure.detail)) return created;
    const there = await this.head(key);
    return there.ok && there.value !== null ? ok("taken") : created;
  }

  async put(key: string, text: string): Promise<Result<void>> {
    const put = await attempt("writing", key, async () => {
      await this.#bucket.put(key, text, { httpMetadata: metadata(key) });
    });
    // A lock rule refuses the same text again, too: a step that is repeated after a crash has done it already.
    if (put.ok || !LOCKED.test(put.failure.detail)) return put;
    const there = await this.readText(key);
    return there.ok && there.value === text ? ok(undefined) : put;
  }

  readText(key: string): Promise<Result<string | null>> {
    return attempt("reading", key, async () => (await (await this.#bucket.get(key))?.text()) ?? null);
  }

  head(key: string): Promise<Result<StoredObject | null>> {
    return attempt("looking at", key, async () => {
      const object = await this.#bucket.head(key);
      return object === null ? null : { bytes: object.size, etag: object.httpEtag };
    });
  }

  openVolume(key: string, gauge: Gauge, begun: (uploadId: string) => Promise<void>): VolumeWriter {
    return new PartWriter(this.#bucket, key, gauge, begun);
  }

  abortUpload(key: string, uploadId: string): Promise<Result<void>> {
    return attempt("giving up an upload of", key, async () => {
      try {
        await this.#bucket.resumeMultipartUpload(key, uploadId).abort();
      } catch (error) {
        // Completed or aborted before: there is nothing left to give up.
        if (!/does not exist|10024/i.test(describeException(error))) throw error;
      }
    });
  }

  measure(key: string): Promise<Result<MeasuredObject | null>> {
    return attempt("reading back", key, async () => {
      const object = await this.#bucket.get(key);
      if (object === null) return null;
      const reader: ReadableStreamBYOBReader = object.body.getReader({ mode: "byob" });
      const digest = createHash("sha256");
      let buffer = new ArrayBuffer(READ_BYTES);
      let bytes = 0;
      let opening: Uint8Array = new Uint8Array(0);
      for (;;) {
        const { done, value } = await reader.readAtLeast(READ_AT_LEAST, new Uint8Array(buffer));
        if (value !== undefined) {
          digest.update(value);
          if (bytes === 0) opening = value.slice(0, OPENING_BYTES);
          bytes += value.length;
          buffer = value.buffer;
        }
        if (done) return { bytes, sha256: digest.digest("hex"), opening };
      }
    });
  }

  async remove(keys: readonly string[]): Promise<Result<void>> {
    const removed = await attempt("deleting", keys[0] ?? "", async () => {
      for (let from = 0; from < keys.length; from += 1_000)
        await this.#bucket.delete(keys.slice(from, from + 1_000));
    });
    // R2 says "The object is locked by the bucket policy. (10069)".
    if (removed.ok || !LOCKED.test(removed.failure.detail)) return removed;
    return failed({
      code: "stored-object-locked",
      detail: removed.failure.detail,
      hint: "A lock rule of the bucket protects it. It can be deleted when the rule lets go of it: `npx wrangler r2 bucket lock list BUCKET` shows the rules.",
      retryable: false,
    });
  }

  list(
    prefix: string,
    { folders, cursor }: { folders: boolean; cursor: string | null },
  ): Promise<Result<Listing>> {
    return attempt("listing", prefix, async () => {
      const listed = await this.#bucket.list({
        prefix,
        ...(folders ? { delimiter: "/" } : {}),
        ...(cursor === null ? {} : { cursor }),
      });
      return {
        objects: listed.objects.map(({ key, size, httpEtag, uploaded }) => ({
          key,
          bytes: size,
          etag: httpEtag,
          uploadedAt: uploaded.getTime(),
        })),
        folders: listed.delimitedPrefixes,
        cursor: listed.truncated ? listed.cursor : null,
      };
    });
  }

  download(key: string, request: DownloadRequest): Promise<Result<Response | null>> {
    return attempt("reading", key, async () => {
      // R2 takes such a key for a mistake; it is that of no object.
      if (new TextEncoder().encode(key).length > KEY_BYTES) return null;
      const stored = await this.#bucket.head(key);
      if (stored === null) return null;
      const file = { etag: stored.httpEtag, bytes: stored.size };
      const wanted = wantedBytes(request, file);
      const { status, headers: pairs } = answerOf(wanted, file, key.slice(key.lastIndexOf("/") + 1));
      const headers = new Headers(pairs);
      if (wanted.kind !== "whole" && wanted.kind !== "part") return new Response(null, { status, headers });
      stored.writeHttpMetadata(headers);
      if (request.method === "HEAD") return new Response(null, { status, headers });
      const { offset, length } = wanted;
      const object = await this.#bucket.get(key, {
        onlyIf: { etagMatches: stored.etag },
        ...(wanted.kind === "whole" ? {} : { range: { offset, length } }),
      });
      if (object === null) return null;
      if (!("body" in object)) throw new Error("another version took its place meanwhile");
      return new Response(object.body, { status, headers });
    });
  }

  decoded(key: string, compression: Compression): Promise<Result<DecodedObject | null>> {
    return attempt("reading", key, async () => {
      const object = await this.#bucket.get(key);
      return object === null ? null : decodedObject(object, compression);
    });
  }
}

/**
 * Writes one object of unknown size in parts of equal size: one is filled while the other is on its way. What
 * fits into one part is a plain put. Nothing is listed in the bucket before finish().
 */
class PartWriter implements VolumeWriter {
  readonly #bucket: R2Bucket;
  readonly #key: string;
  readonly #gauge: Gauge;
  readonly #begun: (uploadId: string) => Promise<void>;
  readonly #parts: R2UploadedPart[] = [];
  #upload: R2MultipartUpload | null = null;
  #filling: Uint8Array<ArrayBuffer>;
  #spare: Uint8Array<ArrayBuffer> | null = null;
  #filled = 0;
  #held = 0;
  #sending: Promise<Result<Uint8Array<ArrayBuffer>>> | null = null;

  constructor(bucket: R2Bucket, key: string, gauge: Gauge, begun: (uploadId: string) => Promise<void>) {
    this.#bucket = bucket;
    this.#key = key;
    this.#gauge = gauge;
    this.#begun = begun;
    this.#filling = this.#allocate();
  }

  async write(bytes: Uint8Array): Promise<Result<void>> {
    for (let from = 0; from < bytes.length;) {
      if (this.#filled === PART_BYTES) {
        const sent = await this.#send();
        if (!sent.ok) return sent;
      }
      const taken = Math.min(bytes.length - from, PART_BYTES - this.#filled);
      this.#filling.set(bytes.subarray(from, from + taken), this.#filled);
      this.#filled += taken;
      from += taken;
    }
    return ok(undefined);
  }

  async finish(): Promise<Result<void>> {
    const last = this.#filling.subarray(0, this.#filled);
    const done = await attempt("writing", this.#key, async () => {
      if (this.#upload === null) {
        await this.#bucket.put(this.#key, last, { httpMetadata: metadata(this.#key) });
        return;
      }
      const sent = await this.#settle();
      if (!sent.ok) throw new Error(sent.failure.detail);
      this.#parts.push(await this.#upload.uploadPart(this.#parts.length + 1, last));
      await this.#upload.complete(this.#parts);
    });
    this.#free();
    return done;
  }

  async abort(): Promise<void> {
    await this.#settle();
    this.#free();
    // A failed abort is made good by the next step, which aborts the id that the run has saved.
    if (this.#upload !== null) await attempt("giving up", this.#key, async () => this.#upload?.abort());
  }

  /** Sends the full part and goes on filling the other one, as soon as that is back. */
  async #send(): Promise<Result<void>> {
    const settled = await this.#settle();
    if (!settled.ok) return settled;
    const opened = await attempt("opening an upload of", this.#key, async () => {
      if (this.#upload !== null) return this.#upload;
      this.#upload = await this.#bucket.createMultipartUpload(this.#key, {
        httpMetadata: metadata(this.#key),
      });
      await this.#begun(this.#upload.uploadId);
      return this.#upload;
    });
    if (!opened.ok) return opened;
    const part = this.#filling;
    this.#sending = attempt("uploading a part of", this.#key, async () => {
      this.#parts.push(await opened.value.uploadPart(this.#parts.length + 1, part));
      return part;
    });
    this.#filling = this.#spare ?? this.#allocate();
    this.#spare = null;
    this.#filled = 0;
    return ok(undefined);
  }

  async #settle(): Promise<Result<void>> {
    const sent = await this.#sending;
    this.#sending = null;
    if (sent === null) return ok(undefined);
    if (!sent.ok) return sent;
    this.#spare = sent.value;
    return ok(undefined);
  }

  #allocate(): Uint8Array<ArrayBuffer> {
    this.#held += PART_BYTES;
    this.#gauge.hold(PART_BYTES);
    return new Uint8Array(PART_BYTES);
  }

  #free(): void {
    this.#gauge.release(this.#held);
    this.#held = 0;
  }
}

/** Runs one operation on the bucket; what it throws becomes a failure that may be tried again. */
async function attempt<T>(doing: string, key: string, operation: () => Promise<T>): Promise<Result<T>> {
  try {
    return ok(await operation());
  } catch (error) {
    const said = describeException(error);
    // 10020: the key is longer than 1,024 bytes, and stays so.
    const tooLong = said.includes("10020");
    return failed({
      code: "bucket-unavailable",
      detail: `${doing} ${key.slice(0, 300)} in the bucket failed: ${said}`,
      hint: tooLong
        ? "The database's name is too long for a key in the bucket, together with KEY_PREFIX."
        : "Usually passes by itself. If it stays, check the BACKUPS binding, the bucket's lock rules and https://www.cloudflarestatus.com.",
      retryable: !tooLong,
    });
  }
}

function metadata(key: string): R2HTTPMetadata {
  if (key.endsWith(".json")) return { contentType: "application/json" };
  if (key.endsWith(".md")) return { contentType: "text/markdown; charset=utf-8" };
  if (key.endsWith(".age")) return { contentType: "application/octet-stream" };
  if (key.endsWith(".zst")) return { contentType: "application/zstd" };
  if (key.endsWith(".gz")) return { contentType: "application/gzip" };
  if (key.endsWith(".sql")) return { contentType: "application/sql" };
  return { contentType: "text/plain; charset=utf-8" };
}
