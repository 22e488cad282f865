import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";
import type { ManifestRepairView } from "../../../src/core/backup/manifest-repair.ts";
import { createDatabase, dumpOf, syntheticDump } from "../kit/emulated-account.ts";
import {
  allKeys,
  backupRows,
  care,
  driveMaintenance,
  emptyInstallation,
  forgetRow,
  orphansView,
  textAt,
} from "../kit/maintenance-driver.ts";
import { folderOf, listed, rest } from "../kit/retention-driver.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  dumpSql,
  holdTheClock,
  manifestOf,
  setPolicy,
  startBackup,
} from "../kit/run-driver.ts";
import { verify } from "../kit/verification-driver.ts";

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
  readonly manifest: string;
  readonly dump: string;
}

const SHOP = `CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two'); CREATE INDEX i ON t (a);
  CREATE VIEW v AS SELECT a FROM t;`;

/** A backup that has lost its manifest; the dump has three volumes when it is large. */
async function damagedBackup(policy: unknown = {}, large = false): Promise<Made> {
  const database = await createDatabase(large ? "" : SHOP);
  if (large) await syntheticDump(database.id, 2.5 * 1024 * 1024);
  await setPolicy(database.id, policy);
  const dump = await dumpOf(database.id);
  const { backupId } = await backUp(database, { label: "before migration 12" });
  await rest(database.id);
  const folder = folderOf(backupId);
  const manifest = await textAt(`${folder}manifest.json`);
  await env.BACKUPS.delete(`${folder}manifest.json`);
  return { database, id: backupId ?? "", folder, manifest, dump };
}

/** As an object that knows of nothing: what it kept is lost as well. */
async function forgetKept({ database, folder }: Made): Promise<void> {
  await runInDurableObject(env.DATABASE_BACKUPS.getByName(database.id), (_, state) => {
    state.storage.kv.delete(`manifest/${folder}`);
    state.storage.kv.delete(`stored/${folder}`);
    state.storage.kv.delete("last");
  });
}

async function askToRepair(
  id: string,
): Promise<[number, { code?: string; detail?: string; repair?: ManifestRepairView }]> {
  const response = await call(`/api/backups/${id}/repair`, { method: "POST" });
  // the product's own answer
  return [response.status, await response.json()];
}

async function repairOf(id: string): Promise<ManifestRepairView> {
  const response = await call(`/api/backups/${id}/repair`);
  // as above
  return ((await response.json()) as { repair: ManifestRepairView }).repair;
}

async function repaired({ id, database }: Made): Promise<ManifestRepairView> {
  expect(await askToRepair(id)).toMatchObject([202, { repair: { state: "running", proven: null } }]);
  await rest(database.id, 60_000);
  return repairOf(id);
}

