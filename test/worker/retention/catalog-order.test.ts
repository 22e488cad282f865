import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { createDatabase } from "../kit/emulated-account.ts";
import { folderOf, listed, rest, TABLE } from "../kit/retention-driver.ts";
import { call, drive, holdTheClock, startBackup } from "../kit/run-driver.ts";

beforeEach(holdTheClock);
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

interface HeldRow {
  readonly database: { readonly id: string; readonly name: string };
  readonly id: string;
  /** Lets the row reach the catalogue. */
  release(): void;
  readonly alarm: Promise<unknown>;
}

/** A backup that is committed, whose row is on its way to the catalogue and is not there. */
async function rowOnItsWay(): Promise<HeldRow> {
  const database = await createDatabase(TABLE);
  await startBackup(database.id);
  const { phase } = await drive(database.id, ({ phase: { at } }) => at === "committing");
  if (phase.at !== "committing") throw new Error("it commits");
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const { saveBackup } = D1Catalog.prototype;
  vi.spyOn(D1Catalog.prototype, "saveBackup").mockImplementationOnce(async function (this: D1Catalog, row) {
    begun.resolve();
    await gate.promise;
    return saveBackup.call(this, row);
  });
  const alarm = runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
  await begun.promise;
  return { database, id: `${database.name}.${phase.copy.stamp}`, release: gate.resolve, alarm };
}

describe("what the catalogue is told of one backup", { timeout: 30_000 }, () => {
  it("comes in its order: a pin behind the row that was on its way", async () => {
    const { database, id, release, alarm } = await rowOnItsWay();
    const pinning = call(`/api/backups/${id}/pin`, { method: "PUT", body: JSON.stringify({ pinned: true }) });
    const object = env.DATABASE_BACKUPS.getByName(database.id);
    await vi.waitFor(async () => {
      const rows = await runInDurableObject(object, (_, state) => state.storage.kv.get("catalog-rows"));
      expect(rows).toMatchObject({ backups: { [id]: { pinned: true } } });
    });
    release();
    await Promise.all([pinning, alarm]);
    await rest(database.id);
    expect(await listed(database.id)).toMatchObject([{ id, pinned: true }]);
  });

  it("comes in its order: a removal behind the row that was on its way, and once more", async () => {
    const { database, id, release, alarm } = await rowOnItsWay();
    const removed = vi.spyOn(D1Catalog.prototype, "removeBackup");
    const deleting = call(`/api/backups/${id}?last=true`, { method: "DELETE" });
    await vi.waitFor(async () =>
      expect((await env.BACKUPS.list({ prefix: folderOf(id) })).objects).toEqual([]),
    );
    // What must wait for the row is given the time to come too early.
    await vi.waitFor(() => expect(removed).toHaveBeenCalled(), { timeout: 500 }).catch(() => undefined);
    release();
    expect((await deleting).status).toBe(204);
    await alarm;
    await rest(database.id);
    expect(await listed(database.id)).toEqual([]);
    const before = removed.mock.calls.length;
    await rest(database.id, 3 * 60_000);
    expect(removed.mock.calls.slice(before)).toEqual([[id]]);
  });
});
