import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Compression } from "../../core/bucket/object-keys.ts";
import type { DecodedObject } from "../../core/bucket/vault.ts";
import { describeException, failed, type Failure, ok, type Result } from "../../core/failure.ts";

/** The size of one read from the bucket. Pieces of output have this size too, or sometimes twice that. */
const PIECE_BYTES = 256 * 1024;
const READ_AT_LEAST = 64 * 1024;

/** Reads a stored object piece by piece, decompressed. Its memory does not grow with the object or its content. */
export function decodedObject(object: R2ObjectBody, compression: Compression): DecodedObject {
  const stored = new StoredPieces(object);
  return compression === "none" ? stored : new DecompressedPieces(stored, compression);
}

class StoredPieces implements DecodedObject {
  readonly storedBytes: number;
  readonly key: string;
  readonly #reader: ReadableStreamBYOBReader;
  #buffer: ArrayBuffer = new ArrayBuffer(PIECE_BYTES);
  #done = false;

  constructor(object: R2ObjectBody) {
    this.storedBytes = object.size;
    this.key = object.key;
    this.#reader = object.body.getReader({ mode: "byob" });
  }

  async read(): Promise<Result<Uint8Array | null>> {
    if (this.#done) return ok(null);
    try {
      const { done, value } = await this.#reader.readAtLeast(READ_AT_LEAST, new Uint8Array(this.#buffer));
      this.#done = done || value === undefined || value.length === 0;
      if (value === undefined || value.length === 0) return ok(null);
      this.#buffer = value.buffer;
      return ok(value);
    } catch (error) {
      this.#done = true;
      return failed({
        code: "bucket-unavailable",
        detail: `Reading ${this.key.slice(0, 300)} was interrupted: ${describeException(error)}`,
        hint: "This usually resolves itself: continue where it stopped.",
        retryable: true,
      });
    }
  }

  async cancel(): Promise<void> {
    this.#done = true;
    await this.#reader.cancel().catch(ignoreBrokenStream);
  }
}

/**
 * By node:zlib, because DecompressionStream takes in all that the bucket gives, however slowly its end is read:
 * a download to a slow line would hold a whole volume.
 */
class DecompressedPieces implements DecodedObject {
  readonly storedBytes: number;
  readonly #stored: StoredPieces;
  readonly #decompressor: ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;
  #pieces: AsyncIterator<Uint8Array> | null = null;
  #failure: Failure | null = null;

  constructor(stored: StoredPieces, compression: "gzip" | "zstd") {
    this.storedBytes = stored.storedBytes;
    this.#stored = stored;
    const options = { chunkSize: PIECE_BYTES };
    this.#decompressor = compression === "gzip" ? createGunzip(options) : createZstdDecompress(options);
    // Every error comes out of read().
    this.#decompressor.on("error", ignoreBrokenStream);
  }

  async read(): Promise<Result<Uint8Array | null>> {
    if (this.#pieces === null) {
      this.#pieces = this.#decompressor[Symbol.asyncIterator]();
      this.#feed().catch(ignoreBrokenStream);
    }
    try {
      const { done, value } = await this.#pieces.next();
      return ok(done === true ? null : value);
    } catch (error) {
      return failed(this.#failure ?? this.#damaged(error));
    }
  }

  async cancel(): Promise<void> {
    this.#decompressor.destroy();
    await this.#stored.cancel();
  }

  /** A write is done when all that comes out of it has been read: so nothing is read ahead. */
  async #feed(): Promise<void> {
    for (;;) {
      const piece = await this.#stored.read();
      if (!piece.ok) {
        this.#failure = piece.failure;
        this.#decompressor.destroy(new Error(piece.failure.detail));
        return;
      }
      const { value } = piece;
      if (value === null) {
        this.#decompressor.end();
        return;
      }
      await new Promise<void>((resolve, reject) => {
        this.#decompressor.write(value, (error) => (error ? reject(error) : resolve()));
      });
    }
  }

  #damaged(error: unknown): Failure {
    return {
      code: "stored-object-altered",
      detail: `${this.#stored.key.slice(0, 300)} cannot be decompressed: ${describeException(error)}`,
      hint: "Check whether another tool writes to the bucket. POST /api/backups/ID/verify shows what else is damaged.",
      retryable: false,
    };
  }
}

/** The reader has got the error in another way, or is gone. */
function ignoreBrokenStream(): void {}
