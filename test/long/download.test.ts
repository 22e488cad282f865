import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import type { Manifest } from "../../src/core/backup/manifest.ts";
import { JOINED_LIMIT } from "../../src/http/routes/dump-download.ts";
import { createDatabase, dumpOf, syntheticDump } from "../worker/kit/emulated-account.ts";
import { backUp, call, holdTheClock, manifestOf, setPolicy } from "../worker/kit/run-driver.ts";
import fc from "fast-check";

const MIB = 1024 * 1024;

/** A backup of several volumes, and the dump that it is of. */
interface Sample {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly dump: Uint8Array;
  readonly path: string;
  readonly etag: string;
}

const KINDS = {
  gzip: { compression: "gzip" },
  zstd: { compression: "zstd" },
  none: { compression: "none" },
  lean: { lean: true },
} as const;
type Kind = keyof typeof KINDS;
const kinds = Object.keys(KINDS) as Kind[]; // of a constant that has these keys and no others

async function makeSample(policy: object, bytes = 3.5 * MIB): Promise<Sample> {
  holdTheClock();
  const database = await createDatabase("");
  await syntheticDump(database.id, bytes);
  await setPolicy(database.id, policy);
  const { backupId } = await backUp(database);
  const manifest = await manifestOf(backupId);
  vi.useRealTimers();
  const path = `/api/backups/${manifest.backupId}/dump.sql`;
  const etag = (await call(path, { method: "HEAD" })).headers.get("ETag") ?? "";
  const dump = new TextEncoder().encode(await dumpOf(database.id));
  const stamp = manifest.backupId.slice(manifest.backupId.lastIndexOf(".") + 1);
  return { folder: `d1/${database.name}/${stamp}/`, manifest, dump, path, etag };
}

const samples = new Map<Kind, Sample>();
function sample(kind: Kind): Sample {
  const made = samples.get(kind);
  if (made === undefined) throw new Error(`no sample ${kind}`);
  return made;
}

beforeAll(async () => {
  for (const kind of kinds) samples.set(kind, await makeSample(KINDS[kind]));
}, 60_000);

/** Compares as a whole: a difference of megabytes, printed, helps nobody. */
function sameBytes(given: Uint8Array, wanted: Uint8Array): boolean {
  return given.length === wanted.length && given.every((byte, index) => byte === wanted[index]);
}

const bytesOf = async (response: Response): Promise<Uint8Array> =>
  new Uint8Array(await response.arrayBuffer());

describe.each(kinds)("dump.sql of a backup stored as %s", (kind) => {
  it("is the dump, under a name and an ETag", async () => {
    const { path, dump, manifest } = sample(kind);
    expect(manifest.volumes.length).toBeGreaterThan(2);
    const response = await call(path);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/sql",
      "content-length": String(dump.length),
      "accept-ranges": "bytes",
      etag: expect.stringMatching(/^"[0-9a-f]{64}"$/),
      "content-disposition": `attachment; filename=${manifest.backupId}.sql`,
    });
    expect(sameBytes(await bytesOf(response), dump)).toBe(true);
  });

  it("any range of it is that slice of the dump", async () => {
    const { path, dump, manifest } = sample(kind);
    const edges = manifest.volumes.map((_, index) =>
      manifest.volumes.slice(0, index).reduce((sum, { dumpBytes }) => sum + (dumpBytes ?? 0), 0),
    );
    const place = fc.oneof(
      fc.nat(dump.length - 1),
      fc.constantFrom(...edges).chain((edge) => fc.integer({ min: edge - 2, max: edge + 2 })),
    );
    const within = place.map((at) => Math.min(Math.max(at, 0), dump.length - 1));
    await fc.assert(
      fc.asyncProperty(within, within, async (one, other) => {
        const [first, last] = [Math.min(one, other), Math.max(one, other)];
        const response = await call(path, { headers: { Range: `bytes=${first}-${last}` } });
        expect(response.status).toBe(206);
        expect(response.headers.get("Content-Range")).toBe(`bytes ${first}-${last}/${dump.length}`);
        expect(response.headers.get("Content-Length")).toBe(String(last - first + 1));
        expect(sameBytes(await bytesOf(response), dump.subarray(first, last + 1))).toBe(true);
      }),
      { numRuns: 15 },
    );
  }, 60_000);

  it("its end by a suffix", async () => {
    const { path, dump } = sample(kind);
    for (const length of [1, 1.2 * MIB, dump.length + 1].map(Math.floor)) {
      const response = await call(path, { headers: { Range: `bytes=-${length}` } });
      expect(response.status).toBe(206);
      expect(sameBytes(await bytesOf(response), dump.slice(-length))).toBe(true);
    }
  });

  it("is taken up again where it was cut, under If-Range", async () => {
    const { path, dump, etag } = sample(kind);
    const got: Uint8Array[] = [];
    let at = 0;
    for (let attempt = 0; at < dump.length; attempt++) {
      const headers: Record<string, string> =
        attempt === 0 ? {} : { Range: `bytes=${at}-`, "If-Range": etag };
      const response = await call(path, { headers });
      expect(response.status).toBe(attempt === 0 ? 200 : 206);
      const reader = (response.body ?? new ReadableStream()).getReader();
      // Each connection breaks after some 700 kB: inside volumes, and beyond their ends.
      for (const until = at + 700_000; at < until;) {
        const { done, value } = await reader.read();
        if (done) break;
        got.push(value);
        at += value.length;
      }
      await reader.cancel();
      expect(attempt).toBeLessThan(20);
    }
    expect(sameBytes(new Uint8Array(await new Blob(got).arrayBuffer()), dump)).toBe(true);
  });
});

