import { PartWriter } from "./part-writer.ts";

/** A dump that was made up, without a database of its size. */
export interface SyntheticDump {
  key: string;
  size: number;
  rows: number;
  parts: number;
}

/** What a made-up dump is to be like. The same wish gives the same bytes. */
export interface SyntheticWish {
  bytes: number;
  seed: number;
  compressible: boolean;
}

const HEAD =
  "PRAGMA defer_foreign_keys=TRUE;\n" +
  "CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL);";
const ROW_HEAD = '\nINSERT INTO "events" ("id","at","kind","payload") VALUES(';
/** Ids have this many digits from the first to the last, so that a block's rows can be numbered in place. */
const FIRST_ID = 1_000_000_000;
const ROWS_PER_BLOCK = 8192;
const KINDS = ["page.viewed", "order.placed", "order.paid", "login.failed", "mail.sent", "job.finished"];
const PATHS = [
  "/",
  "/pricing",
  "/docs/getting-started",
  "/blog/why-we-moved",
  "/account/billing",
  "/search?q=sqlite",
];

/** Writes a valid dump of about this size to R2: one block of rows over and over, with ever new ids. */
export async function writeSyntheticDump(
  bucket: R2Bucket,
  key: string,
  wish: SyntheticWish,
): Promise<SyntheticDump> {
  const writer = new PartWriter(bucket, key);
  const { block, idOffsets } = makeBlock(wish);
  let rows = 0;
  await writer.write(new TextEncoder().encode(HEAD));
  while (writer.size < wish.bytes) {
    for (const offset of idOffsets) writeDigits(block, offset, FIRST_ID + rows++);
    const left = wish.bytes - writer.size;
    if (left >= block.length) {
      await writer.write(block);
      continue;
    }
    const lastRow = idOffsets.findLastIndex((offset) => offset - ROW_HEAD.length <= left);
    rows -= idOffsets.length - Math.max(lastRow, 0);
    await writer.write(block.subarray(0, (idOffsets[Math.max(lastRow, 0)] ?? 0) - ROW_HEAD.length));
    break;
  }
  await writer.finish();
  return { key, size: writer.size, rows, parts: Math.max(1, writer.partsUploaded) };
}

function makeBlock({ seed, compressible }: SyntheticWish): { block: Uint8Array; idOffsets: number[] } {
  const random = randomNumbers(seed);
  const rows: string[] = [];
  const idOffsets: number[] = [];
  let length = 0;
  for (let index = 0; index < ROWS_PER_BLOCK; index += 1) {
    const kind = pick(KINDS, random());
    const payload = compressible ? eventPayload(random) : randomPayload(random);
    const row = `${ROW_HEAD}${FIRST_ID},'${timestamp(random())}','${kind}','${payload}');`;
    idOffsets.push(length + ROW_HEAD.length);
    rows.push(row);
    length += row.length;
  }
  return { block: new TextEncoder().encode(rows.join("")), idOffsets };
}

function eventPayload(random: () => number): string {
  const user = random() % 5000;
  const path = pick(PATHS, random());
  const session = random().toString(16).padStart(8, "0");
  return JSON.stringify({
    user,
    path,
    session,
    ms: random() % 900,
    ok: random() % 20 !== 0,
    agent: "Mozilla/5.0",
  });
}

/** Text in which each character carries six random bits. */
function randomPayload(random: () => number): string {
  const words = Uint32Array.from({ length: 45 }, random);
  return new Uint8Array(words.buffer).toBase64();
}

function timestamp(value: number): string {
  return new Date(Date.UTC(2026, 0, 1) + (value % 31_536_000) * 1000).toISOString();
}

function pick<T>(values: readonly [T, ...T[]] | T[], value: number): T {
  const chosen = values[value % values.length];
  if (chosen === undefined) throw new Error("nothing to pick from");
  return chosen;
}

function writeDigits(block: Uint8Array, offset: number, value: number): void {
  let rest = value;
  for (let position = offset + 9; position >= offset; position -= 1) {
    const next = Math.trunc(rest / 10);
    block[position] = 48 + rest - next * 10;
    rest = next;
  }
}

/** xorshift32: small, fast, and the same everywhere. */
function randomNumbers(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
