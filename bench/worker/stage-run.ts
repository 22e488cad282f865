import { z } from "zod";
import type { Codecs } from "../../src/core/bucket/codecs.ts";
import type { Compression } from "../../src/core/bucket/object-keys.ts";
import { D1_FORMAT } from "../../src/core/dump/dump-format.ts";
import { NOTHING_SCANNED, Tally } from "../../src/core/dump/tally.ts";
import type { Platform } from "../../src/core/platform.ts";
import { LEAN_ENCRYPTED_VOLUME_BYTES } from "../../src/core/policy/backup-options.ts";
import { StatementScanner } from "../../src/core/sql/statements.ts";
import { type Stage, stageSchema } from "./stages.ts";

/** Nobody's: its private key was thrown away. */
export const RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

const MIB = 1024 * 1024;
const SAMPLE_BYTES = 16 * MIB;
/** As the source gives them. */
const PIECE_BYTES = 256 * 1024;

const wishSchema = z.object({
  url: z.string(),
  stage: stageSchema,
  repetitions: z.coerce.number().int().positive(),
});

/** Runs a sample of the dump through one stage of the pipeline, many times over, in memory. */
export async function runStage(platform: Platform, wish: URLSearchParams): Promise<{ bytes: number }> {
  const { url, stage, repetitions } = wishSchema.parse(Object.fromEntries(wish));
  const answer = await fetch(url, { headers: { Range: `bytes=0-${SAMPLE_BYTES - 1}` } });
  const sample = new Uint8Array(await answer.arrayBuffer());
  const work = stageOf(stage, platform);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (let from = 0; from < sample.length; from += PIECE_BYTES)
      await work(sample.subarray(from, from + PIECE_BYTES));
  }
  return { bytes: sample.length * repetitions };
}

function stageOf(stage: Stage, { codecs }: Platform): (piece: Uint8Array) => unknown {
  switch (stage) {
    case "hash": {
      const digest = codecs.digest();
      return (piece) => digest.update(piece);
    }
    case "scan": {
      const scanner = scannerOfNothing();
      return (piece) => scanner.scan(piece);
    }
    case "lean + age":
      return leanEncrypted(codecs);
    case "lean": {
      // What a lean step does with its bytes: hashed, and gathered for one put; then hashed again when read back.
      const digest = codecs.digest();
      const part = new Uint8Array(PIECE_BYTES);
      return (piece) => {
        digest.update(piece);
        part.set(piece);
        digest.update(part.subarray(0, piece.length));
      };
    }
    default: {
      const [compression, encrypted] = stage.split(" + ");
      // "gzip + age" and the like are named after the compressions
      const encoder = codecs.encoder(compression as Compression, encrypted === undefined ? [] : [RECIPIENT]);
      return (piece) => encoder.encode(piece);
    }
  }
}

/** The same with each volume a file of its own: hashed as it comes and as it is stored, and again when read back. */
function leanEncrypted(codecs: Codecs): (piece: Uint8Array) => Promise<void> {
  const [plain, stored, readBack] = [codecs.digest(), codecs.digest(), codecs.digest()];
  let encoder = codecs.encoder("none", [RECIPIENT]);
  let held = 0;
  const store = (pieces: readonly Uint8Array[]): void => {
    for (const piece of pieces) {
      stored.update(piece);
      readBack.update(piece);
    }
  };
  return async (piece) => {
    plain.update(piece);
    store(await encoder.encode(piece));
    held += piece.length;
    if (held < LEAN_ENCRYPTED_VOLUME_BYTES) return;
    store(await encoder.finish());
    encoder = codecs.encoder("none", [RECIPIENT]);
    held = 0;
  };
}

function scannerOfNothing(): StatementScanner {
  return new StatementScanner(new Tally(NOTHING_SCANNED, 0, true).count, D1_FORMAT);
}