describe("conditions", () => {
  const range = { Range: "bytes=10-19" };

  it.each<[string, string, (etag: string) => Record<string, string>, number, number]>([
    ["a range under this ETag", "GET", (etag) => ({ ...range, "If-Range": etag }), 206, 10],
    ["a range under another", "GET", () => ({ ...range, "If-Range": '"another"' }), 200, -1],
    ["a range under this, weak", "GET", (etag) => ({ ...range, "If-Range": `W/${etag}` }), 200, -1],
    ["two ranges", "GET", () => ({ Range: "bytes=0-1,5-6" }), 200, -1],
    ["a range in other units", "GET", () => ({ Range: "lines=0-1" }), 200, -1],
    ["If-None-Match", "GET", (etag) => ({ "If-None-Match": etag }), 304, 0],
    ["If-None-Match of its head", "HEAD", (etag) => ({ "If-None-Match": etag }), 304, 0],
    ["If-None-Match of another", "GET", () => ({ "If-None-Match": '"another"' }), 200, -1],
    ["If-Match", "GET", (etag) => ({ ...range, "If-Match": etag }), 206, 10],
    ["If-Match of another", "GET", () => ({ ...range, "If-Match": '"another"' }), 412, 0],
    ["its head", "HEAD", () => ({}), 200, 0],
    ["its head, and a range", "HEAD", () => range, 200, 0],
  ])("%s", async (_, method, headersFor, status, length) => {
    const volume = `/api/backups/${sample("gzip").manifest.backupId}/files/${sample("gzip").manifest.volumes[1]?.name}`;
    for (const path of [sample("gzip").path, volume]) {
      const plain = await call(path);
      const bytes = await bytesOf(plain);
      const etag = plain.headers.get("ETag") ?? "";
      const response = await call(path, { method, headers: headersFor(etag) });
      expect(response.status).toBe(status);
      expect(response.headers.get("ETag")).toBe(etag);
      expect(response.headers.get("Accept-Ranges")).toBe("bytes");
      if (status === 200) {
        for (const name of ["Content-Length", "Content-Type", "Content-Disposition"])
          expect(response.headers.get(name)).toBe(plain.headers.get(name));
      }
      if (status === 206) expect(response.headers.get("Content-Range")).toBe(`bytes 10-19/${bytes.length}`);
      expect((await bytesOf(response)).length).toBe(length === -1 ? bytes.length : length);
    }
  });

  it("a range behind the end is 416, in words", async () => {
    const { path, manifest } = sample("zstd");
    const volume = manifest.volumes[0];
    for (const [of, size] of [
      [path, manifest.dump.bytes],
      [`/api/backups/${manifest.backupId}/files/${volume?.name}`, volume?.bytes],
    ] as const) {
      const response = await call(of, { headers: { Range: `bytes=${size}-` } });
      expect(response.status).toBe(416);
      expect(response.headers.get("Content-Range")).toBe(`bytes */${size}`);
      expect(response.headers.get("Content-Type")).toBe("application/problem+json");
      expect(await response.json()).toMatchObject({ code: "range-not-satisfiable", status: 416 });
    }
  });
});

/** What came of a download before it broke, or all of it. */
async function received(response: Response): Promise<{ bytes: Uint8Array; broken: boolean }> {
  const got: Uint8Array[] = [];
  let broken = false;
  try {
    for await (const piece of response.body ?? new ReadableStream<Uint8Array>()) got.push(piece);
  } catch {
    broken = true;
  }
  return { bytes: new Uint8Array(await new Blob(got).arrayBuffer()), broken };
}

