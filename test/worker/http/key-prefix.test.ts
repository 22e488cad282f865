import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Health } from "../../../src/core/health/health.ts";
import { createDatabase, dumpOf } from "../kit/emulated-account.ts";
import {
  allKeys,
  backupRows,
  care,
  driveMaintenance,
  emptyInstallation,
  orphansView,
  rebuildNow,
} from "../kit/maintenance-driver.ts";
import { folderOf, rest, TABLE } from "../kit/retention-driver.ts";
import { advanceDays, backUp, call, dumpSql, holdTheClock, setPolicy } from "../kit/run-driver.ts";
import { verify } from "../kit/verification-driver.ts";

beforeEach(async () => {
  holdTheClock();
  await emptyInstallation();
});
afterEach(() => vi.useRealTimers());

/** A backup as it lies where KEY_PREFIX was "old/" when it was made. */
async function madeBefore(): Promise<{ database: { id: string; name: string }; id: string; dump: string }> {
  const database = await createDatabase(TABLE);
  const dump = await dumpOf(database.id);
  const { backupId } = await backUp(database);
  await rest(database.id);
  for (const key of await allKeys()) {
    const object = await env.BACKUPS.get(key);
    await env.BACKUPS.put(key.replace(/^d1\//, "old/"), (await object?.arrayBuffer()) ?? "");
    await env.BACKUPS.delete(key);
  }
  await env.CATALOG.exec("UPDATE backups SET folder = 'old/' || substr(folder, 4)");
  return { database, id: backupId ?? "", dump };
}

async function elsewhere(): Promise<string[]> {
  // the product's own answer
  const { problems } = (await (await call("/api/health")).json()) as Health;
  return problems.filter(({ code }) => code === "backups-elsewhere").map(({ detail }) => detail);
}

describe("a backup that was made below another KEY_PREFIX", { timeout: 30_000 }, () => {
  it("is read where its row says that it lies, in whole and in parts", async () => {
    const { id, dump, database } = await madeBefore();
    expect(await (await call(`/api/backups/${id}`)).json()).toMatchObject({
      id,
      folder: folderOf(id).replace("d1/", "old/"),
      manifest: { backupId: id },
    });
    expect(await dumpSql(id)).toBe(dump);
    expect((await call(`/api/backups/${id}/files/${database.name}.0001.sql.gz`)).status).toBe(200);
    expect(await verify(id)).toMatchObject({ state: "complete", sound: true });
  });

  it("is pinned and deleted there", async () => {
    const { id } = await madeBefore();
    const pin = (pinned: boolean) =>
      call(`/api/backups/${id}/pin`, { method: "PUT", body: JSON.stringify({ pinned }) });
    expect((await pin(true)).status).toBe(200);
    expect((await call(`/api/backups/${id}?last=true`, { method: "DELETE" })).status).toBe(409);
    expect((await pin(false)).status).toBe(200);
    expect((await call(`/api/backups/${id}?last=true`, { method: "DELETE" })).status).toBe(204);
    expect(await allKeys()).toEqual([]);
    expect(await backupRows()).toEqual([]);
    expect(await elsewhere()).toEqual([]);
  });

  it("is told by health, and kept by rebuilds, the daily search and retention", async () => {
    const { id, database } = await madeBefore();
    expect(await elsewhere()).toEqual([expect.stringContaining(folderOf(id).replace("d1/", "old/"))]);
    const keys = await allKeys();
    expect(await rebuildNow()).toMatchObject({ state: "complete", removed: 0 });
    await advanceDays(2);
    await care().daily();
    await driveMaintenance();
    expect(await orphansView()).toMatchObject({ count: 0, damaged: { count: 0 } });
    await setPolicy(database.id, {
      retention: { keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 },
    });
    expect(await backUp(database, {})).toMatchObject({ state: "complete" });
    await rest(database.id, 60_000);
    expect(await allKeys()).toEqual(expect.arrayContaining(keys));
    expect((await call(`/api/backups/${id}`)).status).toBe(200);
  });

  it("is damaged there without its manifest, and made whole again there", async () => {
    const { id, database } = await madeBefore();
    const folder = folderOf(id).replace("d1/", "old/");
    await env.BACKUPS.delete(`${folder}manifest.json`);
    expect((await call(`/api/backups/${id}`)).status).toBe(409);
    expect((await call(`/api/backups/${id}/repair`, { method: "POST" })).status).toBe(202);
    await rest(database.id, 60_000);
    expect(await verify(id)).toMatchObject({ state: "complete", sound: true });
  });

  it("is not looked for where a row leads to another backup's folder", async () => {
    const { id } = await madeBefore();
    await env.CATALOG.exec("UPDATE backups SET id = 'wiki.20261121T030000Z'");
    expect((await call("/api/backups/wiki.20261121T030000Z")).status).toBe(404);
    expect((await call(`/api/backups/${id}`)).status).toBe(404);
  });

  it("is an ordinary one again when it was moved, and the catalogue made anew", async () => {
    const { id, dump } = await madeBefore();
    for (const key of await allKeys()) {
      await env.BACKUPS.put(
        key.replace(/^old\//, "d1/"),
        (await (await env.BACKUPS.get(key))?.arrayBuffer()) ?? "",
      );
      await env.BACKUPS.delete(key);
    }
    expect(await rebuildNow()).toMatchObject({ state: "complete", progress: { backups: 1 } });
    expect(await backupRows()).toMatchObject([{ id, folder: folderOf(id) }]);
    expect(await elsewhere()).toEqual([]);
    expect(await dumpSql(id)).toBe(dump);
  });
});
