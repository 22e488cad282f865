import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Run } from "../../../src/core/run/run.ts";
import {
  createDatabase,
  dumpOf,
  runSql,
  setFaults,
  stateOf,
  syntheticDump,
} from "../kit/emulated-account.ts";
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
  storedRun,
} from "../kit/run-driver.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

/** Some 3 MiB of dump, so that there are several volumes of 1 MiB. */
const BIG = `
  CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
  INSERT INTO t SELECT i, 'before; ' || printf('%040d', i) FROM n;
`;

const volumesDone = (count: number) => (run: Run) =>
  run.phase.at === "copying" && run.phase.copy.volumes.length === count;

describe("all volumes of a backup come from one state of the database", () => {
  it.each([
    ["the address expires", "expired"],
    ["the dump under the address is another one", "change"],
  ])("when %s in the middle and the database has changed meanwhile", async (_, fault) => {
    const database = await createDatabase(BIG);
    const before = await dumpOf(database.id);
    await startBackup(database.id);
    await drive(database.id, volumesDone(2));
    await runSql(database.id, "UPDATE t SET state = 'after'; DELETE FROM t WHERE id > 26000;");
    await setFaults(database.id, [{ on: "download", fault, times: 1 }]);
    await drive(database.id, isOver);
    const run = await storedRun(database.id);
    expect(run).toMatchObject({ phase: { at: "complete" }, exportsStarted: 2 });
    const backupId = run.phase.at === "complete" ? run.phase.backupId : null;
    const dump = await dumpSql(backupId);
    expect(dump).not.toContain("before;");
    expect(dump).toBe(await dumpOf(database.id));
    expect(dump).not.toBe(before);
    const manifest = await manifestOf(backupId);
    expect(manifest.tables).toEqual([{ name: "t", rows: 26_000 }]);
    // No volume of the first export is left behind the last one of the second.
    expect((await keysOf(database.name)).filter((key) => key.includes(".sql"))).toHaveLength(
      manifest.volumes.length,
    );
  });

  it("and stay when the address expires and D1 gives a fresh one of the same export", async () => {
    const database = await createDatabase(BIG);
    const before = await dumpOf(database.id);
    await startBackup(database.id);
    const { phase } = await drive(database.id, volumesDone(2));
    await runSql(database.id, "UPDATE t SET state = 'after'");
    await setFaults(database.id, [
      { on: "download", fault: "expired", times: 1 },
      { on: "export.poll", fault: "tell-again" },
    ]);
    await drive(database.id, isOver);
    const run = await storedRun(database.id);
    expect(run).toMatchObject({ phase: { at: "complete" }, exportsStarted: 1 });
    const backupId = run.phase.at === "complete" ? run.phase.backupId : null;
    // The state of the first export, whole, and not the database's of now.
    expect(await dumpSql(backupId)).toBe(before);
    if (phase.at !== "copying") throw new Error("not copying");
    expect((await manifestOf(backupId)).volumes.slice(0, 2)).toEqual(phase.copy.volumes);
  });

  it("and are cut between statements, in order, with the counts of each", async () => {
    const database = await createDatabase(BIG);
    const run = await backUp(database);
    const { volumes, dump } = await manifestOf(run.backupId);
    expect(volumes.length).toBeGreaterThanOrEqual(2);
    expect(volumes.reduce((sum, { dumpBytes }) => sum + (dumpBytes ?? 0), 0)).toBe(dump.bytes);
    expect(dump.sha256).toBeNull();
    expect(dump.statements).toBe(30_002);
    let next = 1;
    for (const volume of volumes) {
      expect(volume.firstStatement).toBe(next);
      next += volume.statements ?? 0;
    }
    for (const volume of volumes.slice(0, -1)) expect(volume.dumpBytes).toBeGreaterThanOrEqual(1_048_576);
    expect(await dumpSql(run.backupId)).toBe(await dumpOf(database.id));
  });
});

describe("the pipeline", () => {
  it.each([
    ["gzip", true],
    ["none", false],
  ] as const)(
    "holds 20 MiB at most, whatever the volume's size (%s)",
    async (compression, compressible) => {
      const database = await createDatabase("");
      await syntheticDump(database.id, 26 * 1024 * 1024, compressible);
      await setPolicy(database.id, { compression, volumeBytes: 20 * 1024 * 1024 });
      await startBackup(database.id);
      const stub = env.DATABASE_BACKUPS.getByName(database.id);
      await drive(database.id, isOver);
      const run = await storedRun(database.id);
      expect(run.phase.at).toBe("complete");
      const manifest = await manifestOf(run.phase.at === "complete" ? run.phase.backupId : null);
      expect(manifest.compression).toBe(compression);
      expect(manifest.dump.bytes).toBeGreaterThan(24 * 1024 * 1024);
      const peak = await stub.peakBytes();
      expect(peak).toBeGreaterThan(6 * 1024 * 1024);
      expect(peak).toBeLessThanOrEqual(20 * 1024 * 1024);
      expect((await stateOf(database.id)).exportsStarted).toBe(1);
    },
    60_000,
  );

  it("aborts the upload that a crashed step left open, before it opens another", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 20 * 1024 * 1024, false);
    await startBackup(database.id);
    const stub = env.DATABASE_BACKUPS.getByName(database.id);
    await drive(database.id, (run) => run.phase.at === "copying");
    const key = `d1/${database.name}/stale/${database.name}.0001.sql`;
    const stale = await env.BACKUPS.createMultipartUpload(key);
    await runInDurableObject(stub, async (_, state) => {
      const run = state.storage.kv.get<Run>("run");
      if (run?.phase.at !== "copying") throw new Error("not copying");
      const copy = { ...run.phase.copy, upload: { key, uploadId: stale.uploadId } };
      state.storage.kv.put("run", { ...run, phase: { ...run.phase, copy } });
    });
    await drive(database.id, isOver);
    expect((await storedRun(database.id)).phase.at).toBe("complete");
    await expect(stale.uploadPart(1, new Uint8Array(10))).rejects.toThrow();
  }, 60_000);
});
