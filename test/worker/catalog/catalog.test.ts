import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { D1DatabaseIndex } from "../../../src/cloudflare/catalog/database-index.ts";
import type { BackupRow } from "../../../src/core/backup/backup-row.ts";
import type { DatabaseListItem, ListingEntry } from "../../../src/core/catalog/database-index.ts";
import type { DatabaseRow } from "../../../src/core/catalog/database-row.ts";
import type { Result } from "../../../src/core/failure.ts";
import type { Cursor, Page } from "../../../src/core/page.ts";
import { RUN_STATES, type RunState, type RunView } from "../../../src/core/run/run-view.ts";

const now = Date.parse("2126-11-21T12:00:00.000Z");
const HOUR_MS = 3_600_000;
const ago = (ms: number): string => new Date(now - ms).toISOString();
const catalog = new D1Catalog(env.CATALOG);
const index = new D1DatabaseIndex(env.CATALOG);

beforeEach(() => env.CATALOG.exec("DELETE FROM databases; DELETE FROM runs; DELETE FROM backups;"));

async function value<T>(result: Promise<Result<T>>): Promise<T> {
  const awaited = await result;
  if (!awaited.ok) throw new Error(awaited.failure.detail);
  return awaited.value;
}

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

const backup = (id: string, databaseId: string, databaseName: string, startedAt: string): BackupRow => ({
  id,
  runId: `run of ${id}`,
  databaseId,
  databaseName,
  startedAt,
  finishedAt: startedAt,
  trigger: "manual",
  label: null,
  pinned: false,
  dumpBytes: 1,
  storedBytes: 1,
  volumes: 1,
  folder: `d1/${id}/`,
  manifestSha256: null,
  encrypted: false,
  hazards: 0,
});

const run = (
  id: string,
  databaseId: string,
  databaseName: string,
  createdAt: string,
  state: RunState,
): RunView => ({
  id,
  databaseId,
  databaseName,
  state,
  trigger: "scheduled",
  label: null,
  createdAt,
  startedAt: null,
  finishedAt: null,
  progress: { step: state, bytesDone: null, bytesTotal: null, message: null },
  error: null,
  backupId: null,
  hazards: [],
});

/** All pages of a list, with so many on each. */
async function all<T>(
  list: (limit: number, after: Cursor | null) => Promise<Result<Page<T>>>,
  limit: number,
): Promise<T[]> {
  const items: T[] = [];
  for (let after: Cursor | null = null; ;) {
    const page: Page<T> = await value(list(limit, after));
    expect(page.items.length).toBeLessThanOrEqual(limit);
    items.push(...page.items);
    if (page.cursor === null) return items;
    after = page.cursor;
  }
}

// Three databases, of which two have one name, and times that several of them share.
const ids = [1, 2, 3].map(uuid);
const nameOf = (n: number): string => (n === 2 ? "shop" : n === 1 ? "forum" : "shop");

