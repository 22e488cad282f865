import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PlaceLedger } from "../../../src/jobs/limits/lease-table.ts";
import { DueQueue } from "../../../src/jobs/registry/due-queue.ts";
import { createDatabase, resetAccount, setFaults, stateOf } from "../kit/emulated-account.ts";
import {
  account,
  call,
  drive,
  driveAccount,
  fire,
  HEARTBEAT,
  holdTheClock,
  isOver,
  moveTo,
  settle,
  startBackup,
  storedRun,
} from "../kit/run-driver.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const NOW = Date.UTC(2126, 10, 21, 3, 0, 0);

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

/** A ledger in the SQLite of an object of its own. */
async function withLedger(work: (ledger: PlaceLedger) => void): Promise<void> {
  const stub = env.ACCOUNT_QUEUE.getByName(crypto.randomUUID());
  await runInDurableObject(stub, (_, { storage }) => work(new PlaceLedger(storage.sql)));
}

describe("places", () => {
  it("are as many as the limit says, which is remembered", async () => {
    const stub = env.ACCOUNT_QUEUE.getByName("limits");
    await runInDurableObject(stub, (_, { storage }) => {
      const ledger = new PlaceLedger(storage.sql);
      expect(ledger.free("export", NOW)).toBe(6);
      expect(ledger.free("copy", NOW)).toBe(2);
      ledger.limit("export", 3);
    });
    await evictDurableObject(stub);
    await runInDurableObject(stub, (_, { storage }) => {
      const ledger = new PlaceLedger(storage.sql);
      expect(["a", "b", "c", "d"].map((id) => ledger.take("export", id, NOW))).toEqual([
        true,
        true,
        true,
        false,
      ]);
      expect(ledger.free("copy", NOW)).toBe(2);
    });
  });

  it("that are held stay so when there are fewer of them", async () => {
    await withLedger((ledger) => {
      for (const id of ["a", "b", "c"]) ledger.take("export", id, NOW);
      ledger.limit("export", 1);
      expect(ledger.free("export", NOW)).toBe(0);
      expect(ledger.take("export", "c", NOW + SECOND)).toBe(true);
      expect(ledger.release("export", "a", NOW + SECOND)).toEqual([]);
      expect(ledger.take("export", "d", NOW + SECOND)).toBe(false);
      ledger.release("export", "b", NOW + SECOND);
      expect(ledger.take("export", "d", NOW + SECOND)).toBe(false);
      expect(ledger.release("export", "c", NOW + SECOND)).toEqual(["d"]);
    });
  });

  it("tell when to look for one again, should nobody give one back", async () => {
    await withLedger((ledger) => {
      ledger.limit("export", 2);
      ledger.take("export", "a", NOW);
      expect(ledger.lookAgainAt("export", NOW)).toBe(NOW);
      ledger.take("export", "b", NOW + SECOND);
      expect(ledger.lookAgainAt("export", NOW + SECOND)).toBe(NOW + 2 * MINUTE);
      ledger.take("export", "a", NOW + 2 * SECOND);
      expect(ledger.lookAgainAt("export", NOW + 2 * SECOND)).toBe(NOW + 2 * MINUTE + SECOND);
      // A place is free, but somebody waits for it, who may be gone by then.
      ledger.take("export", "waits", NOW + 2 * SECOND);
      ledger.release("export", "a", NOW + 2 * SECOND);
      expect(ledger.lookAgainAt("export", NOW + 2 * SECOND)).toBe(NOW + 62 * SECOND);
    });
  });

  it("end by themselves when their run has died", async () => {
    await withLedger((ledger) => {
      ledger.take("export", "a", NOW);
      expect(ledger.held("export", NOW + 2 * MINUTE - 1)).toBe(1);
      expect(ledger.held("export", NOW + 2 * MINUTE)).toBe(0);
    });
  });
});