describe.each(kinds)("a damaged backup stored as %s", (kind) => {
  let logged: MockInstance<typeof console.error>;
  let damaged: Sample;
  /** Where in the dump each volume begins; its end last. */
  let edges: number[];

  beforeEach(async () => {
    logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const { folder, manifest, ...rest } = sample(kind);
    // A copy in a folder of its own: the others go on reading the whole one.
    const stamp = `2030${String(1_000_000_000 + copies++).slice(-4)}T000000Z`;
    const copy = { ...manifest, backupId: `${manifest.database.name}.${stamp}` };
    const to = `d1/${manifest.database.name}/${stamp}/`;
    for (const { name } of manifest.volumes)
      await env.BACKUPS.put(to + name, (await (await env.BACKUPS.get(folder + name))?.arrayBuffer()) ?? "");
    await env.BACKUPS.put(`${to}manifest.json`, JSON.stringify(copy));
    damaged = { ...rest, folder: to, manifest: copy, path: `/api/backups/${copy.backupId}/dump.sql` };
    edges = [0];
    for (const { dumpBytes } of manifest.volumes) edges.push((edges.at(-1) ?? 0) + (dumpBytes ?? 0));
  });

  afterEach(() => logged.mockRestore());

  const key = (index: number): string => damaged.folder + (damaged.manifest.volumes.at(index)?.name ?? "");
  const stored = async (index: number): Promise<Uint8Array> => {
    const object = await env.BACKUPS.get(key(index));
    return new Uint8Array((await object?.arrayBuffer()) ?? new ArrayBuffer(0));
  };

  /** Everything before the damaged volume came, and not all of that. */
  async function expectBroken(index: number, code: string, range?: string): Promise<void> {
    const response = await call(damaged.path, range === undefined ? {} : { headers: { Range: range } });
    const begin = Number(/\d+/.exec(response.headers.get("Content-Range") ?? "0")?.[0]);
    const { bytes, broken } = await received(response);
    expect(broken).toBe(true);
    expect(bytes.length).toBeLessThan(Number(response.headers.get("Content-Length")));
    expect(bytes.length).toBeGreaterThanOrEqual((edges.at(index) ?? 0) - begin);
    expect(bytes.length).toBeLessThan((edges.at(index + 1) ?? damaged.dump.length) - begin);
    expect(logged).toHaveBeenCalledWith(
      expect.objectContaining({ event: "dump-download-broken-off", backup: damaged.manifest.backupId, code }),
    );
  }

  it("breaks off before a missing volume", async () => {
    await env.BACKUPS.delete(key(1));
    await expectBroken(1, "stored-object-missing");
  });

  it("breaks off in a volume that is cut", async () => {
    await env.BACKUPS.put(key(2), (await stored(2)).slice(0, -1));
    await expectBroken(2, "stored-object-altered");
  });

  it.each(["its beginning", "its middle", "its end"])(
    "breaks off in a volume with a bit flipped in %s, although its size is right",
    async (where) => {
      const last = damaged.manifest.volumes.length - 1;
      const bytes = await stored(last);
      // What is compressed ends with a checksum, behind the last byte of the dump.
      const end = bytes.length - (damaged.manifest.compression === "none" ? 1 : 20);
      const at = { "its beginning": 30, "its middle": bytes.length >> 1 }[where] ?? end;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await env.BACKUPS.put(key(last), bytes);
      await expectBroken(last, "stored-object-altered");
    },
  );

  it("breaks a resumed download whose first part was read from the damaged volume", async () => {
    const bytes = await stored(1);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await env.BACKUPS.put(key(1), bytes);
    const from = (edges[1] ?? 0) + 500_000;
    const response = await call(damaged.path, { headers: { Range: `bytes=${from}-` } });
    expect(response.status).toBe(206);
    expect((await received(response)).broken).toBe(true);
  });

  it("still gives the ranges that do not need the damaged volume", async () => {
    await env.BACKUPS.delete(key(1));
    const [, begin = 0, end = 0] = edges;
    const before = await received(await call(damaged.path, { headers: { Range: `bytes=0-${begin - 1}` } }));
    expect(before.broken || !sameBytes(before.bytes, damaged.dump.subarray(0, begin))).toBe(false);
    const behind = await received(await call(damaged.path, { headers: { Range: `bytes=${end}-` } }));
    expect(behind.broken || !sameBytes(behind.bytes, damaged.dump.subarray(end))).toBe(false);
  });

  it.each(["GET", "HEAD"])("says at once what is wrong with the first volume (%s)", async (method) => {
    await env.BACKUPS.put(key(0), "not a volume at all");
    const altered = await call(damaged.path, { method });
    expect(altered.status).toBe(500);
    if (method === "GET")
      expect(await altered.json()).toMatchObject({ code: "stored-object-altered", hint: expect.any(String) });
    await env.BACKUPS.delete(key(0));
    const missing = await call(damaged.path, { method });
    expect(missing.status).toBe(404);
    if (method === "GET") expect(await missing.json()).toMatchObject({ code: "stored-object-missing" });
  });

  it("breaks off when its manifest promises more than its volumes hold", async () => {
    const more = { ...damaged.manifest, dump: { ...damaged.manifest.dump, bytes: damaged.dump.length + 1 } };
    await env.BACKUPS.put(`${damaged.folder}manifest.json`, JSON.stringify(more));
    const response = await call(damaged.path);
    expect(response.headers.get("Content-Length")).toBe(String(damaged.dump.length + 1));
    expect((await received(response)).broken).toBe(true);
  });
});

