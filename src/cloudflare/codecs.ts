import { createHash } from "node:crypto";
import { createGzip } from "node:zlib";
import type { Codecs, Digest, Encoder } from "../core/ports.ts";

/**
 * Chosen from the table that `npm run bench` prints: level 6 stores a fifth less for more than half again the time
 * and CPU, and CPU is what a Worker's plan limits.
 */
export const GZIP_LEVEL = 1;

export function codecs(gzipLevel = GZIP_LEVEL): Codecs {
  return {
    digest: () => new Sha256(),
    encoder: (compression) => (compression === "gzip" ? new GzipEncoder(gzipLevel) : new Identity()),
  };
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

/** One gzip member per volume, so that every reader of gzip takes it. */
class GzipEncoder implements Encoder {
  readonly #gzip: ReturnType<typeof createGzip>;
  #ready: Uint8Array[] = [];

  constructor(level: number) {
    this.#gzip = createGzip({ level, chunkSize: 256 * 1024 });
    this.#gzip.on("data", (chunk: Uint8Array) => this.#ready.push(chunk));
  }

  async encode(bytes: Uint8Array): Promise<Uint8Array[]> {
    await new Promise<void>((resolve, reject) => {
      this.#gzip.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    return this.#take();
  }

  async finish(): Promise<Uint8Array[]> {
    await new Promise<void>((resolve, reject) => {
      this.#gzip.once("end", resolve).once("error", reject).end();
    });
    return this.#take();
  }

  #take(): Uint8Array[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }
}
