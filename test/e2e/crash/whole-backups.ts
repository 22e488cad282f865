import { expect } from "vitest";
import { z } from "zod";
import { type Manifest, manifestSchema } from "../../../src/core/backup/manifest.ts";
import { type CrashRig, eventually } from "./crash-rig.ts";
import { measured, type SourceDatabase } from "./emulated-source.ts";

const listedObjects = z.array(z.object({ key: z.string(), size: z.number() }));
const listedRuns = z.object({ items: z.array(z.object({ id: z.string(), state: z.string() })) });
const listedBackups = z.object({ items: z.array(z.object({ id: z.string(), runId: z.string() })) });
const claim = z.object({ runId: z.string(), databaseId: z.string() });

const MOST_OF_A_LIST = 100;

/** All that was asked for and came to its end, so that whatever else there is shows as too much. */
export class WholeBackups {
  readonly #rig: CrashRig;
  readonly #database: SourceDatabase;
  readonly #manifests: Manifest[] = [];

  constructor(rig: CrashRig, database: SourceDatabase) {
    this.#rig = rig;
    this.#database = database;
  }

  /** Waits for the run's end, and requires that nothing about it, or about any run before it, shows the crash. */
  async expectOneMore(runId: string): Promise<Manifest> {
    const run = await this.#rig.runToItsEnd(runId);
    expect(run).toMatchObject({ id: runId, state: "complete", error: null });
    const manifest = await this.#manifest(z.string().parse(run.backupId));
    expect(manifest.runId).toBe(runId);
    await this.#expectChained(manifest);
    this.#manifests.push(manifest);
    await this.#expectCatalogue();
    await this.#expectObjects();
    await this.#expectVolumes(manifest);
    return manifest;
  }

  async #manifest(backupId: string): Promise<Manifest> {
    return manifestSchema.parse(JSON.parse(await this.#text(`${this.#folderOf(backupId)}manifest.json`)));
  }

  /** Each backup names the one before it, by the hash of the manifest that lies in the bucket. */
  async #expectChained(manifest: Manifest): Promise<void> {
    const before = this.#manifests.at(-1);
    if (before === undefined) return;
    const { sha256 } = await this.#stored(`${this.#folderOf(before.backupId)}manifest.json`);
    expect(manifest.previous).toEqual({ backupId: before.backupId, manifestSha256: sha256 });
  }

  /** As many runs as there were requests, and each backup once. The catalogue may take a moment. */
  async #expectCatalogue(): Promise<void> {
    const filter = `?database=${this.#database.id}&limit=${MOST_OF_A_LIST}`;
    const expected = this.#manifests.map(({ runId, backupId }) => ({ id: backupId, runId })).toReversed();
    const answer = await eventually(
      "the catalogue",
      async () => ({
        runs: listedRuns.parse(await this.#rig.json(`/api/runs${filter}`)).items,
        backups: listedBackups.parse(await this.#rig.json(`/api/backups${filter}`)).items,
      }),
      ({ runs, backups }) =>
        backups.length >= expected.length && runs.every(({ state }) => state === "complete"),
    );
    expect(answer.runs.map(({ id }) => id)).toEqual(expected.map(({ runId }) => runId));
    expect(answer.backups).toEqual(expected);
  }

  /** Exactly the objects of the finished backups: nothing half, nothing twice, nothing that nobody names. */
  async #expectObjects(): Promise<void> {
    const listed = listedObjects.parse(await this.#rig.json("/_crash/objects"));
    const ofBackups = listed.filter(({ key }) => !key.startsWith("d1/_d1-nightly/"));
    const expected = this.#manifests.flatMap(({ backupId, volumes }) => {
      const beside = ["RUN.json", "SHA256SUMS", "RESTORE.md", "manifest.json"];
      return [...beside, ...volumes.map(({ name }) => name)].map((name) => this.#folderOf(backupId) + name);
    });
    expect(ofBackups.map(({ key }) => key).sort()).toEqual(expected.sort());
    const sizes = new Map(listed.map(({ key, size }) => [key, size]));
    for (const { backupId, volumes } of this.#manifests) {
      for (const { name, bytes } of volumes) expect(sizes.get(this.#folderOf(backupId) + name)).toBe(bytes);
    }
  }

  /** Every stored byte is what the manifest says, and together they are the dump. */
  async #expectVolumes(manifest: Manifest): Promise<void> {
    const folder = this.#folderOf(manifest.backupId);
    const owner = claim.parse(JSON.parse(await this.#text(`${folder}RUN.json`)));
    expect(owner).toEqual({ runId: manifest.runId, databaseId: this.#database.id });
    for (const { name, bytes, sha256 } of manifest.volumes)
      expect({ name, ...(await this.#stored(folder + name)) }).toEqual({ name, bytes, sha256 });
    const sums = manifest.volumes.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
    expect(await this.#text(`${folder}SHA256SUMS`)).toBe(sums);
    const { dump } = this.#database;
    expect(manifest.dump.bytes).toBe(dump.bytes);
    expect(manifest.volumes.reduce((sum, { dumpBytes }) => sum + (dumpBytes ?? 0), 0)).toBe(dump.bytes);
    const joined = await measured(await this.#rig.fetch(`/api/backups/${manifest.backupId}/dump.sql`));
    expect(joined).toEqual(dump);
  }

  #folderOf(backupId: string): string {
    return `d1/${backupId.replace(/\.(?=[^.]*$)/, "/")}/`;
  }

  async #stored(key: string): Promise<{ bytes: number; sha256: string }> {
    return measured(await this.#rig.fetch(`/_crash/object?key=${encodeURIComponent(key)}`));
  }

  async #text(key: string): Promise<string> {
    return (await this.#rig.fetch(`/_crash/object?key=${encodeURIComponent(key)}`)).text();
  }
}

/** Tells whether a multipart upload is still open, by sending it one part more. */
export async function takesParts(
  rig: CrashRig,
  upload: { key: string; uploadId: string },
): Promise<{ accepted: boolean; refusal: string | null }> {
  const answer = z.object({ accepted: z.boolean(), refusal: z.string().nullable() });
  return answer.parse(await rig.json(`/_crash/parts?${query(upload)}`, { method: "POST" }));
}

/** An upload that nobody aborts: it shows that it is not the crash that ends uploads. */
export async function openUpload(rig: CrashRig, key: string): Promise<{ key: string; uploadId: string }> {
  const answer = z.object({ uploadId: z.string() });
  const path = `/_crash/uploads?key=${encodeURIComponent(key)}`;
  return { key, ...answer.parse(await rig.json(path, { method: "POST" })) };
}

export async function abortUpload(rig: CrashRig, upload: { key: string; uploadId: string }): Promise<void> {
  await rig.fetch(`/_crash/uploads?${query(upload)}`, { method: "DELETE" });
}

function query(upload: { key: string; uploadId: string }): string {
  return new URLSearchParams(upload).toString();
}
