import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { D1Rest } from "../../../src/cloudflare/d1/d1-rest.ts";
import {
  createDatabase,
  deleteDatabase,
  renameDatabase,
  resetAccount,
  runSql,
  settings,
  stateOf,
} from "../kit/emulated-account.ts";
import {
  call,
  driveAccount,
  fire,
  forgetAccount,
  HEARTBEAT,
  keysOf,
  moveTo,
  NIGHTLY,
  settle,
} from "../kit/run-driver.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MINUTE = 60_000;

/** Each test has weeks of its own, and an account of which nothing is known. */
let night = Date.UTC(2128, 0, 1, 3);

beforeEach(async () => {
  night += 28 * DAY;
  vi.useFakeTimers({ toFake: ["Date"], now: night - 6 * HOUR });
  await forgetAccount();
  await env.CATALOG.exec("DELETE FROM databases");
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one');";

async function beat(): Promise<void> {
  await fire(HEARTBEAT);
  await driveAccount(1_000);
}

async function nightly(databases: readonly { id: string }[], at: number): Promise<void> {
  await moveTo(at);
  await fire(NIGHTLY, at);
  await settle(databases);
}

async function listed(query = ""): Promise<{ name: string; goneAt: string | null; watched: boolean }[]> {
  const response = await call(`/api/databases?limit=100${query}`);
  return (await response.json<{ items: { name: string; goneAt: string | null; watched: boolean }[] }>())
    .items;
}

async function runsOf(id: string): Promise<string[]> {
  const response = await call(`/api/runs?database=${id}&limit=100`);
  return (await response.json<{ items: { state: string }[] }>()).items.map(({ state }) => state);
}

describe("a new database", () => {
  it("is found at the next heartbeat, follows the default policy, and is backed up at its first slot", async () => {
    await beat();
    await fire(NIGHTLY, night - DAY);
    await driveAccount(1_000);
    const database = await createDatabase(TABLE);
    await moveTo(Date.now() + 5 * MINUTE);
    await beat();
    expect(await listed()).toMatchObject([{ name: database.name, goneAt: null, watched: true }]);
    expect(await runsOf(database.id)).toEqual([]);
    const known = await (await call(`/api/databases/${database.id}`)).json();
    const inWindow = expect.stringMatching(new RegExp(`^${new Date(night).toISOString().slice(0, 14)}0\\d`));
    expect(known).toMatchObject({ policy: { schedule: "trigger" }, ownPolicy: {}, nextAt: inWindow });
    await nightly([database], night);
    expect(await runsOf(database.id)).toEqual(["complete"]);
  });

  it("is found on whichever page it stands, also when a page holds less than was asked for", async () => {
    await settings({ mostPerPage: 10 });
    const databases = [];
    for (let i = 0; i < 23; i++) databases.push(await createDatabase(""));
    await beat();
    expect((await listed()).map(({ name }) => name).sort()).toEqual(databases.map(({ name }) => name).sort());
    await settings({ mostPerPage: 10_000 });
  });
});

describe("a database that vanished from the account", () => {
  it("is marked, keeps its backups, and starts nothing; one that is back goes on", async () => {
    const database = await createDatabase(TABLE);
    await nightly([database], night - DAY);
    const keys = await keysOf(database.name);
    expect(keys.length).toBeGreaterThan(4);
    await deleteDatabase(database.id);
    for (let beats = 0; beats < 2; beats++) {
      await moveTo(Date.now() + 5 * MINUTE);
      await beat();
    }
    expect(await listed()).toMatchObject([{ name: database.name, goneAt: expect.any(String) }]);
    expect(await listed("&gone=false")).toEqual([]);
    for (let day = 0; day < 3; day++) await nightly([database], night + day * DAY);
    expect(await runsOf(database.id)).toEqual(["complete"]);
    expect(await keysOf(database.name)).toEqual(keys);
    expect(await (await call(`/api/databases/${database.name}`)).json()).toMatchObject({
      id: database.id,
      goneAt: expect.any(String),
      nextAt: null,
      lastBackupId: expect.any(String),
    });
  });

  it("for one list that was wrong costs no slot, and is told nowhere", async () => {
    const databases = [await createDatabase(TABLE), await createDatabase(TABLE)];
    await nightly(databases, night - DAY);
    for (const { id } of databases) await runSql(id, "INSERT INTO t VALUES ('two');");
    const nothing = vi
      .spyOn(D1Rest.prototype, "listDatabases")
      .mockResolvedValueOnce({ ok: true, value: { databases: [], unreadable: [], total: 0 } });
    await nightly(databases, night);
    expect(nothing).toHaveBeenCalled();
    nothing.mockRestore();
    // Not only made up for later: neither gone meanwhile, nor late.
    expect((await listed()).map(({ goneAt }) => goneAt)).toEqual([null, null]);
    for (const { id } of databases) expect(await runsOf(id)).toEqual(["complete", "complete"]);
    await moveTo(Date.now() + 5 * MINUTE);
    await beat();
    await settle(databases);
    for (const { id } of databases) expect(await runsOf(id)).toEqual(["complete", "complete"]);
    expect((await listed()).map(({ goneAt }) => goneAt)).toEqual([null, null]);
  });

  it("is not taken for gone by a list that is shorter than it says", async () => {
    const database = await createDatabase(TABLE);
    await nightly([database], night - DAY);
    const short = vi
      .spyOn(D1Rest.prototype, "listDatabases")
      .mockResolvedValue({ ok: true, value: { databases: [], unreadable: [], total: 2 } });
    for (let beats = 0; beats < 3; beats++) {
      await moveTo(Date.now() + 5 * MINUTE);
      await beat();
    }
    short.mockRestore();
    expect(await listed()).toMatchObject([{ name: database.name, goneAt: null }]);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await nightly([database], night);
    expect(await runsOf(database.id)).toEqual(["complete", "complete"]);
  });

  it("is not taken for gone by a list in which its UUID is none; the others are listed, and health tells", async () => {
    const odd = await createDatabase(TABLE, "odd");
    await nightly([odd], night - DAY);
    const fresh = await createDatabase(TABLE, "fresh");
    const untouched = globalThis.fetch;
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const response = await untouched(input, init);
      if (!String(input).includes("per_page=")) return response;
      return new Response((await response.text()).replaceAll(odd.id, "../../../user"), response);
    });
    for (let beats = 0; beats < 3; beats++) {
      await moveTo(Date.now() + 5 * MINUTE);
      await beat();
    }
    expect(await listed()).toMatchObject([
      { name: fresh.name, goneAt: null },
      { name: odd.name, goneAt: null },
    ]);
    const health = await (await call("/api/health")).json<{ problems: { code: string; detail: string }[] }>();
    expect(health.problems.find(({ code }) => code === "listing-unreadable")?.detail).toContain(
      'name "odd", UUID "../../../user"',
    );
    vi.restoreAllMocks();
    await runSql(odd.id, "INSERT INTO t VALUES ('two');");
    await nightly([odd, fresh], night);
    expect(await runsOf(odd.id)).toEqual(["complete", "complete"]);
    expect(await (await call("/api/health")).text()).not.toContain("listing-unreadable");
  });

  it("and is back is made up for once", async () => {
    const database = await createDatabase(TABLE);
    await nightly([database], night - DAY);
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    const nothing = vi
      .spyOn(D1Rest.prototype, "listDatabases")
      .mockResolvedValue({ ok: true, value: { databases: [], unreadable: [], total: 0 } });
    for (let beats = 0; beats < 3; beats++) {
      await moveTo(Date.now() + 5 * MINUTE);
      await beat();
    }
    await nightly([], night);
    expect(await runsOf(database.id)).toEqual(["complete"]);
    nothing.mockRestore();
    await moveTo(night + HOUR);
    await beat();
    await settle([database]);
    expect(await runsOf(database.id)).toEqual(["complete", "complete"]);
  });

  it("and was made anew under its name is another one", async () => {
    const old = await createDatabase(TABLE, "twice");
    await nightly([old], night - DAY);
    await deleteDatabase(old.id);
    const anew = await createDatabase(TABLE, "twice");
    await nightly([anew], night);
    expect(await runsOf(anew.id)).toEqual(["complete"]);
    const known = await (await call("/api/databases/twice")).json<{ id: string; policyChanges: unknown[] }>();
    expect(known.id).toBe(anew.id);
    expect(await listed()).toHaveLength(2);
  });
});

