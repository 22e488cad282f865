import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { D1DatabaseIndex } from "../../../src/cloudflare/catalog/database-index.ts";
import type { ListingEntry } from "../../../src/core/catalog/database-index.ts";
import type { DatabaseRow, TroubledDatabases } from "../../../src/core/catalog/database-row.ts";
import type { Result } from "../../../src/core/failure.ts";
import { databaseProblems } from "../../../src/core/health/database-problems.ts";
import type { RunView } from "../../../src/core/run/run-view.ts";

const now = Date.parse("2126-11-21T12:00:00.000Z");
const ago = (ms: number): string => new Date(now - ms).toISOString();
const HOUR_MS = 3_600_000;
/** Of the databases here, unless they have another one. */
const LIMIT_MS = 26 * HOUR_MS;
const listedAt = ago(3_600_000);
const index = new D1DatabaseIndex(env.CATALOG);

beforeEach(() => env.CATALOG.exec("DELETE FROM databases"));

const row: DatabaseRow = {
  id: "shop",
  name: "shop",
  freshAt: listedAt,
  lastBackupId: null,
  lastRunState: "complete",
  lastRunError: null,
  notices: [],
  writtenAt: listedAt,
};

const listed = (id: string, name: string, more: Partial<ListingEntry> = {}): ListingEntry => ({
  id,
  name,
  freshnessMs: LIMIT_MS,
  watched: true,
  ...more,
});
const named = (...ids: string[]): ListingEntry[] => ids.map((id) => listed(id, `name of ${id}`));

async function value<T>(result: Promise<Result<T>>): Promise<T> {
  const awaited = await result;
  if (!awaited.ok) throw new Error(awaited.failure.detail);
  return awaited.value;
}

const troubled = (limit = 1_000): Promise<TroubledDatabases> => value(index.troubled(ago(0), limit));

async function stored(id: string): Promise<Record<string, unknown> | null> {
  return env.CATALOG.prepare("SELECT * FROM databases WHERE id = ?").bind(id).first();
}

