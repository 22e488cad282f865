import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { D1Rest } from "../../../src/cloudflare/d1/d1-rest.ts";
import {
  advanceEmulatorClock,
  createDatabase,
  dumpOf,
  type Fault,
  setFaults,
  stateOf,
} from "../kit/emulated-account.ts";
import {
  backUp,
  drive,
  dumpSql,
  holdTheClock,
  isOver,
  keysOf,
  nextStep,
  setPolicy,
  startBackup,
  storedRun,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

const TABLE = `CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two'), ('three'), ('four; five'), ('six');
  CREATE INDEX i ON t (a);`;

/** This line stands in each dump of `TABLE`, before its statement of this number. */
function strayLine(before: number, text = 'ERROR near "default": syntax error'): Fault[] {
  return [{ on: "export.start", fault: "stray-line", value: before, text }];
}

/** What goes wrong with D1 or the download, for good: the run fails, says so, and leaves earlier backups alone. */
describe("a run fails with a code, a detail and a hint when", () => {
  it.each<[string, string, Fault[]]>([
    [
      "the database vanishes before the export",
      "database-not-found",
      [{ on: "export.start", fault: "vanish" }],
    ],
    [
      "the database vanishes while it is exported",
      "database-not-found",
      [
        { on: "export.start", fault: "slow", value: 60_000 },
        { on: "export.poll", fault: "vanish" },
      ],
    ],
    ["the API cannot be reached", "api-unreachable", [{ on: "any", fault: "drop" }]],
    ["the API is down", "api-unavailable", [{ on: "any", fault: "status", value: 503 }]],
    ["the API answers garbage", "api-answer-invalid", [{ on: "export.start", fault: "garbage" }]],
    ["the token may not export", "api-token-refused", [{ on: "export.start", fault: "status", value: 403 }]],
    ["the dump is empty (failure mode 1)", "dump-empty", [{ on: "download", fault: "empty" }]],
    [
      "the dump is shorter than was stated (failure modes 1 and 3)",
      "dump-truncated",
      [{ on: "download", fault: "truncate", value: 0 }],
    ],
    ["nobody states the dump's size", "dump-size-unknown", [{ on: "download", fault: "no-content-length" }]],
    [
      "the dump is stated to be larger than any database",
      "dump-oversized",
      [
        { on: "download", fault: "ignore-range" },
        { on: "download", fault: "wrong-length", value: 9_000_000_000_000_000 },
      ],
    ],
    [
      "the dump does not begin as D1's do (failure mode 1)",
      "dump-not-from-d1",
      [{ on: "download", fault: "not-a-dump" }],
    ],
    ["an error of the service stands before a table", "dump-foreign-statement", strayLine(2)],
    ["an error of the service stands before rows", "dump-foreign-statement", strayLine(3)],
    ["an error of the service stands among rows", "dump-foreign-statement", strayLine(5)],
    ["an error of the service stands before an index", "dump-foreign-statement", strayLine(8)],
    [
      "an error of the service stands at the end of the dump",
      "dump-foreign-statement",
      strayLine(9, "-- out of memory"),
    ],
    ["the download redirects", "dump-unreachable", [{ on: "download", fault: "redirect" }]],
    [
      "the storage answers errors (failure mode 7)",
      "dump-unreachable",
      [{ on: "download", fault: "status", value: 500 }],
    ],
    ["the address is never valid", "dump-url-expired", [{ on: "download", fault: "expired" }]],
    ["D1 ends each export with an error", "export-refused", [{ on: "export.start", fault: "export-error" }]],
    [
      "D1 loses each export",
      "export-lost",
      [
        { on: "export.start", fault: "slow", value: 60_000 },
        { on: "export.poll", fault: "lose-export" },
      ],
    ],
    [
      "another export keeps the database busy for half an hour",
      "export-busy",
      [{ on: "export.start", fault: "busy" }],
    ],
  ])(
    "%s",
    async (_, code, faults) => {
      const database = await createDatabase(TABLE);
      const before = await backUp(database);
      const keys = await keysOf(database.name);
      const dump = await dumpSql(before.backupId);
      const run = await backUp(database, { force: true }, faults);
      expect(run).toMatchObject({ state: "failed", backupId: null, error: { code } });
      expect(run.error?.detail).toMatch(/\S.{10,}/);
      expect(run.error?.hint).toMatch(/\S.{10,}/);
      expect(run.finishedAt).not.toBeNull();
      // Nothing of it is left in the bucket, and what was there before is as it was.
      expect(await keysOf(database.name)).toEqual(keys);
      expect(await dumpSql(before.backupId)).toBe(dump);
    },
    30_000,
  );

  it("a view ends in a comment that is not closed: seen before any export is started", async () => {
    const database = await createDatabase("CREATE TABLE t (a); CREATE VIEW v AS SELECT a FROM t /* no end");
    expect(await backUp(database)).toMatchObject({
      state: "failed",
      error: { code: "open-comment", detail: expect.stringContaining("view v") },
    });
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 0 });
  });

  it("the database has virtual tables: seen before any export is started (failure mode 34)", async () => {
    const blog = await createDatabase("CREATE TABLE posts (a); CREATE VIRTUAL TABLE search USING fts5(a);");
    const run = await backUp(blog);
    expect(run).toMatchObject({
      state: "failed",
      error: {
        code: "virtual-tables",
        detail: expect.stringContaining("search"),
        hint: expect.stringContaining("exportOptions.tables"),
      },
    });
    expect(await stateOf(blog.id)).toMatchObject({ exportsStarted: 0, exporting: false });
    // It answers queries as before.
    const response = await fetch(
      `http://emulator.test/client/v4/accounts/emulated-account/d1/database/${blog.id}/query`,
      {
        method: "POST",
        headers: { Authorization: "Bearer x" },
        body: JSON.stringify({ sql: "SELECT 1" }),
      },
    );
    expect(response.status).toBe(200);
  });
});