it("a database that was renamed keeps its policy and gets a backup under its new name", async () => {
  const database = await createDatabase(TABLE, "before");
  await call(`/api/databases/${database.id}/policy`, { method: "PUT", body: '{"compression":"zstd"}' });
  await nightly([database], night);
  await renameDatabase(database.id, "after");
  await nightly([database], night + DAY);
  expect(await runsOf(database.id)).toEqual(["complete", "complete"]);
  expect(await keysOf("after")).toContainEqual(expect.stringMatching(/after\.0001\.sql\.zst$/));
  expect(await (await call("/api/databases/after")).json()).toMatchObject({
    id: database.id,
    ownPolicy: { compression: "zstd" },
  });
});

describe("patterns on names", () => {
  it.each<[string, object, string[]]>([
    ["let in what they name", { include: ["shop*"] }, ["shop", "shop-eu"]],
    ["keep out what they name, also of what is let in", { include: ["shop*"], exclude: ["*-eu"] }, ["shop"]],
    ["take all else literally", { exclude: ["sho.", "s+"] }, ["log", "shop", "shop-eu"]],
  ])("%s", async (_, patterns, expected) => {
    const databases = [];
    for (const name of ["log", "shop", "shop-eu"]) databases.push(await createDatabase(TABLE, name));
    const put = await call("/api/policy", { method: "PUT", body: JSON.stringify(patterns) });
    expect(put.status).toBe(200);
    await nightly(databases, night);
    const backedUp = [];
    for (const { id, name } of databases) if ((await runsOf(id)).length > 0) backedUp.push(name);
    expect(backedUp).toEqual(expected);
    const watched = (await listed()).filter((database) => database.watched);
    expect(watched.map(({ name }) => name)).toEqual(expected);
  });

  it("that let a database in again do not fire because of that", async () => {
    const database = await createDatabase(TABLE, "shop");
    await call("/api/policy", { method: "PUT", body: '{"exclude":["shop"]}' });
    await nightly([database], night);
    await moveTo(night + HOUR);
    await call("/api/policy", { method: "PUT", body: "{}" });
    await runSql(database.id, "INSERT INTO t VALUES ('two');");
    await fire(HEARTBEAT);
    await settle([database]);
    expect(await stateOf(database.id)).toMatchObject({ exportsStarted: 0 });
    await nightly([database], night + DAY);
    expect(await runsOf(database.id)).toEqual(["complete"]);
  });
});

