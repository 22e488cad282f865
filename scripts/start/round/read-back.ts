import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Duplex, PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { z } from "zod";
import {
  checksumHolds,
  type Manifest,
  readManifest,
  type StoredVolume,
} from "../../../src/core/backup/manifest.ts";
import type { Digest } from "../../../src/core/bucket/codecs.ts";
import { MANIFEST } from "../../../src/core/bucket/object-keys.ts";
import type { HttpClient } from "./http-client.ts";
import { Trouble } from "../trouble.ts";

export interface StoredBackup {
  readonly manifest: Manifest;
  /** The folder that holds its files now. */
  readonly folder: string;
}

const backupSchema = z.object({ id: z.string(), databaseName: z.string() });
const backupsSchema = z.object({ items: z.array(backupSchema) });

/** The newest backup of a database, which an `unchanged` run has confirmed. */
export async function latestBackupId(api: HttpClient, database: string): Promise<string> {
  const { items } = await api.get(
    `/api/backups?database=${encodeURIComponent(database)}&limit=1`,
    backupsSchema,
  );
  if (items[0] === undefined) throw new Trouble(`The API lists no backup of ${database}.`);
  return items[0].id;
}

/**
 * Fetches every file of a backup from the bucket, proves each byte against the manifest, both as stored and
 * decompressed, and leaves the files below `target`. Memory stays constant whatever the size. Throws what differs.
 * Of what is encrypted only the stored bytes can be proved: the key is not here.
 */
export async function readBack(
  api: HttpClient,
  backupId: string,
  target: string,
  tell: (bytesDone: number, bytesTotal: number) => void,
): Promise<StoredBackup> {
  const path = `/api/backups/${encodeURIComponent(backupId)}`;
  await api.get(path, backupSchema);
  const dot = backupId.lastIndexOf(".");
  const folder = join(target, backupId.slice(0, dot), backupId.slice(dot + 1));
  const unfinished = `${folder}.part`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });

  const fetchFile = async (
    name: string,
    count: (bytes: number) => void = () => undefined,
  ): Promise<Tally> => {
    if (name !== basename(name) || ["", ".", ".."].includes(name))
      throw new Trouble(`The manifest of ${backupId} lists a file "${name}".`);
    const tally = new Tally(count);
    const bytes = await api.download(`${path}/files/${encodeURIComponent(name)}`);
    await pipeline(bytes, tally.through, createWriteStream(join(unfinished, name)));
    return tally;
  };

  await fetchFile(MANIFEST);
  const text = await readFile(join(unfinished, MANIFEST), "utf8");
  const reading = readManifest(text);
  if (reading.kind !== "manifest") throw new Trouble(`The manifest of ${backupId} cannot be read.`);
  const { manifest } = reading;
  if (!checksumHolds(text, manifest, { digest }))
    throw new Trouble(`The manifest of ${backupId} was altered.`);

  const total = manifest.volumes.reduce((sum, volume) => sum + volume.bytes, 0);
  const whole = new Tally();
  let done = 0;
  tell(0, total);
  for (const volume of manifest.volumes) {
    const stored = await fetchFile(volume.name, (bytes) => tell((done += bytes), total));
    requireEqual(volume.name, stored, volume.bytes, volume.sha256);
    if (manifest.encryption === null)
      await proveDump(join(unfinished, volume.name), volume, manifest.compression, whole);
  }
  if (manifest.encryption === null)
    requireEqual("the dump", whole, manifest.dump.bytes, manifest.dump.sha256);
  for (const file of manifest.files)
    requireEqual(file.name, await fetchFile(file.name), file.bytes, file.sha256);

  await rm(folder, { recursive: true, force: true });
  await mkdir(dirname(folder), { recursive: true });
  await rename(unfinished, folder);
  return { manifest, folder };
}

/** Decompresses a volume and compares what comes out; `whole` counts it as a part of the whole dump. */
async function proveDump(
  file: string,
  volume: StoredVolume,
  compression: Manifest["compression"],
  whole: Tally,
): Promise<void> {
  const part = new Tally();
  await pipeline(createReadStream(file), decompressor(compression), part.through, whole.through, nowhere);
  requireEqual(`the dump in ${volume.name}`, part, volume.dumpBytes, volume.dumpSha256);
}

function digest(): Digest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}

async function nowhere(source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of source);
}

function decompressor(compression: Manifest["compression"]): Duplex {
  switch (compression) {
    case "gzip":
      return createGunzip();
    case "zstd":
      return createZstdDecompress();
    case "none":
      return new PassThrough();
  }
}

function requireEqual(what: string, found: Tally, bytes: number | null, sha256: string | null): void {
  if (bytes !== null && found.bytes !== bytes)
    throw new Trouble(`${what} has ${found.bytes} bytes; the manifest says ${bytes}.`);
  if (sha256 !== null && found.sha256() !== sha256)
    throw new Trouble(`The SHA-256 of ${what} differs from the manifest.`);
}

/** Counts and hashes what passes through. */
class Tally {
  bytes = 0;
  readonly #hash = createHash("sha256");
  readonly #count: (bytes: number) => void;

  constructor(count: (bytes: number) => void = () => undefined) {
    this.#count = count;
  }

  readonly through = async function* (
    this: Tally,
    source: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.bytes += chunk.length;
      this.#hash.update(chunk);
      this.#count(chunk.length);
      yield chunk;
    }
  }.bind(this);

  sha256(): string {
    return this.#hash.copy().digest("hex");
  }
}