/** What goes wrong for a while: the run gets over it, and the backup is right. */
describe("a run completes although", () => {
  it.each<[string, Fault[]]>([
    [
      "the answer to the export's start is lost",
      [
        { on: "export.start", fault: "slow", value: 3_000 },
        { on: "export.start", fault: "lose-answer", times: 1 },
      ],
    ],
    [
      "the answer to a poll is lost",
      [
        { on: "export.start", fault: "slow", value: 3_000 },
        { on: "export.poll", fault: "lose-answer", times: 1 },
      ],
    ],
    [
      "the export is lost",
      [
        { on: "export.start", fault: "slow", value: 3_000 },
        { on: "export.poll", fault: "lose-export", times: 1 },
      ],
    ],
    ["D1 ends an export with an error", [{ on: "export.start", fault: "export-error", times: 1 }]],
    ["the database is busy at first", [{ on: "export.start", fault: "busy", times: 2 }]],
    ["the API asks to slow down", [{ on: "get", fault: "status", value: 429, times: 2 }]],
    ["the API errs now and then", [{ on: "any", fault: "status", value: 500, times: 3 }]],
    ["the API answers garbage once", [{ on: "query", fault: "garbage", times: 1 }]],
    ["the connection to the API drops", [{ on: "any", fault: "drop", times: 2 }]],
    ["the address expires at once", [{ on: "download", fault: "expired", times: 1 }]],
    ["the download is reset", [{ on: "download", fault: "reset", value: 70, times: 2 }]],
    ["the download is cut short", [{ on: "download", fault: "truncate", value: 70, times: 2 }]],
    [
      "the server ignores Range after a reset",
      [
        { on: "download", fault: "reset", value: 70, times: 1 },
        { on: "download", fault: "ignore-range" },
      ],
    ],
    ["the storage errs now and then", [{ on: "download", fault: "status", value: 503, times: 2 }]],
    [
      "the dump under the address changes after a reset",
      [
        { on: "download", fault: "reset", value: 70, times: 1 },
        { on: "download", fault: "change", skip: 1, times: 1 },
      ],
    ],
    ["the dump is empty once", [{ on: "download", fault: "empty", times: 1 }]],
  ])("%s", async (_, faults) => {
    const database = await createDatabase(TABLE);
    const reference = await dumpSql((await backUp(database)).backupId);
    const run = await backUp(database, { force: true }, faults);
    expect(run).toMatchObject({ state: "complete", error: null });
    expect(await dumpSql(run.backupId)).toBe(reference);
    expect((await stateOf(database.id)).bearerSeenOnSignedUrl).toBe(0);
  });

  it("an export is lost because nobody polled it for 55 seconds (failure mode 40)", async () => {
    const database = await createDatabase(TABLE);
    await setFaults(database.id, [{ on: "export.start", fault: "slow", value: 100_000_000, times: 1 }]);
    await startBackup(database.id);
    await drive(database.id, (run) => run.phase.at === "exporting" && run.phase.bookmark !== null);
    await advanceEmulatorClock(55_000);
    expect(await nextStep(database.id)).toMatchObject({
      lastFailure: { code: "export-lost" },
      phase: { at: "exporting", bookmark: null },
    });
    await drive(database.id, isOver);
    expect(await storedRun(database.id)).toMatchObject({ phase: { at: "complete" }, exportsStarted: 2 });
  });

  it("the database was busy for long, and then the API errs once", async () => {
    const database = await createDatabase(TABLE);
    const run = await backUp(database, { force: true }, [
      { on: "export.start", fault: "busy", times: 25 },
      { on: "export.start", fault: "status", value: 500, skip: 25, times: 1 },
    ]);
    expect(run).toMatchObject({ state: "complete" });
  });

  it("a volume is altered in the bucket before it is read back", async () => {
    const database = await createDatabase(TABLE);
    await startBackup(database.id);
    const run = await drive(database.id, ({ phase }) => phase.at === "verifying");
    if (run.phase.at !== "verifying") throw new Error("not verifying");
    const key = `d1/${database.name}/${run.phase.copy.stamp}/${database.name}.0001.sql.gz`;
    await env.BACKUPS.put(key, "something else");
    await drive(database.id, isOver);
    expect(await storedRun(database.id)).toMatchObject({ phase: { at: "complete" }, exportsStarted: 2 });
  });

  it("a volume is gone from the bucket before it is read back", async () => {
    const database = await createDatabase(TABLE);
    await startBackup(database.id);
    const run = await drive(database.id, ({ phase }) => phase.at === "verifying");
    if (run.phase.at !== "verifying") throw new Error("not verifying");
    await env.BACKUPS.delete(`d1/${database.name}/${run.phase.copy.stamp}/${database.name}.0001.sql.gz`);
    await drive(database.id, isOver);
    expect(await storedRun(database.id)).toMatchObject({ phase: { at: "complete" }, exportsStarted: 2 });
  });
});

