import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { everyDamageIsFound, listing } from "../worker/kit/damages.ts";
import { createDatabase } from "../worker/kit/emulated-account.ts";
import { backUp, call, holdTheClock } from "../worker/kit/run-driver.ts";
import {
  askToVerify,
  blamedIn,
  driveVerification,
  nextRead,
  verificationOf,
  verifier,
  verify,
  watchedBucket,
  withEnvironment,
} from "../worker/kit/verification-driver.ts";
import { allowLog } from "../worker/kit/worker-log.ts";

everyDamageIsFound("gzip", ".sql.gz");
everyDamageIsFound("none", ".sql");

describe("a verification", () => {
  beforeEach(() => {
    holdTheClock();
    allowLog("backup-damaged", "verification-failed");
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  async function smallBackup(name?: string): Promise<{ id: string; folder: string; volume: string }> {
    const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1);", name);
    const { backupId } = await backUp(database);
    if (backupId === null) throw new Error("the backup failed");
    const folder = `d1/${backupId.replace(/\.(\w+)$/, "/$1")}/`;
    return { id: backupId, folder, volume: `${backupId.replace(/\.\w+$/, "")}.0001.sql.gz` };
  }

  it("is asked for, followed, and kept until the next one", async () => {
    const { id, volume } = await smallBackup("with spaces, 100% & ümlauts");
    const verification = await askToVerify(id);
    expect(verification).toEqual({
      id: expect.stringContaining(`${id}.`),
      backupId: id,
      state: "running",
      startedAt: expect.any(String),
      finishedAt: null,
      sound: null,
      progress: { filesDone: 0, filesTotal: null, bytesDone: 0, bytesTotal: null },
      files: [],
      error: null,
    });
    const again = await call(`/api/backups/${encodeURIComponent(id)}/verify`, { method: "POST" });
    expect(again.status).toBe(202);
    // Nothing is begun twice: whoever asks meanwhile is told of this one.
    expect(await again.json()).toEqual({ verification });
    expect(await (await call(again.headers.get("Location") ?? "")).json()).toEqual(verification);

    await nextRead(id);
    expect(await verificationOf(verification.id)).toMatchObject({
      state: "running",
      sound: null,
      progress: { filesDone: 1, filesTotal: 5 },
      files: [
        { name: "manifest.json", sound: true, problem: null },
        { name: "RUN.json", sound: null, problem: null },
        { name: "SHA256SUMS", sound: null, problem: null },
        { name: "RESTORE.md", sound: null, problem: null },
        { name: volume, sound: null, problem: null },
      ],
    });
    const first = await driveVerification(await verificationOf(verification.id));
    expect(first).toMatchObject({ state: "complete", sound: true, finishedAt: expect.any(String) });

    const second = await verify(id);
    expect(second.id).not.toBe(first.id);
    expect((await call(`/api/verifications/${encodeURIComponent(first.id)}`)).status).toBe(404);
  });

  it.each<[string, string, string, RequestInit, number, string]>([
    [
      "of a backup that is not there",
      "POST",
      "/api/backups/none.21261121T030000Z/verify",
      {},
      404,
      "backup-not-found",
    ],
    ["of what is no backup's id", "POST", "/api/backups/none/verify", {}, 404, "backup-not-found"],
    [
      "that was never asked for",
      "GET",
      "/api/verifications/none.21261121T030000Z.mabcdef0",
      {},
      404,
      "verification-not-found",
    ],
    ["of an id that is none", "GET", "/api/verifications/none", {}, 404, "verification-not-found"],
  ])("%s is refused", async (_, method, path, init, status, code) => {
    const response = await call(path, { ...init, method });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code });
  });

  it("of a folder without its manifest says that this is missing, and whether the rest is sound", async () => {
    const { id, folder } = await smallBackup();
    await env.BACKUPS.delete(`${folder}manifest.json`);
    const verification = await verify(id);
    expect(verification).toMatchObject({ state: "complete", sound: false });
    expect(blamedIn(verification)).toEqual({ "manifest.json": "stored-object-missing" });
  });

  it("takes no orders that it does not know", async () => {
    const { id } = await smallBackup();
    const body = JSON.stringify({ repair: true });
    expect((await call(`/api/backups/${id}/verify`, { method: "POST", body })).status).toBe(400);
  });

  it("takes an admin to begin, and a viewer to look at", async () => {
    const { id } = await smallBackup();
    const verification = await verify(id);
    const asViewer = (method: string, path: string): Promise<Response> =>
      exports.default.fetch(
        new Request(`http://worker.test${path}`, {
          method,
          headers: { Authorization: "Bearer viewer-token-for-tests" },
        }),
      );
    expect((await asViewer("POST", `/api/backups/${id}/verify`)).status).toBe(403);
    expect((await asViewer("GET", `/api/verifications/${verification.id}`)).status).toBe(200);
  });

  it("tells the log of what is damaged", async () => {
    const { id, folder, volume } = await smallBackup();
    await env.BACKUPS.delete(folder + volume);
    const log = vi.spyOn(console, "error");
    const verification = await verify(id);
    expect(log).toHaveBeenCalledWith({
      event: "backup-damaged",
      verification: verification.id,
      files: 1,
      named: [`${volume}: stored-object-missing`],
    });
  });

  it("goes on after its object was evicted", async () => {
    const { id } = await smallBackup();
    const asked = await askToVerify(id);
    await driveVerification(asked, ({ progress }) => progress.filesDone === 3);
    await evictDurableObject(verifier(id));
    expect(await verificationOf(asked.id)).toMatchObject({ state: "running", progress: { filesDone: 3 } });
    expect(await driveVerification(asked)).toMatchObject({ sound: true, progress: { filesDone: 5 } });
  });

  it("goes on wherever its object dies", async () => {
    const { id } = await smallBackup();
    for (let deadly = 1; ; deadly++) {
      const asked = await askToVerify(id);
      let reads = 0;
      await withEnvironment(id, ({ BACKUPS }, state) => ({
        BACKUPS: watchedBucket(BACKUPS, () => {
          reads++;
          if (reads === deadly) state.abort("killed (by the test)");
        }),
      }));
      let died = false;
      while (!died && (await verificationOf(asked.id)).state === "running") {
        died = await nextRead(id).then(
          () => false,
          () => true,
        );
      }
      if (!died) {
        // manifest.json, RUN.json and SHA256SUMS are read as bytes and as text, RESTORE.md and the volume as bytes.
        expect(reads).toBe(8);
        return;
      }
      const verification = await driveVerification(asked);
      expect(verification).toMatchObject({ state: "complete", sound: true, progress: { filesDone: 5 } });
      vi.setSystemTime(Date.now() + 1_000);
    }
  });

  it("has its alarm set again, when that was lost, by whoever asks", async () => {
    const { id } = await smallBackup();
    const asked = await askToVerify(id);
    const alarm = () => runInDurableObject(verifier(id), (_, { storage }) => storage.getAlarm());
    await runInDurableObject(verifier(id), (_, { storage }) => storage.deleteAlarm());
    expect((await askToVerify(id)).id).toBe(asked.id);
    expect(await alarm()).not.toBeNull();
    await driveVerification(asked);
    expect(await alarm()).toBeNull();
  });

  it("tries again what the bucket refuses", async () => {
    const { id } = await smallBackup();
    const asked = await askToVerify(id);
    let refusals = 5;
    await withEnvironment(id, ({ BACKUPS }) => ({
      BACKUPS: watchedBucket(BACKUPS, () => {
        if (refusals-- > 0) throw new Error("internal error (10001)");
      }),
    }));
    expect(await driveVerification(asked)).toMatchObject({ state: "complete", sound: true });
  });

  it("is given up when the bucket refuses for long, and blames no file for it", async () => {
    const { id, volume } = await smallBackup();
    const asked = await askToVerify(id);
    let refusals = 0;
    await withEnvironment(id, ({ BACKUPS }) => ({
      BACKUPS: watchedBucket(BACKUPS, (key) => {
        if (!key.endsWith(volume)) return;
        refusals++;
        throw new Error("internal error (10001)");
      }),
    }));
    const verification = await driveVerification(asked);
    expect(verification).toMatchObject({
      state: "failed",
      sound: null,
      error: { code: "bucket-unavailable" },
      progress: { filesDone: 4 },
    });
    expect(refusals).toBe(20);
    expect(blamedIn(verification)).toEqual({});
    // The next one begins from the beginning.
    await evictDurableObject(verifier(id));
    expect(await verify(id)).toMatchObject({ state: "complete", sound: true });
  });

  it("of a backup that is deleted meanwhile says so, and blames no file for it", async () => {
    const { id, folder } = await smallBackup();
    const asked = await askToVerify(id);
    await driveVerification(asked, ({ progress }) => progress.filesDone === 2);
    const { objects } = await env.BACKUPS.list({ prefix: folder });
    await env.BACKUPS.delete(objects.map(({ key }) => key));
    const verification = await driveVerification(asked);
    expect(verification).toMatchObject({ state: "failed", sound: null, error: { code: "backup-gone" } });
    expect(blamedIn(verification)).toEqual({});
  });

  it.each<[string, string, boolean]>([
    ["knows the same manifest", "", true],
    ["does not know the backup", "DELETE FROM backups", true],
    ["knows it from an older release", "UPDATE backups SET manifest_sha256 = NULL", true],
    ["knows another manifest", `UPDATE backups SET manifest_sha256 = '${"f".repeat(64)}'`, false],
    ["has lost its tables", "ALTER TABLE backups RENAME TO lost", true],
  ])("when the catalogue %s", async (_, change, sound) => {
    const { id } = await smallBackup();
    if (change !== "") await env.CATALOG.prepare(change).run();
    try {
      const verification = await verify(id);
      expect(verification).toMatchObject({ state: "complete", sound });
      expect(blamedIn(verification)).toEqual(sound ? {} : { "manifest.json": "stored-object-altered" });
    } finally {
      if (change.startsWith("ALTER")) await env.CATALOG.prepare("ALTER TABLE lost RENAME TO backups").run();
    }
  });

  it("of a backup of a newer format says that it cannot judge it", async () => {
    const { id, folder } = await smallBackup();
    await env.CATALOG.prepare("DELETE FROM backups").run();
    await env.BACKUPS.put(`${folder}manifest.json`, JSON.stringify({ formatVersion: 2, all: "new" }));
    const before = await listing();
    expect(await verify(id)).toMatchObject({
      state: "failed",
      sound: null,
      files: [],
      error: { code: "format-newer" },
    });
    expect(await listing()).toEqual(before);
  });

  it("that another release has stored in another way counts as none", async () => {
    const { id } = await smallBackup();
    const asked = await askToVerify(id);
    await runInDurableObject(verifier(id), (_, { storage }) =>
      storage.kv.put("verification", { from: 2031 }),
    );
    expect((await call(`/api/verifications/${asked.id}`)).status).toBe(404);
    vi.setSystemTime(Date.now() + 1_000);
    expect(await verify(id)).toMatchObject({ state: "complete", sound: true });
  });
});
