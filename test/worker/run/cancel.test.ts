import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "../../../src/connect.ts";
import { backupOptions } from "../../../src/core/policy/backup-options.ts";
import { effectivePolicy } from "../../../src/core/policy/effective-policy.ts";
import { newRun, type Phase, type Run } from "../../../src/core/run/run.ts";
import { advance, newCopy } from "../../../src/core/run/transitions.ts";
import { Superseded } from "../../../src/jobs/database/run-store.ts";
import { copying } from "../../../src/jobs/run/copy-step.ts";
import {
  advanceEmulatorClock,
  createDatabase,
  setFaults,
  stateOf,
  syntheticDump,
} from "../kit/emulated-account.ts";
import {
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  keysOf,
  nextStep,
  setPolicy,
  startBackup,
  storedRun,
  viewOf,
} from "../kit/run-driver.ts";

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two'), ('three');";
const MIB = 1024 * 1024;

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

const object = (id: string) => env.DATABASE_BACKUPS.getByName(id);

function cancel(runId: string, headers: Record<string, string> = {}): Promise<Response> {
  return call(`/api/runs/${runId}/cancel`, { method: "POST", headers });
}

/** What the catalogue says of a database: its freshness must not move. */
async function freshness(id: string): Promise<unknown> {
  return env.CATALOG.prepare("SELECT fresh_at, last_backup_id FROM databases WHERE id = ?").bind(id).first();
}

const phase = (at: Phase["at"]) => (run: Run) => run.phase.at === at;

describe("a run that is cancelled", () => {
  it.each<[string, Phase["at"], unknown]>([
    ["in the queue", "queued", { force: true }],
    ["before its export", "preflight", { force: true }],
    ["while D1 exports", "exporting", { force: true }],
    ["while the database is asked", "examining", { examine: true }],
    ["between two volumes", "copying", { force: true }],
    ["while it is read back", "verifying", { force: true }],
  ])("%s is over at once, leaves nothing behind, and changes nothing else", async (_, at, body) => {
    const database = await createDatabase(TABLE);
    const before = await backUp(database);
    const keys = await keysOf(database.name);
    const fresh = await freshness(database.id);
    await setFaults(database.id, [{ on: "export.start", fault: "slow", value: 8_000, times: 1 }]);
    const id = await startBackup(database.id, body);
    await drive(database.id, phase(at));
    if (at === "exporting") await nextStep(database.id);
    const response = await cancel(id);
    expect(response.status).toBe(200);
    const view = await response.json<Record<string, unknown>>();
    expect(view).toMatchObject({
      id,
      state: "cancelled",
      error: null,
      backupId: null,
      finishedAt: new Date().toISOString(),
      progress: { step: "cancelled", message: expect.stringContaining(`Cancelled while ${at}.`) },
    });
    // Only an export that is under way is told of: it ends by itself.
    expect(JSON.stringify(view.progress).includes("cannot be cancelled")).toBe(at === "exporting");
    await runDurableObjectAlarm(object(database.id));
    expect(await keysOf(database.name)).toEqual(keys);
    expect(await freshness(database.id)).toEqual(fresh);
    const listed = await (await call(`/api/runs?database=${database.id}&state=cancelled`)).json();
    expect(listed).toMatchObject({ items: [{ id, state: "cancelled" }] });
    // Nothing is left that would do anything more, and the next request starts normally.
    expect(await runInDurableObject(object(database.id), (__, { storage }) => storage.getAlarm())).toBeNull();
    await advanceEmulatorClock(16_000);
    const next = await backUp(database);
    expect(next.state).toBe("complete");
    expect(next.backupId).not.toBe(before.backupId);
  });

  it("in the middle of a volume stops within seconds, its upload given up", async () => {
    const database = await createDatabase("");
    await syntheticDump(database.id, 20 * MIB, false);
    await setPolicy(database.id, { compression: "none", volumeBytes: 64 * MIB });
    const id = await startBackup(database.id);
    await drive(database.id, phase("copying"));
    // The source sends the first 9 MiB and then nothing, for as long as anybody waits.
    await setFaults(database.id, [{ on: "download", fault: "stall", value: 9 * MIB }]);
    const step = nextStep(database.id);
    await vi.waitUntil(async () => ((await viewOf(id)).progress.bytesDone ?? 0) > 8 * MIB, 10_000);
    const { upload } = await copyOfRun(database.id);
    if (upload === null) throw new Error("no upload was begun");
    const asked = performance.now();
    expect((await cancel(id)).status).toBe(200);
    expect(await step).toMatchObject({ phase: { at: "cancelled" } });
    expect(performance.now() - asked).toBeLessThan(5_000);
    await runDurableObjectAlarm(object(database.id));
    expect(await keysOf(database.name)).toEqual([]);
    const abandoned = env.BACKUPS.resumeMultipartUpload(upload.key, upload.uploadId);
    await expect(abandoned.uploadPart(9, new Uint8Array(10))).rejects.toThrow();
  }, 30_000);

  it("while D1 takes its time to answer is not waited for", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await drive(database.id, phase("preflight"));
    await setFaults(database.id, [{ on: "get", fault: "slow", value: 20_000 }]);
    const fetched = vi.spyOn(globalThis, "fetch");
    const step = nextStep(database.id);
    await vi.waitUntil(() =>
      fetched.mock.calls.some(([url]) => String(url).endsWith(`/d1/database/${database.id}`)),
    );
    fetched.mockRestore();
    const asked = performance.now();
    expect((await cancel(id)).status).toBe(200);
    expect(await step).toMatchObject({ phase: { at: "cancelled" } });
    expect(performance.now() - asked).toBeLessThan(5_000);
  });

  it("has stored what is to be deleted, and when, before it is answered", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await drive(database.id, phase("verifying"));
    expect(await keysOf(database.name)).toHaveLength(2);
    await cancel(id);
    const left = await runInDurableObject(object(database.id), async (_, { storage }) => ({
      alarm: await storage.getAlarm(),
      leftovers: storage.kv.get("leftovers"),
    }));
    expect(left).toMatchObject({
      alarm: Date.now(),
      leftovers: [{ folder: expect.stringContaining(`d1/${database.name}/`), dueAt: Date.now() }],
    });
    await runDurableObjectAlarm(object(database.id));
    expect(await keysOf(database.name)).toEqual([]);
    expect(await viewOf(id)).toMatchObject({ state: "cancelled" });
  });

  it("gives its places to those who wait", async () => {
    const account = env.ACCOUNT_COORDINATOR.getByName("emulated-account");
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await drive(database.id, phase("exporting"));
    const held = () =>
      runInDurableObject(account, (_, { storage }) =>
        storage.sql.exec("SELECT * FROM lease WHERE database_id = ?", database.id).toArray(),
      );
    expect(await held()).toHaveLength(1);
    await cancel(id);
    expect(await held()).toEqual([]);
  });

  it("while it claims its folder gives the folder back", async () => {
    const connected = connect(env);
    if (!connected.ok) throw new Error(connected.failure.detail);
    const platform = connected.value;
    const name = `claimed-${crypto.randomUUID()}`;
    const request = {
      trigger: "manual",
      label: null,
      pinned: false,
      force: true,
      examine: false,
      key: null,
    } as const;
    const begun = newRun("r", { id: crypto.randomUUID(), name, accountId: "a" }, request, platform.now());
    const dump = { bookmark: "b", signedUrl: "http://emulator.test/none", exportMs: 1 };
    const options = backupOptions(effectivePolicy({}, platform.settings), []);
    const copy = newCopy(begun, platform.now());
    const copyingPhase = { at: "copying", dump, copy, waiting: false } as const;
    const run = { ...advance(begun, copyingPhase, platform.now()), options };
    const gauge = { hold: () => undefined, release: () => undefined };
    const step = copying(run, copyingPhase, {
      platform,
      save: () => Promise.reject(new Superseded()),
      observer: { gauge, progress: () => undefined },
      previous: null,
      record: {
        databaseId: run.databaseId,
        databaseName: name,
        unchanged: null,
        unchangedOff: null,
        examination: null,
        cutOff: null,
        isCatalog: false,
      },
    });
    await expect(step).rejects.toThrow(Superseded);
    expect(await keysOf(name)).toEqual([]);
  });
});

