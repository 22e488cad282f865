import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { createDatabase } from "../kit/emulated-account.ts";
import {
  copyBackup,
  DAY_MS,
  folderOf,
  foldersOf,
  listed,
  lock,
  only,
  rest,
  TABLE,
  viewOfBackup,
} from "../kit/retention-driver.ts";
import { advanceDays, backUp, call, holdTheClock, setPolicy } from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(() => {
  holdTheClock();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function pin(backupId: string, body: unknown): Promise<Response> {
  return call(`/api/backups/${backupId}/pin`, { method: "PUT", body: JSON.stringify(body) });
}

async function oneBackup(body: unknown = { force: true }): Promise<{
  database: { id: string; name: string };
  backupId: string;
}> {
  const database = await createDatabase(TABLE);
  await setPolicy(database.id, only({ keepLast: 1 }));
  const { backupId } = await backUp(database, body);
  await rest(database.id);
  return { database, backupId: backupId ?? "" };
}

const isPinned = async (backupId: string): Promise<boolean> =>
  (await env.BACKUPS.head(`${folderOf(backupId)}PINNED`)) !== null;

async function nextNight(database: { id: string }): Promise<void> {
  await advanceDays(1);
  await backUp(database);
  await rest(database.id);
}

describe("PUT /api/backups/:id/pin", () => {
  it("writes the PINNED object, tells the catalogue, and answers with the backup", async () => {
    const { database, backupId } = await oneBackup();
    const response = await pin(backupId, { pinned: true });
    expect([response.status, await response.json()]).toMatchObject([
      200,
      { id: backupId, pinned: true, deletion: null, manifest: { backupId } },
    ]);
    expect(await isPinned(backupId)).toBe(true);
    expect(await listed(database.id)).toEqual([expect.objectContaining({ id: backupId, pinned: true })]);
    expect(await viewOfBackup(backupId)).toMatchObject({ pinned: true });
  });

  it("takes it away again, and both may be asked twice", async () => {
    const { database, backupId } = await oneBackup();
    for (const pinned of [true, true, false, false]) {
      expect(await (await pin(backupId, { pinned })).json()).toMatchObject({ pinned });
      expect(await isPinned(backupId)).toBe(pinned);
      expect(await listed(database.id)).toEqual([expect.objectContaining({ pinned })]);
    }
  });

  it("keeps the backup from retention until it is taken away", async () => {
    const { database, backupId } = await oneBackup();
    await pin(backupId, { pinned: true });
    await nextNight(database);
    await nextNight(database);
    expect(await foldersOf(database.name)).toEqual(["21261121T030000Z", "21261123T030000Z"]);
    await pin(backupId, { pinned: false });
    await nextNight(database);
    expect(await foldersOf(database.name)).toEqual(["21261124T030000Z"]);
  });

  it("is what a request for a pinned backup does from the beginning", async () => {
    const { database, backupId } = await oneBackup({ pinned: true });
    expect(await viewOfBackup(backupId)).toMatchObject({ pinned: true });
    await nextNight(database);
    expect(await foldersOf(database.name)).toHaveLength(2);
  });

  it("takes back what retention has decided and the bucket has refused so far", async () => {
    expectLog("deletion-failed");
    const { database, backupId } = await oneBackup();
    const unlock = lock((key) => key.startsWith(folderOf(backupId)));
    await nextNight(database);
    expect(await viewOfBackup(backupId)).toMatchObject({ deletion: { state: "refused" } });
    expect(await (await pin(backupId, { pinned: true })).json()).toMatchObject({ deletion: null });
    unlock();
    await rest(database.id, 3 * DAY_MS);
    expect(await foldersOf(database.name)).toHaveLength(2);
  });

  it("says in the bucket's words that a locked pin cannot be taken away", async () => {
    const { backupId } = await oneBackup({ pinned: true });
    lock((key) => key.endsWith("PINNED"));
    const response = await pin(backupId, { pinned: false });
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({
      code: "stored-object-locked",
      detail: expect.stringContaining("locked by the bucket policy"),
    });
    expect(await viewOfBackup(backupId)).toMatchObject({ pinned: true });
  });

  it("tells the catalogue when that is back", async () => {
    const { database, backupId } = await oneBackup();
    const failure = { code: "catalog-unavailable", detail: "down", hint: "", retryable: true } as const;
    const down = vi.spyOn(D1Catalog.prototype, "saveBackup").mockResolvedValue({ ok: false, failure });
    expect((await pin(backupId, { pinned: true })).status).toBe(200);
    expect(await listed(database.id)).toEqual([expect.objectContaining({ pinned: false })]);
    down.mockRestore();
    await rest(database.id, 60_000);
    expect(await listed(database.id)).toEqual([expect.objectContaining({ pinned: true })]);
  });

  it("answers 404 for what is no backup, a folder without a manifest included", async () => {
    const { database, backupId } = await oneBackup();
    const begun = await copyBackup(backupId, Date.now() - DAY_MS);
    await env.BACKUPS.delete(`${folderOf(begun)}manifest.json`);
    for (const id of [begun, "none", `${database.name}.21990101T000000Z`])
      expect((await pin(id, { pinned: true })).status).toBe(404);
    expect(await isPinned(begun)).toBe(false);
  });

  it.each<[unknown, string]>([
    [{}, "pinned"],
    [{ pinned: "yes" }, "pinned"],
    [{ pinned: true, forever: true }, "forever"],
  ])("refuses %j, and names the field", async (body, field) => {
    const response = await pin("none", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ field }] });
  });
});