describe("the databases in trouble", () => {
  it("are those that health finds something wrong with, as many and in the order of their trouble", async () => {
    const ages = [null, 0, LIMIT_MS, LIMIT_MS + 1, LIMIT_MS * 9];
    const states = ["complete", "unchanged", "failed"] as const;
    const notices = [
      [],
      [{ kind: "unchanged-off", detail: "x" }],
      [
        { kind: "a", detail: "x" },
        { kind: "b", detail: "y" },
      ],
    ];
    const rows = ages.flatMap((age) =>
      states.flatMap((lastRunState) =>
        notices.map((notice, i) => {
          const id = `${age}-${lastRunState}-${i}`;
          return {
            ...row,
            id,
            name: id,
            freshAt: age === null ? null : ago(age),
            lastRunState,
            notices: notice,
          };
        }),
      ),
    );
    for (const each of rows) await value(index.saveDatabase(each));
    await value(
      index.saveListing(
        rows.map(({ id }) => listed(id, id)),
        listedAt,
      ),
    );
    // known for as long as it may take, and for longer
    const tooLong = ago(LIMIT_MS + 1);
    await env.CATALOG.prepare("UPDATE databases SET first_seen_at = ?").bind(tooLong).run();

    const expected = rows.map((each) => ({
      id: each.id,
      problems: databaseProblems({ ...each, firstSeenAt: tooLong, freshnessMs: LIMIT_MS }, now),
    }));
    const found = await troubled();
    expect(found.databases.map(({ id }) => id).toSorted()).toEqual(
      expected
        .filter(({ problems }) => problems.length > 0)
        .map(({ id }) => id)
        .toSorted(),
    );
    expect(found.problems).toBe(expected.reduce((sum, { problems }) => sum + problems.length, 0));
    const severities = found.databases.map((each) => databaseProblems(each, now)[0]?.severity);
    expect(severities).toEqual(severities.toSorted().toReversed());
    expect(found.databases.length).toBeGreaterThan(20);

    const few = await troubled(3);
    expect(few).toEqual({ ...found, databases: found.databases.slice(0, 3) });
    expect(few.databases.map(({ freshAt }) => freshAt)).toEqual(Array(3).fill(ago(LIMIT_MS * 9)));
  });

  it("are none of those that are not in the latest listing", async () => {
    const stale = {
      freshAt: ago(LIMIT_MS * 2),
      lastRunState: "failed",
      notices: [{ kind: "a", detail: "x" }],
    } as const;
    for (const id of ["gone", "here", "unlisted"]) await value(index.saveDatabase({ ...row, ...stale, id }));
    await value(index.saveListing(named("gone", "here"), ago(7_200_000)));
    await value(index.saveListing(named("here"), listedAt));
    expect(await troubled()).toMatchObject({ listedAt, problems: 2, databases: [{ id: "here" }] });
    await value(index.saveListing([], ago(0)));
    expect(await troubled()).toMatchObject({ listedAt: null, problems: 0, databases: [] });
  });

  it("are late by a limit of each one's own, and are watched", async () => {
    const day = { freshAt: ago(25 * HOUR_MS) };
    for (const id of ["hourly", "weekly", "paused", "failed", "paused-failed"])
      await value(
        index.saveDatabase({
          ...row,
          ...day,
          id,
          name: id,
          lastRunState: id.endsWith("failed") ? "failed" : "complete",
        }),
      );
    const listing = [
      listed("hourly", "hourly", { freshnessMs: 3 * HOUR_MS }),
      listed("weekly", "weekly", { freshnessMs: 170 * HOUR_MS }),
      listed("paused", "paused", { freshnessMs: 3 * HOUR_MS, watched: false }),
      listed("failed", "failed"),
      listed("paused-failed", "paused-failed", { freshnessMs: 3 * HOUR_MS, watched: false }),
    ];
    await value(index.saveListing(listing, listedAt));
    expect(await troubled()).toMatchObject({
      listedAt,
      problems: 2,
      databases: [
        { id: "hourly", freshnessMs: 3 * HOUR_MS },
        { id: "failed", freshnessMs: LIMIT_MS },
      ],
    });
    // The oldest by what each may take comes first, not the one that is longest without.
    await value(
      index.saveDatabase({
        ...row,
        id: "failed",
        name: "failed",
        freshAt: ago(27 * HOUR_MS),
        writtenAt: ago(0),
      }),
    );
    await value(
      index.saveListing(
        [...listing.slice(0, 3), listed("failed", "failed", { freshnessMs: 25 * HOUR_MS })],
        ago(0),
      ),
    );
    expect((await troubled()).databases.map(({ id }) => id)).toEqual(["hourly"]);
    await value(
      index.saveListing(
        listing.map((each) => ({ ...each, watched: false })),
        ago(0),
      ),
    );
    expect(await troubled()).toMatchObject({
      listedAt: ago(0),
      knownSince: null,
      problems: 0,
      databases: [],
    });
  });

  it("are found among ten thousand without reading those that are well", async () => {
    const ids = Array.from({ length: 10_000 }, (_, i) => String(i).padStart(36, "0"));
    await value(index.saveListing(named(...ids), listedAt));
    await env.CATALOG.prepare("UPDATE databases SET fresh_at = ?").bind(listedAt).run();
    await value(index.saveDatabase({ ...row, id: ids[7_000] ?? "", lastRunState: "failed" }));
    await env.CATALOG.prepare("UPDATE databases SET fresh_at = ? WHERE id = ?")
      .bind(ago(LIMIT_MS * 2), ids[8_000])
      .run();
    let rowsRead = 0;
    const counting = new Proxy(env.CATALOG, {
      get(db, name) {
        if (name === "prepare") return db.prepare.bind(db);
        return async (statements: D1PreparedStatement[]) => {
          const results = await db.batch(statements);
          for (const { meta } of results) rowsRead += meta.rows_read;
          return results;
        };
      },
    });
    const found = await value(new D1DatabaseIndex(counting).troubled(ago(0), 1));
    expect(found).toMatchObject({ problems: 2, databases: [{ id: ids[8_000] }] });
    expect(rowsRead).toBeGreaterThan(0);
    expect(rowsRead).toBeLessThan(20);
  }, 30_000);
});

