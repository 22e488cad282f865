import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, setFaults } from "./emulated-account.ts";
import {
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  manifestOf,
  nextStep,
  setPolicy,
  startBackup,
  viewOf,
} from "./run-driver.ts";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one');";

async function policyOf(id: string): Promise<unknown> {
  return (await (await call(`/api/databases/${id}`)).json<{ ownPolicy: unknown }>()).ownPolicy;
}

describe("PUT /api/databases/:db/policy", () => {
  it.each([
    ["gzip", ".sql.gz"],
    ["zstd", ".sql.zst"],
    ["none", ".sql"],
  ])(
    "compression %s holds from the next run on, and the volumes end in %s",
    async (compression, extension) => {
      const database = await createDatabase(TABLE);
      await setPolicy(database.id, { compression });
      const manifest = await manifestOf((await backUp(database)).backupId);
      expect(manifest.compression).toBe(compression);
      expect(manifest.volumes.map(({ name }) => name)).toEqual([`${database.name}.0001${extension}`]);
    },
  );

  it("replaces the whole policy; what it leaves out follows the Worker's settings", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.name, { compression: "zstd", maxUnchangedDays: 3 });
    await setPolicy(database.name, { examineDays: 0 });
    const response = await call(`/api/databases/${database.name}`);
    expect(await response.json()).toMatchObject({
      ownPolicy: { examineDays: 0 },
      policy: {
        compression: "gzip",
        volumeBytes: 1_048_576,
        lean: false,
        maxUnchangedDays: 7,
        examineDays: 0,
      },
    });
  });

  it.each<[string, unknown, string]>([
    ["a compression that is none", { compression: "brotli" }, "compression"],
    ["a key that is not known", { compresion: "gzip" }, "compresion"],
    ["a volume of a kilobyte", { volumeBytes: 1024 }, "volumeBytes"],
    ["a list", [], "body"],
    ["nothing at all", undefined, "body"],
  ])("answers 400 that names the field to %s, and changes nothing", async (_, policy, field) => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { compression: "zstd" });
    const path = `/api/databases/${database.id}/policy`;
    const response = await call(path, {
      method: "PUT",
      body: policy === undefined ? "" : JSON.stringify(policy),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ field }] });
    expect(await policyOf(database.id)).toEqual({ compression: "zstd" });
  });

  it("is for admins, and for databases that exist", async () => {
    const database = await createDatabase(TABLE);
    const put = (id: string, token: string) =>
      call(`/api/databases/${id}/policy`, {
        method: "PUT",
        body: "{}",
        headers: { Authorization: `Bearer ${token}` },
      });
    expect((await put(database.id, "viewer-token-for-tests")).status).toBe(403);
    expect((await put("no-such-database", "admin-token-for-tests")).status).toBe(404);
  });

  it("leaves a run that is under way as it began, and is not lost to it", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await setFaults(database.id, [{ on: "get", fault: "slow", value: 300, times: 1 }]);
    await drive(database.id, (run) => run.phase.at === "preflight");
    const preflight = nextStep(database.id);
    await setPolicy(database.id, { compression: "zstd", examineDays: 1 });
    await preflight;
    await drive(database.id, isOver);
    expect((await manifestOf((await viewOf(id)).backupId)).compression).toBe("gzip");
    expect(await policyOf(database.id)).toEqual({ compression: "zstd", examineDays: 1 });
  });

  it("lies in the bucket too, so that the catalogue can be thrown away", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { compression: "zstd" });
    const key = `d1/_d1-nightly/${database.id}.json`;
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
    const stored = await env.BACKUPS.get(key);
    expect(await stored?.json()).toEqual({
      formatVersion: 1,
      databaseId: database.id,
      databaseName: database.name,
      policy: { compression: "zstd" },
      unchanged: null,
      unchangedOff: null,
      examinedAt: null,
    });
  });
});
