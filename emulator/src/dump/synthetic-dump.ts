import type { ByteRange } from "../wire/byte-range.ts";

/** What a made-up dump is to be like. The same wish gives the same bytes. */
export interface SyntheticWish {
  /** About so many: the dump ends with the last row that fits. */
  bytes: number;
  seed: number;
  compressible: boolean;
}

/** A dump that is made up while it is downloaded, without a database of its size. */
export interface SyntheticDump {
  key: string;
  size: number;
  rows: number;
}

/** One block of rows comes over and over, each time with the ids that follow. */
interface Block {
  bytes: Uint8Array;
  /** Where the rows' ids stand. */
  idOffsets: number[];
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

/** How large the dump will be, and the key under which a download finds it. */
export function describeSyntheticDump(wish: SyntheticWish): SyntheticDump {
  const { bytes, idOffsets } = makeBlock(wish);
  const space = Math.max(0, wish.bytes - HEAD.length);
  const blocks = Math.floor(space / bytes.length);
  const rest = space - blocks * bytes.length;
  // A row ends where the next one begins.
  const rowsOfRest = idOffsets.filter((offset) => offset - ROW_HEAD.length <= rest).length - 1;
  const sizeOfRest = (idOffsets[rowsOfRest] ?? ROW_HEAD.length) - ROW_HEAD.length;
  return {
    key: `synthetic/${wish.compressible ? "events" : "random"}-${wish.seed}-${wish.bytes}.sql`,
    size: HEAD.length + blocks * bytes.length + sizeOfRest,
    rows: blocks * idOffsets.length + rowsOfRest,
  };
}

/** The wish behind a key, when it is that of a made-up dump. */
export function wishOfKey(key: string): SyntheticWish | undefined {
  const [, kind, seed, bytes] = /^synthetic\/(events|random)-(\d+)-(\d+)\.sql$/.exec(key) ?? [];
  if (kind === undefined) return undefined;
  return { bytes: Number(bytes), seed: Number(seed), compressible: kind === "events" };
}

/** A part of a made-up dump. The bytes of a chunk change as soon as the next one is asked for. */
export async function* syntheticBytes(
  wish: SyntheticWish,
  range: ByteRange,
): AsyncGenerator<Uint8Array, void> {
  const end = range.offset + range.length;
  if (range.offset < HEAD.length) yield new TextEncoder().encode(HEAD).subarray(range.offset, end);
  const { bytes, idOffsets } = makeBlock(wish);
  const first = Math.floor(Math.max(0, range.offset - HEAD.length) / bytes.length);
  for (let block = first; HEAD.length + block * bytes.length < end; block += 1) {
    const start = HEAD.length + block * bytes.length;
    idOffsets.forEach((offset, row) => writeDigits(bytes, offset, FIRST_ID + block * idOffsets.length + row));
    yield bytes.subarray(Math.max(0, range.offset - start), Math.min(bytes.length, end - start));
  }
}

function makeBlock({ seed, compressible }: SyntheticWish): Block {
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
  return { bytes: new TextEncoder().encode(rows.join("")), idOffsets };
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

function pick(values: readonly string[], value: number): string {
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
