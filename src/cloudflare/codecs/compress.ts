import { constants, createGzip, createZstdCompress } from "node:zlib";
import type { Encoder } from "../../core/bucket/codecs.ts";
import type { Compression } from "../../core/bucket/object-keys.ts";

const OUTPUT_BYTES = 256 * 1024;

/** Compresses one volume. */
export function compressor(compression: Compression, levels: { gzip: number; zstd: number }): Encoder {
  switch (compression) {
    case "gzip":
      // One member a volume, so that every reader of gzip takes it.
      return new ZlibEncoder(createGzip({ level: levels.gzip, chunkSize: OUTPUT_BYTES }));
    case "zstd":
      return new ZlibEncoder(
        createZstdCompress({ chunkSize: OUTPUT_BYTES, params: zstdParams(levels.zstd) }),
      );
    case "none":
      return new Identity();
  }
}

/** With a checksum in the frame, like the command-line tool, so that `zstd -t` detects a flipped bit. */
function zstdParams(level: number): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 };
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