describe("a list that goes in a circle", () => {
  const ids = [0, 1, 2, 3].map((index) => `4d2318fa-0000-4000-8000-00000000002${index}`);
  const pages = [ids.slice(0, 2), ids.slice(2, 4)].map((page) =>
    page.map((id) => ({ id, name: `circle-${id.slice(-1)}`, createdAt: null })),
  );

  it.each<[string, number | null, number[]]>([
    ["without a total", null, [1, 2, 3]],
    // A second look, as for every list that is shorter than its total.
    ["with a total that it never reaches", 1_000_000, [1, 2, 3, 1, 2, 3]],
  ])(
    "is read to the first page that brings nothing new, and proves of none that it is gone: %s",
    async (_, total, read) => {
      const database = await createDatabase(TABLE);
      await nightly([database], night - DAY);
      const asked = vi.spyOn(D1Rest.prototype, "listDatabases").mockImplementation(async (page) => ({
        ok: true,
        value: { databases: pages[(page - 1) % 2] ?? [], unreadable: [], total },
      }));
      for (let beats = 0; beats < 3; beats++) {
        asked.mockClear();
        await moveTo(Date.now() + 5 * MINUTE);
        await beat();
        expect(asked.mock.calls.map(([page]) => page)).toEqual(read);
      }
      asked.mockRestore();
      expect(await listed("&gone=true")).toEqual([]);
    },
  );
});

describe("a list that does not say how many databases there are", () => {
  it("is read to an empty page, however few a page holds", async () => {
    const names = Array.from({ length: 49 }, (_, index) => `capped-${String(index).padStart(2, "0")}`);
    const ids = names.map((_, index) => `4d2318fa-0000-4000-8000-0000000000${String(index + 10)}`);
    const asked = vi.spyOn(D1Rest.prototype, "listDatabases").mockImplementation(async (page) => {
      const from = (page - 1) * 20;
      const databases = names
        .map((name, index) => ({ id: ids[index] ?? "", name, createdAt: null }))
        .slice(from, from + 20);
      return { ok: true, value: { databases, unreadable: [], total: null } };
    });
    try {
      await fire(HEARTBEAT);
      await driveAccount(MINUTE);
      expect(asked.mock.calls.map(([page]) => page)).toEqual([1, 2, 3, 4]);
    } finally {
      asked.mockRestore();
    }
    const found = await env.CATALOG.prepare(
      "SELECT count(*) AS n FROM databases WHERE name LIKE 'capped-%' AND gone_at IS NULL",
    ).first("n");
    expect(found).toBe(49);
  });
});
