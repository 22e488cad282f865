import { Decrypter, generateX25519Identity } from "age-encryption";
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { chacha20poly1305 as reference } from "../../node_modules/@noble/ciphers/chacha.js";
import { chacha20poly1305 } from "../../src/cloudflare/codecs/chacha20-poly1305.ts";
import type { Run } from "../../src/core/run/run.ts";
import { createDatabase, dumpOf, syntheticDump } from "../worker/kit/emulated-account.ts";
import {
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  keysOf,
  manifestOf,
  setPolicy,
  startBackup,
  storedRun,
} from "../worker/kit/run-driver.ts";
import { expectLog } from "../worker/kit/worker-log.ts";

const MIB = 1024 * 1024;
const identities = (env.TEST_IDENTITIES ?? "").split(",");
const recipients = (env.AGE_RECIPIENTS ?? "").split(",");

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

async function stored(backupId: string | null, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const object = await env.BACKUPS.get(`d1/${backupId?.replace(/\.(\w+)$/, "/$1") ?? ""}/${name}`);
  if (object === null) throw new Error(`${name} is not in the bucket`);
  return new Uint8Array(await object.arrayBuffer());
}

async function decrypt(file: Uint8Array, identity: string): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return decrypter.decrypt(file);
}

const decompress = { gzip: gunzipSync, zstd: zstdDecompressSync, none: (bytes: Uint8Array) => bytes };

describe("with AGE_RECIPIENTS set", () => {
  it.each(["gzip", "zstd", "none"] as const)(
    "each volume is an age file to each recipient, X25519 or post-quantum (%s)",
    async (compression) => {
      const database = await createDatabase("");
      await syntheticDump(database.id, 2.5 * MIB);
      await setPolicy(database.id, { compression });
      const { backupId } = await backUp(database);
      const manifest = await manifestOf(backupId);
      expect(manifest.encryption).toEqual({ format: "age-encryption.org/v1", recipients });
      expect(manifest.volumes).toHaveLength(3);
      const dump = await dumpOf(database.id);
      for (const identity of identities) {
        let joined = "";
        for (const { name } of manifest.volumes) {
          expect(name).toMatch(/\.age$/);
          const file = await stored(backupId, name);
          expect(new TextDecoder().decode(file.slice(0, 22))).toBe("age-encryption.org/v1\n");
          joined += new TextDecoder().decode(decompress[compression](await decrypt(file, identity)));
        }
        expect(joined === dump).toBe(true);
      }
    },
    30_000,
  );

  it.each(["gzip", "zstd", "none"] as const)(
    "a copy holds 20 MiB at most (%s)",
    async (compression) => {
      const database = await createDatabase("");
      await syntheticDump(database.id, 26 * MIB, false);
      await setPolicy(database.id, { compression, volumeBytes: 20 * MIB });
      expect(await backUp(database)).toMatchObject({ state: "complete" });
      const peak = await env.DATABASE_BACKUPS.getByName(database.id).peakBytes();
      expect(peak).toBeGreaterThan(6 * MIB);
      expect(peak).toBeLessThanOrEqual(20 * MIB);
    },
    30_000,
  );

  it("no key but the recipients' opens a volume", async () => {
    const database = await createDatabase("CREATE TABLE t (a);");
    const { backupId } = await backUp(database);
    const [volume] = (await manifestOf(backupId)).volumes;
    const file = await stored(backupId, volume?.name ?? "");
    const stranger = await generateX25519Identity();
    await expect(decrypt(file, stranger)).rejects.toThrow("no identity matched");
  });

  it("lean backups are encrypted too", async () => {
    const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES ('secret');");
    await setPolicy(database.id, { lean: true });
    const { backupId } = await backUp(database);
    const [volume] = (await manifestOf(backupId)).volumes;
    const plain = await decrypt(await stored(backupId, volume?.name ?? ""), identities[0] ?? "");
    expect(new TextDecoder().decode(plain)).toBe(await dumpOf(database.id));
  });

  it("the dump cannot be had from the Worker, which holds no key", async () => {
    const database = await createDatabase("CREATE TABLE t (a);");
    const { backupId } = await backUp(database);
    const response = await call(`/api/backups/${backupId ?? ""}/dump.sql`);
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({
      code: "dump-not-readable-here",
      hint: expect.stringContaining(".age"),
    });
  });

  it.each(["gzip", "none"] as const)(
    "a volume that is stored readable fails the run, and is deleted (failure mode 11; %s)",
    async (compression) => {
      expectLog("run-failed");
      const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES ('secret');");
      await setPolicy(database.id, { compression });
      await startBackup(database.id);
      const { phase } = await drive(database.id, (run) => run.phase.at === "verifying");
      if (phase.at !== "verifying") throw new Error("not verifying");
      // As if the encoder had let it through: what was hashed on the way is what lies there.
      const plain = new TextEncoder().encode(await dumpOf(database.id));
      const [volume] = phase.copy.volumes;
      const folder = `d1/${database.name}/${phase.copy.stamp}/`;
      await env.BACKUPS.put(folder + (volume?.name ?? ""), plain);
      const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", plain)).toHex();
      await runInDurableObject(env.DATABASE_BACKUPS.getByName(database.id), async (_, state) => {
        const run = state.storage.kv.get<Run>("run");
        const volumes = [{ ...volume, bytes: plain.length, sha256 }];
        state.storage.kv.put("run", { ...run, phase: { ...phase, copy: { ...phase.copy, volumes } } });
      });
      await drive(database.id, isOver);
      expect((await storedRun(database.id)).phase).toMatchObject({
        at: "failed",
        failure: { code: "stored-object-readable" },
      });
      await vi.waitUntil(async () => (await keysOf(database.name)).length === 0);
    },
  );
});

describe("the platform's cipher in the place of the library's", () => {
  const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

  it.each([0, 1, 15, 16, 17, 64, 65_535, 65_536])("gives the same bytes for %i of plaintext", (length) => {
    const [key, nonce, plain] = [random(32), random(12), random(length)];
    const sealed = chacha20poly1305(key, nonce).encrypt(plain);
    expect(sealed.toHex()).toBe(reference(key, nonce).encrypt(plain).toHex());
    expect(chacha20poly1305(key, nonce).decrypt(sealed).toHex()).toBe(plain.toHex());
  });

  it("refuses what was altered, cut or sealed with another key, as the library's does", () => {
    const [key, nonce] = [random(32), random(12)];
    const sealed = chacha20poly1305(key, nonce).encrypt(random(100));
    const altered = sealed.slice();
    altered[50] = (altered[50] ?? 0) ^ 1;
    for (const wrong of [altered, sealed.slice(0, -1), sealed.slice(0, 10), new Uint8Array(0)]) {
      expect(() => chacha20poly1305(key, nonce).decrypt(wrong)).toThrow();
    }
    expect(() => chacha20poly1305(random(32), nonce).decrypt(sealed)).toThrow();
  });
});
