import { createHash } from "node:crypto";
import type { Codecs, Digest } from "../../core/bucket/codecs.ts";
import { AgeEncoder } from "./age.ts";
import { compressor } from "./compress.ts";

/**
 * Chosen from the table that `npm run bench` prints: level 6 stores a fifth less for more than half again the time
 * and CPU, and CPU is what a Worker's plan limits.
 */
export const GZIP_LEVEL = 1;

/** zstd's own default, and the bench gives no reason for another one. */
export const ZSTD_LEVEL = 3;

export function codecs(gzipLevel = GZIP_LEVEL, zstdLevel = ZSTD_LEVEL): Codecs {
  return {
    digest: () => new Sha256(),
    encoder: (compression, recipients) => {
      const compressed = compressor(compression, { gzip: gzipLevel, zstd: zstdLevel });
      return recipients.length === 0 ? compressed : new AgeEncoder(compressed, recipients);
    },
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