it("an export without a bookmark cannot be polled: few are started, and not one after the other", async () => {
  const database = await createDatabase(TABLE);
  const started = vi
    .spyOn(D1Rest.prototype, "startExport")
    .mockResolvedValue({ ok: true, value: { kind: "active", bookmark: null, message: null } });
  const begun = Date.now();
  const run = await backUp(database).finally(() => started.mockRestore());
  expect(run).toMatchObject({ state: "failed", error: { code: "export-lost" } });
  expect(started.mock.calls.length).toBeLessThanOrEqual(5);
  expect(Date.now() - begun).toBeGreaterThan(4 * 60_000);
});

describe("each export keeps the database from answering, so that", () => {
  it("one that D1 ends with an error is not repeated within a minute", async () => {
    const database = await createDatabase(TABLE);
    const run = await backUp(database, {}, [{ on: "export.start", fault: "export-error" }]);
    const lastedMs = Date.parse(run.finishedAt ?? "") - Date.parse(run.startedAt ?? "");
    // Four waits between five exports, each half of a minute at least.
    expect(lastedMs).toBeGreaterThan(4 * 30_000);
    expect(run.error?.code).toBe("export-refused");
  });

  it("one that D1 loses is repeated after 15 seconds, and after twice as long each time", async () => {
    expectLog("run-failed");
    const database = await createDatabase(TABLE);
    await setFaults(database.id, [
      { on: "export.start", fault: "slow", value: 60_000 },
      { on: "export.poll", fault: "lose-export" },
    ]);
    await startBackup(database.id);
    const waits: number[] = [];
    let run = await drive(database.id, ({ exportsStarted }) => exportsStarted === 1);
    while (!isOver(run)) {
      run = await nextStep(database.id);
      if (run.lastFailure?.code === "export-lost") waits.push(run.wakeAt - Date.now());
    }
    expect(run).toMatchObject({
      phase: { at: "failed", failure: { code: "export-lost" } },
      exportsStarted: 5,
    });
    expect(waits).toHaveLength(4);
    for (const [index, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(15_000 * 2 ** index);
      expect(wait).toBeLessThanOrEqual(30_000 * 2 ** index);
    }
  });
});

describe("a statement that D1 does not write into its dumps", () => {
  const stray = strayLine(8, "ERROR at secret-row");

  it("is told by its number and place, and never by what it says", async () => {
    const database = await createDatabase(TABLE);
    const { error } = await backUp(database, { force: true }, stray);
    expect(error?.detail).toMatch(/^Statement 8 of the dump, at byte \d+, /);
    expect(JSON.stringify(error)).not.toContain("secret");
  });

  it("costs one more export, and nothing when that one has none", async () => {
    const database = await createDatabase(TABLE);
    const before = await stateOf(database.id);
    const run = await backUp(
      database,
      { force: true },
      stray.map((fault) => ({ ...fault, times: 1 })),
    );
    expect(run).toMatchObject({ state: "complete", hazards: [] });
    expect((await stateOf(database.id)).exportsStarted).toBe(before.exportsStarted + 2);
    expect(await dumpSql(run.backupId)).toBe(await dumpOf(database.id));
  });

  it("is not looked for by a lean backup, which says so", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { lean: true });
    const run = await backUp(database, { force: true }, stray);
    expect(run.state).toBe("complete");
    expect(run.hazards).toMatchObject([
      { kind: "not-scanned", detail: expect.stringMatching(/something that D1 never writes/) },
    ]);
  });
});
