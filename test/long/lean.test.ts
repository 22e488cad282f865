import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createDatabase,
  dumpOf,
  samples,
  setFaults,
  stateOf,
  syntheticDump,
} from "../worker/kit/emulated-account.ts";
import {
  backUp,
  drive,
  dumpSql,
  holdTheClock,
  isOver,
  keysOf,
  manifestOf,
  setPolicy,
  startBackup,
  viewOf,
} from "../worker/kit/run-driver.ts";

const MIB = 1024 * 1024;

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

describe("a lean backup", () => {
  it("is cut at fixed sizes, stored as it came, and counts nothing", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 3.5 * MIB);
    await setPolicy(database.id, { lean: true, compression: "zstd" });
    const run = await backUp(database);
    expect(run).toMatchObject({ state: "complete", hazards: [{ kind: "not-scanned", count: null }] });
    const manifest = await manifestOf(run.backupId);
    expect(manifest).toMatchObject({
      lean: true,
      compression: "none",
      dump: { statements: null },
      sections: null,
      missingSemicolons: null,
    });
    const sizes = manifest.volumes.map(({ bytes }) => bytes);
    // VOLUME_BYTES is 1 MiB here
    expect(sizes.slice(0, -1)).toEqual(sizes.slice(0, -1).map(() => MIB));
    expect(sizes.length).toBe(4);
    for (const volume of manifest.volumes) {
      expect(volume).toMatchObject({
        dumpBytes: volume.bytes,
        dumpSha256: volume.sha256,
        firstStatement: null,
        statements: null,
      });
    }
    expect(await dumpSql(run.backupId)).toBe(await dumpOf(database.id));
    expect((await stateOf(database.id)).exportsStarted).toBe(2);
  });

  it("names the tables that it does not count", async () => {
    const { shop } = await samples();
    if (shop === undefined) throw new Error("there is no sample shop");
    await setPolicy(shop, { lean: true });
    const { tables } = await manifestOf((await backUp({ id: shop })).backupId);
    expect(tables?.map(({ name }) => name)).toContain("orders");
    for (const { rows } of tables ?? []) expect(rows).toBeNull();
  });

  it.each([
    ["dump-not-from-d1", { on: "download", fault: "not-a-dump" }],
    ["dump-incomplete-statement", { on: "download", fault: "shorten", value: 100_000 }],
    ["dump-empty", { on: "download", fault: "empty" }],
  ])("still fails with %s", async (code, fault) => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 200_000);
    await setPolicy(database.id, { lean: true });
    expect(await backUp(database, { force: true }, [fault])).toMatchObject({
      state: "failed",
      error: { code },
    });
    expect(await keysOf(database.name)).toEqual([]);
  });

  it("goes on with the same dump where a cut connection has left off", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 2.5 * MIB);
    await setPolicy(database.id, { lean: true });
    const id = await startBackup(database.id);
    await setFaults(database.id, [{ on: "download", fault: "reset", value: 300_000, times: 3 }]);
    await drive(database.id, isOver);
    const run = await viewOf(id);
    expect(run.state).toBe("complete");
    expect(await dumpSql(run.backupId)).toBe(await dumpOf(database.id));
  }, 20_000);

  it("holds a volume and no more", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 13 * MIB);
    await setPolicy(database.id, { lean: true, volumeBytes: 512 * MIB });
    const run = await backUp(database);
    const manifest = await manifestOf(run.backupId);
    expect(manifest.volumes.map(({ bytes }) => bytes / MIB)).toEqual([6, 6, expect.closeTo(1, 0)]);
    const peak = await env.DATABASE_BACKUPS.getByName(database.id).peakBytes();
    expect(peak).toBeLessThan(8 * MIB);
  }, 20_000);
});
