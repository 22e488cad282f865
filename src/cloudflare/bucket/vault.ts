import { createHash } from "node:crypto";
import { answerOf, type DownloadRequest, wantedBytes } from "../../core/bucket/byte-range.ts";
import { canBeKey, type Compression } from "../../core/bucket/object-keys.ts";
import {
  type DecodedObject,
  type Gauge,
  type Listing,
  type MeasuredObject,
  type StoredObject,
  type Vault,
  type VolumeWriter,
  TEXT_LIMIT,
} from "../../core/bucket/vault.ts";
import { failed, ok, type Result } from "../../core/failure.ts";
import { attempt, contentTypeOf, metadata, refusalOf } from "./attempt.ts";
import { decodedObject } from "./decompress.ts";
import { PartWriter } from "./part-writer.ts";

/** Objects are read back in large pieces: as a stream of 4 KiB each, that costs several times what the hash does. */
const READ_BYTES = 512 * 1024;
const READ_AT_LEAST = 128 * 1024;

/** Enough of an object's beginning to recognize its type. */
const OPENING_BYTES = 64;

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
    // A lock rule may refuse before R2 evaluates the condition: then the object exists.
    if (created.ok || created.failure.code !== "stored-object-locked") return created;
    const there = await this.head(key);
    return there.ok && there.value !== null ? ok("taken") : created;
  }

  async put(key: string, content: string | Uint8Array): Promise<Result<void>> {
    const put = await attempt("writing", key, async () => {
      await this.#bucket.put(key, content, { httpMetadata: metadata(key) });
    });
    // A lock rule refuses the same content again, too: a step that is repeated after a crash has done it already.
    if (put.ok || put.failure.code !== "stored-object-locked") return put;
    const there = await this.measure(key);
    const wanted = createHash("sha256").update(content).digest("hex");
    return there.ok && there.value?.sha256 === wanted ? ok(undefined) : put;
  }

  async readText(key: string): Promise<Result<string | null>> {
    const read = await attempt("reading", key, async () => {
      const object = await this.#get(key);
      if (object === null) return { text: null, bytes: 0 };
      if (object.size <= TEXT_LIMIT) return { text: await object.text(), bytes: object.size };
      await object.body.cancel();
      return { text: null, bytes: object.size };
    });
    if (!read.ok) return read;
    const { text, bytes } = read.value;
    if (text !== null || bytes === 0) return ok(text);
    return failed({
      code: "stored-object-oversized",
      detail: `${key.slice(0, 300)} in the bucket has ${bytes} bytes; the texts of d1-nightly have at most ${TEXT_LIMIT}.`,
      hint: "Another program has written it. Restore the original from a copy, or delete the object.",
      retryable: false,
    });
  }

  head(key: string): Promise<Result<StoredObject | null>> {
    return attempt("looking at", key, async () => {
      const object = await this.#head(key);
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
        if (refusalOf(error) !== "no-such-upload") throw error;
      }
    });
  }

  measure(key: string): Promise<Result<MeasuredObject | null>> {
    return attempt("reading back", key, async () => {
      const object = await this.#get(key);
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

  remove(keys: readonly string[]): Promise<Result<void>> {
    const possible = keys.filter(canBeKey);
    return attempt("deleting", possible[0] ?? "", async () => {
      for (let from = 0; from < possible.length; from += 1_000)
        await this.#bucket.delete(possible.slice(from, from + 1_000));
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
      const stored = await this.#head(key);
      if (stored === null) return null;
      const file = { etag: stored.httpEtag, bytes: stored.size };
      const wanted = wantedBytes(request, file);
      const { status, headers: pairs } = answerOf(wanted, file, key.slice(key.lastIndexOf("/") + 1));
      const headers = new Headers(pairs);
      if (wanted.kind !== "whole" && wanted.kind !== "part") return new Response(null, { status, headers });
      // By its name, never by its own metadata, which anybody who can write to the bucket could set.
      headers.set("Content-Type", contentTypeOf(key));
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
      const object = await this.#get(key);
      return object === null ? null : decodedObject(object, compression);
    });
  }

  async #head(key: string): Promise<R2Object | null> {
    return canBeKey(key) ? this.#bucket.head(key) : null;
  }

  async #get(key: string): Promise<R2ObjectBody | null> {
    return canBeKey(key) ? this.#bucket.get(key) : null;
  }
}
