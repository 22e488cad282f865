import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LeaseTable } from "../../../src/jobs/limits/lease-table.ts";
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

/** A table in the SQLite of an object of its own. */
async function withStore(work: (table: LeaseTable) => void): Promise<void> {
  const stub = env.ACCOUNT_COORDINATOR.getByName(crypto.randomUUID());
  await runInDurableObject(stub, (_, { storage }) => work(new LeaseTable(storage.sql)));
}

describe("slots", () => {
  it("are as many as the limit says, which is remembered", async () => {
    const stub = env.ACCOUNT_COORDINATOR.getByName("limits");
    await runInDurableObject(stub, (_, { storage }) => {
      const table = new LeaseTable(storage.sql);
      expect(table.free("export", NOW)).toBe(6);
      expect(table.free("copy", NOW)).toBe(2);
      table.limit("export", 3);
    });
    await evictDurableObject(stub);
    await runInDurableObject(stub, (_, { storage }) => {
      const table = new LeaseTable(storage.sql);
      expect(["a", "b", "c", "d"].map((id) => table.acquire("export", id, NOW))).toEqual([
        true,
        true,
        true,
        false,
      ]);
      expect(table.free("copy", NOW)).toBe(2);
    });
  });

  it("that are held stay so when there are fewer of them", async () => {
    await withStore((table) => {
      for (const id of ["a", "b", "c"]) table.acquire("export", id, NOW);
      table.limit("export", 1);
      expect(table.free("export", NOW)).toBe(0);
      expect(table.acquire("export", "c", NOW + SECOND)).toBe(true);
      expect(table.release("export", "a", NOW + SECOND)).toEqual([]);
      expect(table.acquire("export", "d", NOW + SECOND)).toBe(false);
      table.release("export", "b", NOW + SECOND);
      expect(table.acquire("export", "d", NOW + SECOND)).toBe(false);
      expect(table.release("export", "c", NOW + SECOND)).toEqual(["d"]);
    });
  });

  it("tell when to look for one again, should nobody give one back", async () => {
    await withStore((table) => {
      table.limit("export", 2);
      table.acquire("export", "a", NOW);
      expect(table.lookAgainAt("export", NOW)).toBe(NOW);
      table.acquire("export", "b", NOW + SECOND);
      expect(table.lookAgainAt("export", NOW + SECOND)).toBe(NOW + 2 * MINUTE);
      table.acquire("export", "a", NOW + 2 * SECOND);
      expect(table.lookAgainAt("export", NOW + 2 * SECOND)).toBe(NOW + 2 * MINUTE + SECOND);
      // A place is free, but somebody waits for it, who may be gone by then.
      table.acquire("export", "waits", NOW + 2 * SECOND);
      table.release("export", "a", NOW + 2 * SECOND);
      expect(table.lookAgainAt("export", NOW + 2 * SECOND)).toBe(NOW + 62 * SECOND);
    });
  });

  it("end by themselves when their run has died", async () => {
    await withStore((table) => {
      table.acquire("export", "a", NOW);
      expect(table.held("export", NOW + 2 * MINUTE - 1)).toBe(1);
      expect(table.held("export", NOW + 2 * MINUTE)).toBe(0);
    });
  });
});

describe("a reservation", () => {
  it("is held until the database asks, which keeps it", async () => {
    await withStore((table) => {
      table.limit("export", 1);
      expect(table.reserve("export", "a", NOW)).toBe(true);
      expect(table.held("export", NOW)).toBe(1);
      expect(table.acquire("export", "other", NOW)).toBe(false);
      expect(table.acquire("export", "a", NOW + MINUTE)).toBe(true);
      expect(table.held("export", NOW + 2.5 * MINUTE)).toBe(1);
    });
  });

  it.each(["export", "copy"] as const)(
    "of a slot to %s ends after two minutes when nobody asks",
    async (kind) => {
      await withStore((table) => {
        table.limit(kind, 1);
        table.reserve(kind, "a", NOW);
        expect(table.free(kind, NOW + 2 * MINUTE - 1)).toBe(0);
        expect(table.free(kind, NOW + 2 * MINUTE)).toBe(1);
      });
    },
  );

  it("comes after those that wait already", async () => {
    await withStore((table) => {
      table.limit("export", 1);
      table.acquire("export", "a", NOW);
      expect(table.acquire("export", "waits", NOW)).toBe(false);
      expect(table.release("export", "a", NOW + SECOND)).toEqual(["waits"]);
      expect(table.free("export", NOW + SECOND)).toBe(0);
      expect(table.reserve("export", "b", NOW + SECOND)).toBe(false);
      expect(table.acquire("export", "waits", NOW + SECOND)).toBe(true);
      // One that no longer asks is no longer waiting.
      table.release("export", "waits", NOW + SECOND);
      expect(table.reserve("export", "b", NOW + SECOND)).toBe(true);
    });
  });

  it("is not made for a database that holds a slot, whose lease stays as it is", async () => {
    await withStore((table) => {
      table.acquire("export", "a", NOW);
      expect(table.reserve("export", "a", NOW + MINUTE)).toBe(false);
      expect(table.held("export", NOW + 2 * MINUTE)).toBe(0);
    });
  });

  it("is not made for more than there are", async () => {
    await withStore((table) => {
      const reserved = Array.from({ length: 8 }, (_, index) => table.reserve("export", `db-${index}`, NOW));
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