async function copyOfRun(id: string): Promise<{ upload: { key: string; uploadId: string } | null }> {
  const run = await storedRun(id);
  if (run.phase.at !== "copying") throw new Error("not copying");
  return run.phase.copy;
}

describe("what cannot be cancelled", () => {
  it("is a run that writes its manifest: it becomes a backup", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await drive(database.id, phase("committing"));
    const response = await cancel(id);
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ code: "run-committing", run: { id, state: "verifying" } });
    await drive(database.id, isOver);
    expect(await viewOf(id)).toMatchObject({ state: "complete" });
    expect((await keysOf(database.name)).some((key) => key.endsWith("manifest.json"))).toBe(true);
  });

  it("is a run that is over, the latest or an earlier one: 409, and what became of it", async () => {
    const database = await createDatabase(TABLE);
    const earlier = await backUp(database);
    for (const state of ["complete", "cancelled"]) {
      const id = state === "complete" ? earlier.id : await startBackup(database.id);
      if (state === "cancelled") expect((await cancel(id)).status).toBe(200);
      const again = await cancel(id);
      expect(again.status).toBe(409);
      expect(await again.json()).toMatchObject({ code: "run-over", run: { id, state } });
    }
    const response = await cancel(earlier.id);
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({
      code: "run-over",
      run: { id: earlier.id, state: "complete" },
    });
  });

  it.each(["nonsense", "0f3c5a1e-3f43-4b8e-9d5e-1a2b3c4d5e6f.mwpqqkby"])(
    "is no run: %s is 404",
    async (id) => {
      const response = await cancel(id);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: "run-not-found" });
    },
  );

  it("is anything, for somebody who may only read", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    const viewer = { Authorization: "Bearer viewer-token-for-tests" };
    expect((await cancel(id, viewer)).status).toBe(403);
    expect(await viewOf(id)).toMatchObject({ state: "queued" });
  });
});

it("what is asked for by hand goes on when its database is paused meanwhile (failure mode 20)", async () => {
  const database = await createDatabase(TABLE);
  await setPolicy(database.id, { paused: true });
  expect(await backUp(database)).toMatchObject({ state: "complete" });
  for (const at of ["preflight", "exporting", "verifying"] as const) {
    await setPolicy(database.id, { paused: false });
    const id = await startBackup(database.id);
    await drive(database.id, phase(at));
    await setPolicy(database.id, { paused: true });
    await drive(database.id, isOver);
    expect(await viewOf(id)).toMatchObject({ state: "complete", trigger: "manual" });
  }
  expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 4 });
});