describe("the lists of backups and runs", { timeout: 60_000 }, () => {
  const items = Array.from({ length: 60 }, (_, i) => ({
    n: (i * 7) % 3,
    at: ago(Math.floor(i / 4) * HOUR_MS),
    i,
  }));
  const newestFirst = <T extends { id: string }>(rows: readonly T[], time: (row: T) => string): T[] =>
    rows.toSorted((a, b) => (time(a) === time(b) ? (a.id < b.id ? 1 : -1) : time(a) < time(b) ? 1 : -1));
  const backups = items.map(({ n, at, i }) => backup(`b${i}`, ids[n] ?? "", nameOf(n), at));
  const runs = items.map(({ n, at, i }) =>
    run(`r${i}`, ids[n] ?? "", nameOf(n), at, RUN_STATES[i % RUN_STATES.length] ?? "failed"),
  );
  const filters = [null, ids[0] ?? "", (ids[1] ?? "").toUpperCase(), "shop", "forum", "nobody", uuid(9)];

  it("come newest first, by database and state, page by page, as a plain filter gives them", async () => {
    for (const each of backups) await value(catalog.saveBackup(each));
    for (const each of runs) await value(catalog.saveRun(each, 1));
    const matches = (filter: string | null, row: { databaseId: string; databaseName: string }): boolean =>
      filter === null || row.databaseId === filter.toLowerCase() || row.databaseName === filter;
    for (const database of filters) {
      for (const limit of [1, 7, 100]) {
        const found = await all((page, after) => catalog.backups({ database }, page, after), limit);
        const expected = newestFirst(
          backups.filter((row) => matches(database, row)),
          (row) => row.startedAt,
        );
        expect(found).toEqual(expected);
        for (const state of [null, "complete", "failed"] as const) {
          const listed = await all((page, after) => catalog.runs({ database, state }, page, after), limit);
          const wanted = runs.filter(
            (row) => matches(database, row) && (state === null || row.state === state),
          );
          expect(listed).toEqual(newestFirst(wanted, (row) => row.createdAt));
        }
      }
    }
  });

  it("are read from indexes alone, without sorting", async () => {
    const plans: Record<string, string[]> = {};
    for (const [what, database] of [
      ["all", null],
      ["uuid", uuid(1)],
      ["name", "shop"],
    ] as const) {
      for (const after of [null, [ago(0), "x"]] as const) {
        const page = after === null ? "first" : "later";
        plans[`backups, ${what}, ${page}`] = await plansOf((db) =>
          new D1Catalog(db).backups({ database }, 25, after),
        );
        for (const state of [null, "failed"] as const) {
          plans[`runs, ${what}, ${state ?? "each"}, ${page}`] = await plansOf((db) =>
            new D1Catalog(db).runs({ database, state }, 25, after),
          );
        }
      }
    }
    const table = Object.fromEntries(
      ["first", "later"].flatMap((page) => {
        const later = page === "later";
        const range = (columns: string): string => (later ? ` AND (${columns})<(?,?)` : "");
        return [
          [
            `backups, all, ${page}`,
            only(
              later
                ? "SEARCH backups USING INDEX backups_newest ((started_at,id)<(?,?))"
                : "SCAN backups USING INDEX backups_newest",
            ),
          ],
          [
            `backups, uuid, ${page}`,
            only(`SEARCH backups USING INDEX backups_of_database (database_id=?${range("started_at,id")})`),
          ],
          [
            `backups, name, ${page}`,
            only(`SEARCH backups USING INDEX backups_by_name (database_name=?${range("started_at,id")})`),
          ],
          [
            `runs, all, each, ${page}`,
            only(
              later
                ? "SEARCH runs USING INDEX runs_newest ((created_at,id)<(?,?))"
                : "SCAN runs USING INDEX runs_newest",
            ),
          ],
          [
            `runs, all, failed, ${page}`,
            only(`SEARCH runs USING INDEX runs_in_state (state=?${range("created_at,id")})`),
          ],
          ...["each", "failed"].flatMap((state) => [
            [
              `runs, uuid, ${state}, ${page}`,
              only(`SEARCH runs USING INDEX runs_by_database (database_id=?${range("created_at,id")})`),
            ],
            [
              `runs, name, ${state}, ${page}`,
              only(`SEARCH runs USING INDEX runs_by_name (database_name=?${range("created_at,id")})`),
            ],
          ]),
        ];
      }),
    );
    expect(plans).toEqual(table);
  });
});

describe("the databases in trouble, and the list of all", () => {
  it("are read from indexes, the overdue ones by their deadline", async () => {
    const plans = await plansOf((db) => new D1DatabaseIndex(db).troubled(ago(0), 10));
    expect(plans.filter((line) => line.includes("databases_by_deadline"))).toEqual([
      "SEARCH databases USING INDEX databases_by_deadline (<expr><?)",
      "SEARCH databases USING INDEX databases_by_deadline (<expr><?)",
    ]);
    expect(plans.filter((line) => /TEMP B-TREE|SCAN databases$/.test(line))).toEqual([]);
    const listPlans = await Promise.all(
      [
        { gone: null, name: null },
        { gone: false, name: null },
        { gone: true, name: null },
        { gone: null, name: "x" },
      ].map((filter) => plansOf((db) => new D1DatabaseIndex(db).list(filter, 10, ["a", "b"]))),
    );
    expect(listPlans.flat().every((line) => line.startsWith("SEARCH databases USING INDEX databases_"))).toBe(
      true,
    );
  });
});

/** A plan of one step. */
const only = (step: string): string[] => [step];

/** How SQLite goes about the statements of a call: each step of each plan. */
async function plansOf(call: (db: D1Database) => Promise<unknown>): Promise<string[]> {
  const lines: string[] = [];
  const explain = async (statement: D1PreparedStatement): Promise<void> => {
    const { results } = await statement.all<{ detail: string }>();
    lines.push(...results.map(({ detail }) => detail));
  };
  const explained = new Map<unknown, D1PreparedStatement>();
  const db = new Proxy(env.CATALOG, {
    get(target, name) {
      if (name === "prepare") {
        return (sql: string) => {
          const plan = target.prepare(`EXPLAIN QUERY PLAN ${sql}`);
          const standIn = {
            bind: (...values: unknown[]) => {
              const bound = { run: async () => (await explain(plan.bind(...values)), { results: [] }) };
              explained.set(bound, plan.bind(...values));
              return bound;
            },
          };
          return standIn;
        };
      }
      return async (statements: unknown[]) => {
        for (const statement of statements) {
          const plan = explained.get(statement);
          if (plan === undefined) throw new Error("a statement of nobody's");
          await explain(plan);
        }
        return [{ results: [{ listed_at: null, known_since: null, problems: 0 }] }, { results: [] }];
      };
    },
  });
  await call(db);
  expect(lines.length).toBeGreaterThan(0);
  return lines;
}