describe("a lost manifest", { timeout: 30_000 }, () => {
  it("is made anew byte for byte, and told to be proven, as long as its database's object keeps it", async () => {
    const made = await damagedBackup({}, true);
    await advanceDays(1);
    await care().daily();
    await driveMaintenance();
    expect(await orphansView()).toMatchObject({ damaged: { count: 1 } });
    expect(await repaired(made)).toMatchObject({
      state: "complete",
      proven: true,
      unknown: [],
      progress: { volumesDone: 3, volumesTotal: 3 },
      error: null,
    });
    expect(await textAt(`${made.folder}manifest.json`)).toBe(made.manifest);
    expect(await orphansView()).toMatchObject({ damaged: { count: 0 } });
    expect(await dumpSql(made.id)).toBe(made.dump);
    expect(await verify(made.id)).toMatchObject({ state: "complete", sound: true });
  });

  it("takes RUN.json and SHA256SUMS along that are gone as well", async () => {
    const made = await damagedBackup();
    const [claim, sums] = [await textAt(`${made.folder}RUN.json`), await textAt(`${made.folder}SHA256SUMS`)];
    await env.BACKUPS.delete([`${made.folder}RUN.json`, `${made.folder}SHA256SUMS`]);
    expect(await repaired(made)).toMatchObject({ state: "complete", proven: true });
    expect(await textAt(`${made.folder}RUN.json`)).toBe(claim);
    expect(await textAt(`${made.folder}SHA256SUMS`)).toBe(sums);
    expect(await verify(made.id)).toMatchObject({ sound: true });
  });

  it.each<[string, object, boolean?]>([
    ["gzip", { compression: "gzip" }],
    ["zstd", { compression: "zstd" }],
    ["nothing", { compression: "none" }],
    ["gzip, in one volume", {}, false],
  ])(
    "is made of what is left where nobody keeps it: a dump compressed by %s",
    async (_, policy, large = true) => {
      const made = await damagedBackup(policy, large);
      await forgetKept(made);
      const repair = await repaired(made);
      expect(repair).toMatchObject({ state: "complete", proven: false });
      expect(repair.unknown).toEqual(expect.arrayContaining(["atBookmark", "exportOptions", "timings"]));
      const lost = JSON.parse(made.manifest) as Record<string, unknown>;
      const manifest = await manifestOf(made.id);
      for (const field of [
        "backupId",
        "runId",
        "startedAt",
        "finishedAt",
        "trigger",
        "label",
        "compression",
        "lean",
        "dump",
        "volumes",
        "tables",
        "sections",
        "missingSemicolons",
        "files",
      ])
        expect({ [field]: manifest[field as keyof typeof manifest] }).toEqual({ [field]: lost[field] });
      expect(manifest).toMatchObject({
        atBookmark: null,
        exportOptions: null,
        notExported: null,
        previous: null,
        remade: { unknown: repair.unknown },
      });
      expect(manifest.hazards.map(({ kind }) => kind)).toContain("not-examined");
      expect(await dumpSql(made.id)).toBe(made.dump);
      expect(await verify(made.id)).toMatchObject({ state: "complete", sound: true });
      expect((await listed(made.database.id)).map(({ id }) => id)).toEqual([made.id]);
    },
  );

  it("is made of the folder alone, with less in it, where the catalogue knows nothing either", async () => {
    const made = await damagedBackup();
    await forgetKept(made);
    await forgetRow(made.id);
    expect(await askToRepair(made.id)).toMatchObject([409, { detail: expect.stringContaining("under way") }]);
    await advanceDays(2);
    const repair = await repaired(made);
    expect(repair).toMatchObject({ state: "complete", proven: false });
    expect(repair.unknown).toEqual(expect.arrayContaining(["trigger", "label"]));
    expect(await manifestOf(made.id)).toMatchObject({
      database: { id: made.database.id, name: made.database.name },
      startedAt: "2126-11-21T03:00:00.000Z",
      trigger: null,
      label: null,
    });
    expect((await listed(made.database.id)).map(({ id }) => id)).toEqual([made.id]);
    expect(await dumpSql(made.id)).toBe(made.dump);
  });

  it("is not told to be proven where the catalogue knows another one than its database's object keeps", async () => {
    const made = await damagedBackup();
    await env.CATALOG.prepare("UPDATE backups SET manifest_sha256 = ?").bind("0".repeat(64)).run();
    expect(await repaired(made)).toMatchObject({ state: "complete", proven: false });
  });

  it("of a lean backup tells nothing that nobody has counted", async () => {
    const made = await damagedBackup({ lean: true, volumeBytes: 1_048_576 }, true);
    await forgetKept(made);
    expect(await repaired(made)).toMatchObject({ state: "complete", proven: false });
    expect(await manifestOf(made.id)).toMatchObject({ lean: null, tables: null, sections: null });
    expect(await dumpSql(made.id)).toBe(made.dump);
  });

  it("does not stop the database's next full backup, nor what retention keeps", async () => {
    const made = await damagedBackup();
    await forgetKept(made);
    await repaired(made);
    await advanceDays(1);
    const next = await backUp(made.database, {});
    await rest(made.database.id);
    expect(next).toMatchObject({ state: "complete" });
    expect((await listed(made.database.id)).map(({ id }) => id)).toEqual([next.backupId, made.id]);
  });
});

