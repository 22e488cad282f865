import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Run } from "../../../src/core/run/run.ts";
import {
  createDatabase,
  dumpOf,
  type Fault,
  runSql,
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
  nextStep,
  startBackup,
  viewOf,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

/** What broke other backup tools, caused here: docs/failure-modes.md tells each, and where the others are tested. */
const MIB = 1024 * 1024;
const TABLE =
  "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two'), ('three'), ('four; five'), ('six');";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

/** A run that fails: it says why, leaves nothing in the bucket, and the backup before it as it was. */
async function failsWith(code: string, faults: readonly Fault[], sql = TABLE): Promise<void> {
  const database = await createDatabase(sql);
  const before = await backUp(database);
  const keys = await keysOf(database.name);
  const dump = await dumpSql(before.backupId);
  expect(await backUp(database, { force: true }, faults)).toMatchObject({
    state: "failed",
    backupId: null,
    error: { code },
  });
  expect(await keysOf(database.name)).toEqual(keys);
  expect(await dumpSql(before.backupId)).toBe(dump);
}

/** Drives a run to its end, and damages what it has copied each time that it is about to read it back. */
async function drivenWith(
  database: { id: string; name: string },
  damage: (key: string) => Promise<void>,
): Promise<Run> {
  await startBackup(database.id);
  for (;;) {
    const run = await drive(
      database.id,
      (one) => isOver(one) || (one.phase.at === "verifying" && one.phase.verified === 0),
    );
    if (run.phase.at !== "verifying") return run;
    const last = run.phase.copy.volumes.at(-1)?.name ?? "";
    await damage(`d1/${database.name}/${run.phase.copy.stamp}/${last}`);
    await nextStep(database.id);
    await drive(database.id, (one) => isOver(one) || one.phase.at !== "verifying");
  }
}

describe("success that was none", () => {
  it("a dump cut exactly between two statements is a failure (failure mode 4)", async () => {
    const dump = await dumpOf((await createDatabase(TABLE)).id);
    const value = dump.indexOf("\n", dump.indexOf("'three'")) + 1;
    expect(value).toBeGreaterThan(0);
    await failsWith("dump-truncated", [
      { on: "download", fault: "truncate", value, times: 1 },
      { on: "download", fault: "truncate", value: 0, skip: 1 },
    ]);
  }, 30_000);

  it("an upload that was said to be complete, and is not there, is a failure (failure mode 5)", async () => {
    expectLog("run-failed");
    const database = await createDatabase(TABLE);
    const run = await drivenWith(database, (key) => env.BACKUPS.delete(key));
    expect(run.phase).toMatchObject({ at: "failed", failure: { code: "stored-object-missing" } });
    await nextStep(database.id);
    expect(await keysOf(database.name)).toEqual([]);
  });

  it("a volume whose last part is missing in the bucket is a failure (failure mode 6)", async () => {
    expectLog("run-failed");
    const database = await createDatabase("");
    await syntheticDump(database.id, 1.5 * MIB);
    const run = await drivenWith(database, async (key) => {
      const bytes = new Uint8Array((await (await env.BACKUPS.get(key))?.arrayBuffer()) ?? new ArrayBuffer(0));
      await env.BACKUPS.put(key, bytes.slice(0, -1));
    });
    expect(run.phase).toMatchObject({ at: "failed", failure: { code: "stored-object-altered" } });
  });

  it("a source that leaves a table out is a failure (failure mode 7)", async () => {
    await failsWith("dump-incomplete", [{ on: "download", fault: "shorten", value: 32 }]);
  });
});

describe("D1's own", () => {
  it("the data moves on while a backup is verified, which re-reads what it stored (failure mode 38)", async () => {
    const database = await createDatabase(TABLE);
    const dump = await dumpOf(database.id);
    const { exportsStarted } = await stateOf(database.id);
    await startBackup(database.id);
    await drive(database.id, (run) => run.phase.at === "copying");
    await runSql(database.id, "DELETE FROM t; INSERT INTO t VALUES ('moved on')");
    await drive(database.id, (run) => run.phase.at === "verifying");
    await runSql(database.id, "DROP TABLE t");
    const run = await drive(database.id, isOver);
    expect(run.phase.at).toBe("complete");
    expect((await stateOf(database.id)).exportsStarted).toBe(exportsStarted + 1);
    expect(await dumpSql((await viewOf(run.id)).backupId)).toBe(dump);
  });
});
