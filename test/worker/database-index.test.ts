import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { D1DatabaseIndex } from "../../src/cloudflare/database-index.ts";
import type { DatabaseRow, TroubledDatabases } from "../../src/core/database-row.ts";
import { databaseProblems, FRESHNESS_LIMIT_MS, freshSince } from "../../src/core/health.ts";
import type { Result } from "../../src/core/failure.ts";

const now = Date.parse("2126-11-21T12:00:00.000Z");
const ago = (ms: number): string => new Date(now - ms).toISOString();
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

const named = (...ids: string[]): { id: string; name: string }[] =>
  ids.map((id) => ({ id, name: `name of ${id}` }));

async function value<T>(result: Promise<Result<T>>): Promise<T> {
  const awaited = await result;
  if (!awaited.ok) throw new Error(awaited.failure.detail);
  return awaited.value;
}

const troubled = (limit = 1_000): Promise<TroubledDatabases> => value(index.troubled(freshSince(now), limit));

async function stored(id: string): Promise<Record<string, unknown> | null> {
  return env.CATALOG.prepare("SELECT * FROM databases WHERE id = ?").bind(id).first();
}

describe("the databases in trouble", () => {
  it("are those that health finds something wrong with, as many and in the order of their trouble", async () => {
    const ages = [null, 0, FRESHNESS_LIMIT_MS, FRESHNESS_LIMIT_MS + 1, FRESHNESS_LIMIT_MS * 9];
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
    await value(index.saveListing(rows, listedAt));
    // known for as long as it may take, and for longer
    const tooLong = ago(FRESHNESS_LIMIT_MS + 1);
    await env.CATALOG.prepare("UPDATE databases SET first_seen_at = ?").bind(tooLong).run();

    const expected = rows.map((each) => ({
      id: each.id,
      problems: databaseProblems({ ...each, firstSeenAt: tooLong }, now),
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
    expect(few.databases.map(({ freshAt }) => freshAt)).toEqual(Array(3).fill(ago(FRESHNESS_LIMIT_MS * 9)));
  });

  it("are none of those that are not in the latest listing", async () => {
    const stale = {
      freshAt: ago(FRESHNESS_LIMIT_MS * 2),
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

  it("are found among ten thousand without reading those that are well", async () => {
    const ids = Array.from({ length: 10_000 }, (_, i) => String(i).padStart(36, "0"));
    await value(index.saveListing(named(...ids), listedAt));
    await env.CATALOG.prepare("UPDATE databases SET fresh_at = ?").bind(listedAt).run();
    await value(index.saveDatabase({ ...row, id: ids[7_000] ?? "", lastRunState: "failed" }));
    await value(index.saveDatabase({ ...row, id: ids[8_000] ?? "", freshAt: ago(FRESHNESS_LIMIT_MS * 2) }));
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
    const found = await value(new D1DatabaseIndex(counting).troubled(freshSince(now), 1));
    expect(found).toMatchObject({ problems: 2, databases: [{ id: ids[8_000] }] });
    expect(rowsRead).toBeGreaterThan(0);
    expect(rowsRead).toBeLessThan(20);
  }, 30_000);
});

describe("a listing", () => {
  it("keeps what is known of a database, but for its name", async () => {
    await value(index.saveDatabase(row));
    await value(index.saveListing([{ id: "shop", name: "store" }], ago(0)));
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
    const broken = [...named(...ids), { id: "broken", name: null }] as { id: string; name: string }[];
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
