import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Health } from "../../../src/core/health/health.ts";
import { DatabaseObject } from "../../../src/jobs/database-object.ts";
import { createDatabase, syntheticDump } from "../kit/emulated-account.ts";
import {
  allKeys,
  backupRows,
  care,
  driveMaintenance,
  emptyInstallation,
  forgetRow,
  orphansView,
  rebuildNow,
  textAt,
} from "../kit/maintenance-driver.ts";
import { folderOf, refuse, rest, TABLE } from "../kit/retention-driver.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  holdTheClock,
  manifestOf,
  startBackup,
} from "../kit/run-driver.ts";
import { blamedIn, verify } from "../kit/verification-driver.ts";

beforeEach(async () => {
  holdTheClock();
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  await emptyInstallation();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

interface Made {
  readonly database: { readonly id: string; readonly name: string };
  readonly id: string;
  readonly folder: string;
}

/** A backup that is committed, and known to the catalogue and to its database's object. */
async function backedUp(): Promise<Made> {
  const database = await createDatabase(TABLE);
  const { backupId } = await backUp(database);
  await rest(database.id);
  return { database, id: backupId ?? "", folder: folderOf(backupId) };
}

const lose = ({ folder }: Made, ...files: string[]): Promise<void> =>
  env.BACKUPS.delete(files.map((file) => folder + file));

/** The maintenance of so many days, and what the object of the database is given to do by it. */
async function days(count: number, databaseId: string): Promise<void> {
  for (let day = 0; day < count; day++) {
    await advanceDays(1.01);
    await care().daily();
    await driveMaintenance();
    for (let alarms = 0; alarms < 3; alarms++)
      await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(databaseId));
  }
}

async function damagedProblems(): Promise<string[]> {
  // the product's own answer
  const { problems } = (await (await call("/api/health")).json()) as Health;
  return problems.filter(({ code }) => code === "backup-damaged").map(({ detail }) => detail);
}

/** As an object of which nothing is left knows of nothing. */
async function forgetObject(databaseId: string): Promise<void> {
  const gone = runInDurableObject(env.DATABASE_BACKUPS.getByName(databaseId), async (_, state) => {
    await state.storage.deleteAll();
    await state.storage.sync();
    state.abort("the object is forgotten (by the test)");
  });
  await expect(gone).rejects.toThrow("the object is forgotten");
}

describe("a backup that has lost its manifest", { timeout: 30_000 }, () => {
  it("is damaged and no orphan: told each day, and nothing of it is deleted", async () => {
    const made = await backedUp();
    await lose(made, "manifest.json");
    const keys = await allKeys();
    await days(4, made.database.id);
    expect(await allKeys()).toEqual(keys);
    expect(await orphansView()).toMatchObject({
      count: 0,
      items: [],
      damaged: {
        count: 1,
        items: [
          {
            backupId: made.id,
            folder: made.folder,
            databaseId: made.database.id,
            databaseName: made.database.name,
            objects: 4,
            knownBy: ["files", "catalogue", "object"],
          },
        ],
      },
      job: { kind: "daily", state: "complete" },
    });
    expect(await damagedProblems()).toEqual([expect.stringContaining(made.id)]);
    const answer = await call(`/api/backups/${made.id}`);
    expect([answer.status, await answer.json()]).toMatchObject([409, { code: "backup-damaged" }]);
  });

  it.each<[string, (made: Made) => Promise<unknown>]>([
    ["its files alone", async ({ id, database }) => [await forgetRow(id), await forgetObject(database.id)]],
    [
      "the catalogue alone",
      async (made) => [await lose(made, "SHA256SUMS", "RESTORE.md"), await forgetObject(made.database.id)],
    ],
    [
      "its database's object alone",
      async (made) => [await lose(made, "SHA256SUMS", "RESTORE.md"), await forgetRow(made.id)],
    ],
    [
      "its files, with RUN.json gone as well",
      async (made) => [await lose(made, "RUN.json"), await forgetRow(made.id)],
    ],
  ])("is told, and kept, when it is known by %s", async (_, forget) => {
    const made = await backedUp();
    await lose(made, "manifest.json");
    await forget(made);
    const keys = await allKeys();
    await days(3, made.database.id);
    expect(await allKeys()).toEqual(keys);
    expect(await orphansView()).toMatchObject({
      count: 0,
      damaged: { count: 1, items: [{ backupId: made.id }] },
    });
    expect(await call("/api/orphans", { method: "DELETE" })).toMatchObject({ status: 202 });
    await driveMaintenance();
    await rest(made.database.id);
    expect(await allKeys()).toEqual(keys);
  });

  it("is told until the manifest comes back", async () => {
    const made = await backedUp();
    const manifest = (await (await env.BACKUPS.get(`${made.folder}manifest.json`))?.text()) ?? "";
    await lose(made, "manifest.json");
    await days(1, made.database.id);
    const { foundAt } = (await orphansView()).damaged.items[0] ?? {};
    await days(1, made.database.id);
    expect((await orphansView()).damaged.items).toMatchObject([{ foundAt }]);
    await env.BACKUPS.put(`${made.folder}manifest.json`, manifest);
    await days(1, made.database.id);
    expect(await orphansView()).toMatchObject({ damaged: { count: 0, items: [] } });
    expect(await damagedProblems()).toEqual([]);
  });

  it("keeps its row in a rebuild; one of which nothing is left is told until then", async () => {
    const [damaged, gone] = [await backedUp(), await backedUp()];
    await lose(damaged, "manifest.json");
    for (const key of await allKeys()) if (key.startsWith(gone.folder)) await env.BACKUPS.delete(key);
    await days(1, damaged.database.id);
    expect((await orphansView()).damaged.items.map(({ backupId, objects }) => [backupId, objects])).toEqual(
      [
        [damaged.id, 4],
        [gone.id, 0],
      ].toSorted(),
    );
    expect((await call(`/api/backups/${gone.id}`)).status).toBe(404);
    expect(await rebuildNow()).toMatchObject({ state: "complete", removed: 1 });
    expect((await backupRows()).map(({ id }) => id)).toEqual([damaged.id]);
  });

  it("is verified by what is left, and blamed for the manifest alone", async () => {
    const made = await backedUp();
    await lose(made, "manifest.json");
    const verification = await verify(made.id);
    expect(verification).toMatchObject({ state: "complete", sound: false });
    expect(blamedIn(verification)).toEqual({ "manifest.json": "stored-object-missing" });
    expect(verification.files.map(({ name }) => name)).toContain(`${made.database.name}.0001.sql.gz`);
  });

  it("is not deleted by its database's object when somebody asks for it as for an orphan", async () => {
    const made = await backedUp();
    const { runId } = await manifestOf(made.id);
    await lose(made, "manifest.json", "SHA256SUMS", "RESTORE.md");
    const keys = await allKeys();
    const names = keys.map((key) => key.slice(made.folder.length));
    const object = env.DATABASE_BACKUPS.getByName(made.database.id);
    expect(await object.collectFolder(made.folder, runId, names)).toEqual({ ok: true, value: "committed" });
    await rest(made.database.id);
    expect(await allKeys()).toEqual(keys);
  });

  it("is no orphan while the catalogue, which might know it, cannot be read", async () => {
    const made = await backedUp();
    await lose(made, "manifest.json", "SHA256SUMS", "RESTORE.md");
    await forgetObject(made.database.id);
    const keys = await allKeys();
    await env.CATALOG.exec("ALTER TABLE backups RENAME TO hidden");
    await days(3, made.database.id);
    expect(await orphansView()).toMatchObject({ count: 0, job: { state: "failed" } });
    await env.CATALOG.exec("ALTER TABLE hidden RENAME TO backups");
    expect(await allKeys()).toEqual(keys);
  });
});

describe("a folder without a manifest is not damaged", { timeout: 30_000 }, () => {
  it("while its run is about to write it", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 1_000_000);
    await startBackup(database.id);
    const { phase } = await drive(database.id, ({ phase: { at } }) => at === "committing");
    if (phase.at !== "committing") throw new Error("it commits");
    await env.BACKUPS.put(`d1/${database.name}/${phase.copy.stamp}/SHA256SUMS`, "");
    await advanceDays(2);
    await care().daily();
    await driveMaintenance();
    expect(await orphansView()).toMatchObject({ damaged: { count: 0 } });
    expect((await call(`/api/backups/${database.name}.${phase.copy.stamp}`)).status).toBe(404);
  });

  it.each<[string, (made: Made, manifest: string) => Promise<unknown>]>([
    ["whose deletion reaches the catalogue after the walk has passed it", ({ id }) => forgetRow(id)],
    [
      "whose manifest is back by then",
      ({ folder }, manifest) => env.BACKUPS.put(`${folder}manifest.json`, manifest),
    ],
  ])("a backup %s", async (_, meanwhile) => {
    const made = await backedUp();
    const manifest = await textAt(`${made.folder}manifest.json`);
    await lose(made, ...(await allKeys()).map((key) => key.slice(made.folder.length)));
    await forgetObject(made.database.id);
    // The database's object is asked when the walk has passed all folders.
    const { folderState } = DatabaseObject.prototype;
    vi.spyOn(DatabaseObject.prototype, "folderState").mockImplementation(async function (
      this: DatabaseObject,
      folder,
    ) {
      await meanwhile(made, manifest);
      return folderState.call(this, folder);
    });
    await advanceDays(2);
    await care().daily();
    await driveMaintenance();
    expect(await orphansView()).toMatchObject({ damaged: { count: 0 } });
  });

  it("while somebody's deletion of it goes on", async () => {
    const made = await backedUp();
    const end = refuse((key) => key.endsWith(".sql.gz"), "delete: We encountered an internal error. (10001)");
    expect((await call(`/api/backups/${made.id}?last=true`, { method: "DELETE" })).status).toBe(202);
    await advanceDays(2);
    await care().daily();
    await driveMaintenance();
    expect(await orphansView()).toMatchObject({ damaged: { count: 0 } });
    expect((await call(`/api/backups/${made.id}`)).status).toBe(404);
    end();
    await rest(made.database.id, 3_600_000);
    expect(await allKeys()).toEqual([]);
  });
});
