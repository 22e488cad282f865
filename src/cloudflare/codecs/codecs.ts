import { createHash } from "node:crypto";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import type { Codecs, Digest, Encoder } from "../../core/bucket/codecs.ts";
import type { Compression } from "../../core/bucket/object-keys.ts";
import { AgeEncoder } from "./age.ts";

/**
 * Chosen from the table that `npm run bench` prints: level 6 stores a fifth less for more than half again the time
 * and CPU, and CPU is what a Worker's plan limits.
 */
export const GZIP_LEVEL = 1;

/** zstd's own default, and the bench gives no reason for another one. */
export const ZSTD_LEVEL = 3;

const OUTPUT_BYTES = 256 * 1024;

export function codecs(gzipLevel = GZIP_LEVEL, zstdLevel = ZSTD_LEVEL): Codecs {
  const compressor = (compression: Compression): Encoder => {
    switch (compression) {
      case "gzip":
        // One member a volume, so that every reader of gzip takes it.
        return new ZlibEncoder(createGzip({ level: gzipLevel, chunkSize: OUTPUT_BYTES }));
      case "zstd":
        return new ZlibEncoder(
          createZstdCompress({ chunkSize: OUTPUT_BYTES, params: zstdParams(zstdLevel) }),
        );
      case "none":
        return new Identity();
    }
  };
  return {
    digest: () => new Sha256(),
    encoder: (compression, recipients) =>
      recipients.length === 0 ? compressor(compression) : new AgeEncoder(compressor(compression), recipients),
  };
}

/** With a checksum in the frame, as the command-line tool writes it, so that `zstd -t` tells a flipped bit. */
function zstdParams(level: number): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 };
}

class Sha256 implements Digest {
  readonly #hash = createHash("sha256");
  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }
  hex(): string {
    return this.#hash.digest("hex");
  }
}

class Identity implements Encoder {
  async encode(bytes: Uint8Array): Promise<Uint8Array[]> {
    return [bytes];
  }
  async finish(): Promise<Uint8Array[]> {
    return [];
  }
}

class ZlibEncoder implements Encoder {
  readonly #stream: ReturnType<typeof createGzip> | ReturnType<typeof createZstdCompress>;
  #ready: Uint8Array[] = [];

  constructor(stream: ReturnType<typeof createGzip> | ReturnType<typeof createZstdCompress>) {
    this.#stream = stream;
    this.#stream.on("data", (chunk: Uint8Array) => this.#ready.push(chunk));
  }

  async encode(bytes: Uint8Array): Promise<Uint8Array[]> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    return this.#take();
  }

  async finish(): Promise<Uint8Array[]> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.once("end", resolve).once("error", reject).end();
    });
    return this.#take();
  }

  #take(): Uint8Array[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }
}