describe("a listing", () => {
  it("keeps what is known of a database, but for its name", async () => {
    await value(index.saveDatabase(row));
    await value(index.saveListing([listed("shop", "store")], ago(0)));
    expect(await stored("shop")).toMatchObject({
      name: "store",
      first_seen_at: listedAt,
      seen_at: ago(0),
      fresh_at: listedAt,
      last_run_state: "complete",
    });
  });

  it("may be told twice, and late", async () => {
    for (let i = 0; i < 2; i++) await value(index.saveListing(named("a", "b"), listedAt));
    await value(index.saveListing(named("a"), ago(0)));
    await value(index.saveListing(named("a", "b"), listedAt));
    expect(await stored("a")).toMatchObject({ listed: 1, seen_at: ago(0), first_seen_at: listedAt });
  });

  it("is taken whole or not at all", async () => {
    const ids = Array.from({ length: 1_200 }, (_, i) => `id-${i}`);
    await value(index.saveListing(named("before"), ago(7_200_000)));
    // The last of them is no text, which the column refuses.
    const broken = [...named(...ids), { ...listed("broken", ""), name: null }] as ListingEntry[];
    expect(await index.saveListing(broken, listedAt)).toMatchObject({
      ok: false,
      failure: { code: "catalog-unavailable" },
    });
    expect(await stored("id-0")).toBeNull();
    expect(await troubled()).toMatchObject({ listedAt: ago(7_200_000) });
    await value(index.saveListing(named(...ids), listedAt));
    expect(await stored("id-1199")).toMatchObject({ name: "name of id-1199", listed: 1 });
    expect(await stored("before")).toMatchObject({ listed: 0 });
  });
});

describe("a database that vanished", () => {
  it("is gone since the first listing that lacked it, and is back with one that has it", async () => {
    await value(index.saveListing(named("a", "b"), ago(3 * HOUR_MS)));
    await value(index.saveListing(named("a"), ago(2 * HOUR_MS)));
    await value(index.saveListing(named("a"), ago(HOUR_MS)));
    expect(await stored("b")).toMatchObject({ listed: 0, gone_at: ago(2 * HOUR_MS) });
    // an older listing that arrives late does not bring it back
    await value(index.saveListing(named("a", "b"), ago(2.5 * HOUR_MS)));
    expect(await stored("b")).toMatchObject({ listed: 0, gone_at: ago(2 * HOUR_MS) });
    await value(index.saveListing(named("a", "b"), ago(0)));
    expect(await stored("b")).toMatchObject({ listed: 1, gone_at: null });
  });

  it("is not one that a run told of after the listing", async () => {
    await value(index.saveDatabase({ ...row, writtenAt: ago(HOUR_MS) }));
    await value(index.saveListing(named("a"), ago(2 * HOUR_MS)));
    expect(await stored("shop")).toMatchObject({ listed: 0, gone_at: null });
    await value(index.saveListing(named("a"), ago(0)));
    expect(await stored("shop")).toMatchObject({ listed: 0, gone_at: ago(0) });
  });
});

const unchangedRun = (id: string, at: string, databaseId = "shop"): RunView => ({
  id,
  databaseId,
  databaseName: databaseId,
  state: "unchanged",
  trigger: "scheduled",
  label: null,
  createdAt: at,
  startedAt: at,
  finishedAt: at,
  progress: { step: "unchanged", bytesDone: null, bytesTotal: null, message: null },
  error: null,
  backupId: "shop.1",
  hazards: [],
});

