import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { manifestText } from "../../../src/core/backup/manifest.ts";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";
import { createDatabase } from "../kit/emulated-account.ts";
import { backUp, holdTheClock, manifestOf } from "../kit/run-driver.ts";
import { blamedIn, verify } from "../kit/verification-driver.ts";

beforeEach(() => {
  holdTheClock();
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const KEPT = "d1/overlong/kept";
const OVERLONG = { letters: `d1/overlong/${"a".repeat(1_100)}`, umlauts: `d1/overlong/${"ü".repeat(600)}` };

describe("a key that is longer than any object's", () => {
  const vault = new R2Vault(env.BACKUPS);

  it.each(Object.entries(OVERLONG))("is that of no object (%s)", async (_, key) => {
    const nothing = { ok: true, value: null };
    expect(await vault.head(key)).toEqual(nothing);
    expect(await vault.readText(key)).toEqual(nothing);
    expect(await vault.measure(key)).toEqual(nothing);
    expect(await vault.decoded(key, "gzip")).toEqual(nothing);
    expect(await vault.download(key, new Request("http://worker.test/"))).toEqual(nothing);
  });

  it("keeps no other from being deleted", async () => {
    await env.BACKUPS.put(KEPT, "x");
    expect(await vault.remove([OVERLONG.letters, KEPT, OVERLONG.umlauts])).toMatchObject({ ok: true });
    expect(await env.BACKUPS.head(KEPT)).toBeNull();
  });
});

describe("an overlong name of a volume in a manifest", () => {
  it("is named as what is missing, and the other files are read all the same", async () => {
    const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1);");
    const { backupId } = await backUp(database);
    const id = backupId ?? "";
    const manifest = await manifestOf(id);
    const overlong = "x".repeat(2_000);
    // Sealed anew, so that nothing else is wrong with it.
    const text = manifestText(
      {
        ...manifest,
        volumes: manifest.volumes.map((volume) => ({ ...volume, name: overlong })),
        files: manifest.files.filter(({ name }) => name !== "SHA256SUMS"),
      },
      codecs(),
    );
    await env.BACKUPS.put(`d1/${id.replace(/\.(\w+)$/, "/$1")}/manifest.json`, text);
    await env.CATALOG.prepare("DELETE FROM backups WHERE id = ?").bind(id).run();
    const verification = await verify(id);
    expect(verification).toMatchObject({ state: "complete", sound: false });
    expect(blamedIn(verification)).toMatchObject({ [overlong]: "stored-object-missing" });
    const sound = verification.files.filter((file) => file.sound === true).map(({ name }) => name);
    expect(sound).toEqual(expect.arrayContaining(["manifest.json", "RUN.json", "RESTORE.md"]));
  });
});