describe("a manifest that cannot be proven is not made, and nothing is changed", { timeout: 30_000 }, () => {
  const refuses: [string, (made: Made) => Promise<unknown>, string][] = [
    [
      "SHA256SUMS is gone",
      async ({ folder }) => env.BACKUPS.delete(`${folder}SHA256SUMS`),
      "SHA256SUMS is missing",
    ],
    [
      "SHA256SUMS is damaged",
      async ({ folder }) => env.BACKUPS.put(`${folder}SHA256SUMS`, "x"),
      "SHA256SUMS is missing",
    ],
    [
      "SHA256SUMS is that of fewer volumes",
      async ({ folder }) => {
        const [first] = (await textAt(`${folder}SHA256SUMS`)).split("\n");
        await env.BACKUPS.put(`${folder}SHA256SUMS`, `${first}\n`);
      },
      "the catalogue knows of 3",
    ],
    [
      "RUN.json names another run",
      async ({ folder, database: { id } }) =>
        env.BACKUPS.put(`${folder}RUN.json`, JSON.stringify({ runId: `${id}.mgzzzzzz`, databaseId: id })),
      "contradict",
    ],
    [
      "RUN.json is none of ours",
      async ({ folder }) => env.BACKUPS.put(`${folder}RUN.json`, "{}"),
      "whose backup",
    ],
  ];
  it.each(refuses)("when %s", async (_, change, why) => {
    const made = await damagedBackup({}, true);
    await forgetKept(made);
    await change(made);
    const keys = await allKeys();
    expect(await askToRepair(made.id)).toMatchObject([
      409,
      { code: "manifest-unproven", detail: expect.stringContaining(why) },
    ]);
    await rest(made.database.id, 60_000);
    expect(await allKeys()).toEqual(keys);
  });

  it.each([
    ["a volume is gone", async (key: string) => env.BACKUPS.delete(key), "stored-object-missing"],
    ["a volume is another one", async (key: string) => env.BACKUPS.put(key, "x"), "stored-object-altered"],
  ])("when %s, whether somebody keeps it or not", async (_, change, code) => {
    for (const kept of [true, false]) {
      const made = await damagedBackup({}, true);
      if (!kept) await forgetKept(made);
      await change(`${made.folder}${made.database.name}.0002.sql.gz`);
      const keys = await allKeys();
      expect(await repaired(made)).toMatchObject({ state: "failed", proven: null, error: { code } });
      expect(await allKeys()).toEqual(keys);
    }
  });

  it("while the catalogue, which might know better, cannot be read", async () => {
    const made = await damagedBackup();
    await env.CATALOG.exec("ALTER TABLE backups RENAME TO hidden");
    expect(await askToRepair(made.id)).toMatchObject([503, { code: "catalog-unavailable" }]);
    await env.CATALOG.exec("ALTER TABLE hidden RENAME TO backups");
  });
});

