import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { decodedObject } from "../../src/cloudflare/bucket/decompress.ts";
import { codecs } from "../../src/cloudflare/codecs/codecs.ts";
import type { DecodedObject } from "../../src/core/bucket/vault.ts";

const MIB = 1024 * 1024;
const kinds = ["gzip", "zstd", "none"] as const;

/** As a volume is stored. */
async function compressed(dump: Uint8Array, compression: (typeof kinds)[number]): Promise<Uint8Array> {
  const encoder = codecs().encoder(compression, []);
  const pieces = [...(await encoder.encode(dump)), ...(await encoder.finish())];
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** Bytes that no compression makes fewer. */
function noise(bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(made.subarray(at, at + 65_536));
  return made;
}

interface Watched {
  readonly object: DecodedObject;
  /** How many stored bytes have left the bucket. */
  taken(): number;
  /** How the bucket's side ended: with nothing left to send, or with nobody left to send it to. */
  readonly outcome: Promise<"sent" | "given up">;
}

/** Opens stored bytes, and watches how fast they are taken. With `breakAfter`, the bucket fails after so many. */
async function open(
  stored: Uint8Array,
  compression: (typeof kinds)[number],
  breakAfter = Infinity,
): Promise<Watched> {
  const key = `d1/watched/${crypto.randomUUID()}`;
  await env.BACKUPS.put(key, stored);
  const object = await env.BACKUPS.get(key);
  if (object === null) throw new Error("not stored");
  let taken = 0;
  const passage = new IdentityTransformStream();
  const writer = passage.writable.getWriter();
  const pass = async (): Promise<void> => {
    for await (const piece of object.body) {
      await writer.write(piece);
      taken += piece.length;
      if (taken >= breakAfter) return writer.abort(new Error("the bucket broke"));
    }
    return writer.close();
  };
  const outcome = pass().then(
    () => "sent" as const,
    () => "given up" as const,
  );
  const watched = Object.assign(Object.create(null), { key, size: object.size, body: passage.readable });
  return { object: decodedObject(watched, compression), taken: () => taken, outcome };
}

async function readAll(object: DecodedObject): Promise<{ bytes: number; largest: number; end: string }> {
  let bytes = 0;
  let largest = 0;
  for (;;) {
    const read = await object.read();
    if (!read.ok) return { bytes, largest, end: read.failure.code };
    if (read.value === null) return { bytes, largest, end: "end" };
    bytes += read.value.length;
    largest = Math.max(largest, read.value.length);
  }
}

/** Gives all that is under way the occasion to go on. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setTimeout(resolve));
}

describe.each(kinds)("a stored object, read as %s", (kind) => {
  it("is taken from the bucket no faster than it is read", async () => {
    const dump = noise(8 * MIB);
    const { object, taken } = await open(await compressed(dump, kind), kind);
    expect(taken()).toBeLessThan(MIB);
    const first = await object.read();
    const firstBytes = first.ok ? (first.value?.length ?? 0) : 0;
    expect(firstBytes).toBeGreaterThan(0);
    await turns(200);
    expect(taken()).toBeLessThan(1.5 * MIB);
    const rest = await readAll(object);
    expect([firstBytes + rest.bytes, rest.end]).toEqual([dump.length, "end"]);
    await object.cancel();
  });

  it("comes in small pieces, however well it is compressed", async () => {
    const stored = await compressed(new Uint8Array(48 * MIB), kind);
    const { object } = await open(stored, kind);
    expect(object.storedBytes).toBe(stored.length);
    const { bytes, largest, end } = await readAll(object);
    expect([bytes, end]).toEqual([48 * MIB, "end"]);
    expect(largest).toBeLessThanOrEqual(MIB / 2);
    await object.cancel();
  });

  it("is let go when the reading is given up", async () => {
    const { object, outcome } = await open(await compressed(noise(4 * MIB), kind), kind);
    await object.read();
    await object.cancel();
    expect(await outcome).toBe("given up");
    await object.cancel();
  });

  it("says that the bucket broke off", async () => {
    const { object } = await open(await compressed(noise(4 * MIB), kind), kind, MIB);
    expect((await readAll(object)).end).toBe("bucket-unavailable");
    await object.cancel();
  });
});

describe.each(["gzip", "zstd"] as const)("a damaged object, read as %s", (kind) => {
  it.each<[string, (stored: Uint8Array) => Uint8Array]>([
    ["cut by a byte", (stored) => stored.subarray(0, -1)],
    ["cut in the middle", (stored) => stored.subarray(0, stored.length / 2)],
    ["with a flipped bit", (stored) => stored.map((byte, at) => (at === 500_000 ? byte ^ 1 : byte))],
    ["of another kind", () => new TextEncoder().encode("PRAGMA defer_foreign_keys=TRUE;\n")],
  ])("%s", async (_, damage) => {
    const { object } = await open(damage(await compressed(noise(MIB), kind)), kind);
    expect((await readAll(object)).end).toBe("stored-object-altered");
    await object.cancel();
  });
});