describe("a row of a backup", () => {
  it("is removed as often as it is told", async () => {
    await value(catalog.saveBackup(backup("a", uuid(1), "shop", ago(0))));
    for (let i = 0; i < 2; i++) await value(catalog.removeBackup("a"));
    expect(await value(catalog.backup("a"))).toBeNull();
  });
});

describe("runs of long ago", () => {
  it("are forgotten some thousands at a time, and no later ones with them", async () => {
    await env.CATALOG.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4499)
       INSERT INTO runs (id, revision, database_id, database_name, state, created_at, view)
       SELECT 'r' || i, 1, 'd', 'd', 'complete', iif(i < 3000, ?1, ?2), '{}' FROM n`,
    )
      .bind(ago(91 * 24 * HOUR_MS), ago(89 * 24 * HOUR_MS))
      .run();
    const before = ago(90 * 24 * HOUR_MS);
    const left = async (): Promise<unknown> =>
      env.CATALOG.prepare("SELECT count(*) FROM runs").first("count(*)");
    expect(await value(catalog.forgetRuns(before))).toBe(false);
    expect(await left()).toBe(2_500);
    expect(await value(catalog.forgetRuns(before))).toBe(true);
    expect(await left()).toBe(1_500);
    expect(await value(catalog.forgetRuns(before))).toBe(true);
    expect(await left()).toBe(1_500);
  });
});

const listed = (id: string, name: string, more: Partial<ListingEntry> = {}): ListingEntry => ({
  id,
  name,
  freshnessMs: 26 * HOUR_MS,
  watched: true,
  ...more,
});

const row: DatabaseRow = {
  id: "1",
  name: "b",
  freshAt: ago(HOUR_MS),
  lastBackupId: null,
  lastRunState: "complete",
  lastRunError: null,
  notices: [{ kind: "k", detail: "d" }],
  writtenAt: ago(0),
};

describe("the list of databases", () => {
  it("comes by name, page by page, of those that are there, are gone, or have a name", async () => {
    const older = [
      listed("1", "b"),
      listed("2", "a"),
      listed("3", "c"),
      listed("4", "b", { watched: false }),
    ];
    await value(index.saveListing(older, ago(2 * HOUR_MS)));
    await value(index.saveListing(older.slice(0, 3), ago(HOUR_MS)));
    await value(index.saveDatabase(row));
    const idsOf = async (
      filter: { gone: boolean | null; name: string | null },
      limit: number,
    ): Promise<string[]> => {
      const found = await all<DatabaseListItem>((page, after) => index.list(filter, page, after), limit);
      return found.map(({ id }) => id);
    };
    for (const limit of [1, 2, 9]) {
      expect(await idsOf({ gone: null, name: null }, limit)).toEqual(["2", "1", "4", "3"]);
      expect(await idsOf({ gone: false, name: null }, limit)).toEqual(["2", "1", "3"]);
      expect(await idsOf({ gone: true, name: null }, limit)).toEqual(["4"]);
      expect(await idsOf({ gone: null, name: "b" }, limit)).toEqual(["1", "4"]);
      expect(await idsOf({ gone: false, name: "b" }, limit)).toEqual(["1"]);
    }
    const [, shop, gone] = (await value(index.list({ gone: null, name: null }, 3, null))).items;
    expect([shop, gone]).toEqual([
      {
        id: "1",
        name: "b",
        firstSeenAt: ago(2 * HOUR_MS),
        freshAt: ago(HOUR_MS),
        freshnessMs: 26 * HOUR_MS,
        watched: true,
        goneAt: null,
        lastBackupId: null,
        lastRunState: "complete",
        lastRunError: null,
        notices: [{ kind: "k", detail: "d" }],
      },
      {
        id: "4",
        name: "b",
        firstSeenAt: ago(2 * HOUR_MS),
        freshAt: null,
        freshnessMs: 26 * HOUR_MS,
        watched: false,
        goneAt: ago(HOUR_MS),
        lastBackupId: null,
        lastRunState: null,
        lastRunError: null,
        notices: [],
      },
    ]);
  });
});