describe("a reservation", () => {
  it("is held until the database asks, which keeps it", async () => {
    await withLedger((ledger) => {
      ledger.limit("export", 1);
      expect(ledger.reserve("export", "a", NOW)).toBe(true);
      expect(ledger.held("export", NOW)).toBe(1);
      expect(ledger.take("export", "other", NOW)).toBe(false);
      expect(ledger.take("export", "a", NOW + MINUTE)).toBe(true);
      expect(ledger.held("export", NOW + 2.5 * MINUTE)).toBe(1);
    });
  });

  it.each(["export", "copy"] as const)(
    "of a place to %s ends after two minutes when nobody asks",
    async (kind) => {
      await withLedger((ledger) => {
        ledger.limit(kind, 1);
        ledger.reserve(kind, "a", NOW);
        expect(ledger.free(kind, NOW + 2 * MINUTE - 1)).toBe(0);
        expect(ledger.free(kind, NOW + 2 * MINUTE)).toBe(1);
      });
    },
  );

  it("comes after those that wait already", async () => {
    await withLedger((ledger) => {
      ledger.limit("export", 1);
      ledger.take("export", "a", NOW);
      expect(ledger.take("export", "waits", NOW)).toBe(false);
      expect(ledger.release("export", "a", NOW + SECOND)).toEqual(["waits"]);
      expect(ledger.free("export", NOW + SECOND)).toBe(0);
      expect(ledger.reserve("export", "b", NOW + SECOND)).toBe(false);
      expect(ledger.take("export", "waits", NOW + SECOND)).toBe(true);
      // One that no longer asks is no longer waiting.
      ledger.release("export", "waits", NOW + SECOND);
      expect(ledger.reserve("export", "b", NOW + SECOND)).toBe(true);
    });
  });

  it("is not made for a database that holds a place, whose lease stays as it is", async () => {
    await withLedger((ledger) => {
      ledger.take("export", "a", NOW);
      expect(ledger.reserve("export", "a", NOW + MINUTE)).toBe(false);
      expect(ledger.held("export", NOW + 2 * MINUTE)).toBe(0);
    });
  });

  it("is not made for more than there are", async () => {
    await withLedger((ledger) => {
      const reserved = Array.from({ length: 8 }, (_, index) => ledger.reserve("export", `db-${index}`, NOW));
      expect(reserved.filter(Boolean)).toHaveLength(6);
    });
  });
});

/** How many wait for the account to start them. */
function databasesDue(): Promise<number> {
  return runInDurableObject(account(), (_, { storage }) => new DueQueue(storage.sql).count());
}

describe("one database", () => {
  it("has one export at a time, whoever asks: triggers and requests by hand at once (failure modes 15 and 35)", async () => {
    await resetAccount();
    const database = await createDatabase("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    await setFaults(database.id, [{ on: "export.start", fault: "slow", value: 5 * MINUTE }]);
    await fire(HEARTBEAT, NOW - 120 * MINUTE);
    await driveAccount(0);
    const early: [string, number] = ["0 2 * * *", NOW - 60 * MINUTE];
    const late: [string, number] = ["10 2 * * *", NOW - 50 * MINUTE];
    const [, , , id] = await Promise.all([
      fire(...early),
      fire(...late),
      fire(...early),
      startBackup(database.name, { force: true }),
    ]);
    const isExporting = await drive(
      database.id,
      ({ phase }) => phase.at === "exporting" && phase.bookmark !== null,
    );
    expect(isExporting.id).toBe(id);
    // While it exports: the account starts what its triggers asked for, and somebody asks again.
    await driveAccount(0);
    expect(await databasesDue()).toBe(1);
    await fire(...late);
    await driveAccount(0);
    const again = await call(`/api/databases/${database.name}/backups`, {
      method: "POST",
      body: '{"force":true}',
    });
    expect(again.status).toBe(409);
    expect(await storedRun(database.id)).toMatchObject({ id, phase: { at: "exporting" } });
    const ended = await drive(database.id, (run) => {
      expect(run.lastFailure?.code).not.toBe("database-busy");
      return isOver(run);
    });
    expect(ended).toMatchObject({ id, phase: { at: "complete" } });
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 1, exporting: false });
    // The slot is served once the run is over, by looking: nothing was written since.
    await moveTo(Date.now() + 2 * MINUTE);
    await settle([database]);
    expect(await databasesDue()).toBe(0);
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 1 });
  }, 30_000);
});