describe("databases that were found not written to", () => {
  const failed = {
    ...row,
    lastBackupId: "shop.1",
    lastRunState: "failed",
    lastRunError: "export-lost",
  } as const;

  it("are fresh as of then, with a run that says so, as often as it is told", async () => {
    await value(index.saveDatabase({ ...failed, freshAt: ago(9 * HOUR_MS), writtenAt: ago(3 * HOUR_MS) }));
    const runs = Array.from({ length: 250 }, (_, i) =>
      unchangedRun(`r${i}`, ago(HOUR_MS), i === 7 ? "shop" : `d${i}`),
    );
    for (let i = 0; i < 2; i++) await value(index.saveUnchanged(runs));
    expect(await stored("shop")).toMatchObject({
      fresh_at: ago(HOUR_MS),
      last_backup_id: "shop.1",
      last_run_state: "unchanged",
      last_run_error: null,
    });
    expect(await stored("d249")).toMatchObject({ fresh_at: ago(HOUR_MS), name: "d249" });
    const catalog = new D1Catalog(env.CATALOG);
    expect(await value(catalog.run("r7"))).toEqual(runs[7]);
    const listedRuns = await value(catalog.runs({ database: "d249", state: "unchanged" }, 9, null));
    expect(listedRuns.items).toEqual([runs[249]]);
  });

  it("are none when there are none", async () => {
    expect(await index.saveUnchanged([])).toEqual({ ok: true, value: undefined });
  });

  it.each([
    // [what was told, in this order, freshness, state]
    ["a later failure, then the check", ["failure", "check"], HOUR_MS * 2, "failed"],
    ["the check, then an older failure", ["check", "old failure"], HOUR_MS * 2, "unchanged"],
    ["the check, then a later failure", ["check", "failure"], HOUR_MS * 2, "failed"],
    ["a later check, then an older one", ["late check", "check"], HOUR_MS / 2, "unchanged"],
    [
      "a deletion after the check, told before it",
      ["complete", "deletion", "check"],
      HOUR_MS * 5,
      "complete",
    ],
    ["the deletion after it", ["complete", "check", "deletion"], HOUR_MS * 5, "unchanged"],
  ] as const)("keep the freshness that they have, and the latest state: %s", async (_, told, age, state) => {
    const tellers: Record<(typeof told)[number], () => Promise<Result<void>>> = {
      check: () => index.saveUnchanged([unchangedRun("r", ago(2 * HOUR_MS))]),
      "late check": () => index.saveUnchanged([unchangedRun("late", ago(HOUR_MS / 2))]),
      failure: () => index.saveDatabase({ ...failed, freshAt: ago(9 * HOUR_MS), writtenAt: ago(HOUR_MS) }),
      "old failure": () =>
        index.saveDatabase({ ...failed, freshAt: ago(9 * HOUR_MS), writtenAt: ago(3 * HOUR_MS) }),
      complete: () =>
        index.saveDatabase({
          ...row,
          lastBackupId: "shop.1",
          freshAt: ago(3 * HOUR_MS),
          writtenAt: ago(3 * HOUR_MS),
        }),
      deletion: () =>
        index.setFreshness("shop", { freshAt: ago(5 * HOUR_MS), lastBackupId: "shop.0" }, ago(HOUR_MS)),
    };
    for (const each of told) await value(tellers[each]());
    expect(await stored("shop")).toMatchObject({ fresh_at: ago(age), last_run_state: state });
  });

  it("lose their freshness with their backups alone, and to no older row", async () => {
    await value(index.saveDatabase({ ...row, lastBackupId: "shop.1", writtenAt: ago(3 * HOUR_MS) }));
    for (let i = 0; i < 2; i++)
      await value(index.setFreshness("shop", { freshAt: null, lastBackupId: null }, ago(HOUR_MS)));
    expect(await stored("shop")).toMatchObject({ fresh_at: null, last_backup_id: null });
    await value(index.saveDatabase({ ...row, lastBackupId: "shop.1", writtenAt: ago(2 * HOUR_MS) }));
    expect(await stored("shop")).toMatchObject({ fresh_at: null, last_backup_id: null });
    await value(
      index.saveDatabase({ ...row, lastBackupId: "shop.2", freshAt: ago(60_000), writtenAt: ago(0) }),
    );
    await value(index.setFreshness("shop", { freshAt: null, lastBackupId: null }, ago(HOUR_MS)));
    expect(await stored("shop")).toMatchObject({ fresh_at: ago(60_000), last_backup_id: "shop.2" });
  });
});

describe("a database's own row", () => {
  it("is not overwritten by an older one that arrives late", async () => {
    await value(index.saveDatabase(row));
    await value(index.saveDatabase({ ...row, lastRunState: "failed", writtenAt: ago(7_200_000) }));
    expect(await stored("shop")).toMatchObject({ last_run_state: "complete" });
    await value(index.saveDatabase({ ...row, lastRunState: "failed", writtenAt: ago(0) }));
    expect(await stored("shop")).toMatchObject({ last_run_state: "failed" });
  });

  it("counts as known from its first run on, before any listing", async () => {
    await value(index.saveDatabase(row));
    await value(index.saveDatabase({ ...row, writtenAt: ago(0) }));
    expect(await troubled()).toEqual({ listedAt: null, knownSince: listedAt, databases: [], problems: 0 });
  });
});