let copies = 0;

describe("a dump that is not joined here", () => {
  it.each<[string, Partial<Manifest>, string]>([
    [
      "encrypted",
      { encryption: { format: "age-encryption.org/v1", recipients: [] } },
      "dump-not-readable-here",
    ],
    ["above 2 GiB", { dump: { bytes: JOINED_LIMIT + 1, sha256: null, statements: null } }, "dump-too-large"],
  ])("%s: 409 that names the volumes and their addresses", async (_, changes, code) => {
    const { manifest } = sample("gzip");
    const stamp = `2031${String(1_000_000_000 + copies++).slice(-4)}T000000Z`;
    const backupId = `${manifest.database.name}.${stamp}`;
    await env.BACKUPS.put(
      `d1/${manifest.database.name}/${stamp}/manifest.json`,
      JSON.stringify({ ...manifest, backupId, ...changes }),
    );
    const names = manifest.volumes.map(({ name }) => name);
    const response = await call(`/api/backups/${backupId}/dump.sql`, { headers: { Range: "bytes=0-9" } });
    expect(response.status).toBe(409);
    const body = await response.json<{ hint: string }>();
    expect(body).toMatchObject({ code, volumes: names });
    for (const name of names) expect(body.hint).toContain(`/api/backups/${backupId}/files/${name}`);
  });
});

describe("files", () => {
  it("whatever the name, nothing outside the backup's folder is reached", async () => {
    const [one, other] = [sample("gzip"), sample("zstd")];
    const there = `${other.folder.slice("d1/".length)}manifest.json`;
    // What is looked for does exist, one way or another.
    expect(await env.BACKUPS.head(`d1/${there}`)).not.toBeNull();
    await env.BACKUPS.put("d1/above.txt", "outside");
    const up = (times: number): string => "../".repeat(times);
    for (const name of [
      `${up(2)}${there}`,
      `${up(3)}d1/${there}`,
      `${up(2)}above.txt`,
      `/d1/${there}`,
      `d1/${there}`,
      "..",
      ".",
      "../manifest.json",
      "./manifest.json",
      "manifest.json/",
      "manifest.json\0",
      "MANIFEST.JSON",
      "nothing.sql",
      "x".repeat(2_000),
    ]) {
      const once = encodeURIComponent(name).replaceAll(".", "%2E");
      for (const spelled of [
        once,
        encodeURIComponent(once),
        once.replaceAll("%2F", "%5C"),
        once.replaceAll(/%../g, (byte) => byte.toLowerCase()),
      ]) {
        const response = await call(`/api/backups/${one.manifest.backupId}/files/${spelled}`);
        // A URL's parser takes %2E for a dot: what goes up by it is another route, and no file either.
        const body = response.headers.get("Content-Disposition");
        expect([spelled, body]).toEqual([spelled, null]);
        if (!/^(?:%2e)+$/i.test(spelled)) expect([spelled, response.status]).toEqual([spelled, 404]);
      }
    }
  });

  it.each(["RUN.json", "SHA256SUMS", "RESTORE.md", "manifest.json"])("%s, by name", async (name) => {
    const { manifest, folder } = sample("gzip");
    const response = await call(`/api/backups/${manifest.backupId}/files/${name}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("Content-Disposition")).toBe(`attachment; filename=${name}`);
    expect(await response.text()).toBe(await (await env.BACKUPS.get(folder + name))?.text());
  });
});