describe("making a manifest anew", { timeout: 30_000 }, () => {
  it("goes on where it was cut off, at each of its steps", async () => {
    const made = await damagedBackup({}, true);
    await askToRepair(made.id);
    // A stub of an object that died is of no use any more.
    const object = () => env.DATABASE_BACKUPS.getByName(made.database.id);
    for (let deaths = 0; (await repairOf(made.id)).state === "running"; deaths++) {
      if (deaths > 20) throw new Error("it never ends");
      await runDurableObjectAlarm(object());
      const died = runInDurableObject(object(), (_, state) => state.abort("it died (by the test)"));
      await expect(died).rejects.toThrow("it died");
    }
    expect(await repairOf(made.id)).toMatchObject({ state: "complete", proven: true });
    expect(await textAt(`${made.folder}manifest.json`)).toBe(made.manifest);
  });

  it("takes a manifest that it wrote before it died for its own", async () => {
    const made = await damagedBackup();
    await forgetKept(made);
    await askToRepair(made.id);
    const { create } = R2Vault.prototype;
    const spy = vi.spyOn(R2Vault.prototype, "create").mockImplementation(async function (
      this: R2Vault,
      key,
      text,
    ) {
      await create.call(this, key, text);
      throw new Error("it died (by the test)");
    });
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(made.database.id));
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(made.database.id));
    spy.mockRestore();
    await rest(made.database.id, 10 * 60_000);
    expect(await repairOf(made.id)).toMatchObject({ state: "complete", proven: false });
    expect(await verify(made.id)).toMatchObject({ sound: true });
  });

  it("is one and the same for two who ask at once, and never writes over a manifest that comes back", async () => {
    const made = await damagedBackup({}, true);
    const answers = await Promise.all([askToRepair(made.id), askToRepair(made.id)]);
    expect(answers.map(([status]) => status)).toEqual([202, 202]);
    await env.BACKUPS.put(`${made.folder}manifest.json`, "put back by hand");
    await rest(made.database.id, 60_000);
    expect(await repairOf(made.id)).toMatchObject({ state: "failed", error: { code: "manifest-conflict" } });
    expect(await textAt(`${made.folder}manifest.json`)).toBe("put back by hand");
    expect(await askToRepair(made.id)).toMatchObject([409, { code: "manifest-conflict" }]);
  });

  it("is refused for a run under way, for what is not there, for a second one, and to viewers", async () => {
    const first = await damagedBackup({}, true);
    await advanceDays(1);
    const { backupId } = await backUp(first.database);
    await rest(first.database.id);
    await env.BACKUPS.delete(`${folderOf(backupId)}manifest.json`);
    await askToRepair(first.id);
    expect(await askToRepair(backupId ?? "")).toMatchObject([
      409,
      { code: "repair-under-way", repair: { backupId: first.id } },
    ]);
    expect(await askToRepair("shop.20261121T030000Z")).toMatchObject([404, { code: "backup-not-found" }]);
    const headers = { Authorization: "Bearer viewer-token-for-tests" };
    const asViewer = new Request(`http://worker.test/api/backups/${first.id}/repair`, {
      method: "POST",
      headers,
    });
    expect((await exports.default.fetch(asViewer)).status).toBe(403);
    await rest(first.database.id, 60_000);
    await advanceDays(1);
    await startBackup(first.database.id);
    const { phase } = await drive(first.database.id, ({ phase: { at } }) => at === "committing");
    if (phase.at !== "committing") throw new Error("it commits");
    await env.BACKUPS.put(`d1/${first.database.name}/${phase.copy.stamp}/SHA256SUMS`, "");
    expect(await askToRepair(`${first.database.name}.${phase.copy.stamp}`)).toMatchObject([404, {}]);
  });

  it("waits while a run of the database is under way", async () => {
    const made = await damagedBackup();
    await startBackup(made.database.id);
    await askToRepair(made.id);
    await drive(made.database.id, ({ phase: { at } }) => at === "copying");
    expect(await repairOf(made.id)).toMatchObject({ state: "running", progress: { volumesDone: 0 } });
    await drive(made.database.id, ({ phase: { at } }) => at === "complete");
    await rest(made.database.id, 60_000);
    expect(await repairOf(made.id)).toMatchObject({ state: "complete", proven: true });
  });
});

describe("what is left of a damaged backup", { timeout: 30_000 }, () => {
  const remove = async (id: string, query: string): Promise<[number, unknown]> => {
    const response = await call(`/api/backups/${id}${query}`, { method: "DELETE" });
    return [response.status, response.status === 204 ? null : await response.json()];
  };

  it("is deleted by whoever says that it is damaged, with its row, and never by mistake", async () => {
    const made = await damagedBackup();
    expect(await remove(made.id, "")).toMatchObject([409, { code: "backup-damaged" }]);
    expect(await remove(made.id, "?last=true")).toMatchObject([409, { code: "backup-damaged" }]);
    await env.BACKUPS.put(`${made.folder}PINNED`, "");
    expect(await remove(made.id, "?damaged=true")).toMatchObject([409, { code: "backup-pinned" }]);
    await env.BACKUPS.delete(`${made.folder}PINNED`);
    expect(await remove(made.id, "?damaged=true")).toEqual([204, null]);
    await rest(made.database.id, 60_000);
    expect(await allKeys()).toEqual([]);
    expect(await backupRows()).toEqual([]);
    expect(await remove(made.id, "?damaged=true")).toMatchObject([404, {}]);
    expect(await askToRepair(made.id)).toMatchObject([404, {}]);
  });

  it("is not deleted once its manifest is back", async () => {
    const made = await damagedBackup();
    await env.BACKUPS.put(`${made.folder}manifest.json`, made.manifest);
    const keys = await allKeys();
    expect(await remove(made.id, "?damaged=true")).toMatchObject([409, { code: "stored-object-altered" }]);
    await rest(made.database.id, 60_000);
    expect(await allKeys()).toEqual(keys);
  });
});
