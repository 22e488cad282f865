import { z } from "zod";
import { type Failure, ok, type Result } from "../../src/core/failure.ts";
import type { Cursor, Page } from "../../src/core/page.ts";
import type { Platform } from "../../src/core/platform.ts";

/** How much stands in the catalogue. */
export const catalogSizesSchema = z.object({
  backups: z.coerce.number().int().positive(),
  databases: z.coerce.number().int().positive(),
  runs: z.coerce.number().int().positive(),
});
type CatalogSizes = z.infer<typeof catalogSizesSchema>;

const CHUNK = 100_000;

/** So many items a page: the most that the API gives. */
const LIMIT = 100;
/** Each list is read so often, and for so long at least: the clock stands still between two calls, and is coarse. */
const TIMES = 20;
const TIMED_MS = 10;

/** The night of the first backup, and how long after each the next one follows. */
const FIRST = "2026-01-01";
const APART_MS = 28_000;
/** Database 0 is busier than any other: backed up every 5 minutes, it has a twentieth of all. */
const NAME = "printf('database-%05d', d)";
const UUID = "printf('00000000-0000-4000-8000-%012d', d)";
const busyOr = (part: number, databases: number): string =>
  `iif(i % ${part} = 0, 0, (i * 7919) % ${databases})`;

const SERIES = `WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)`;

/** Fills the catalogue; what is in it already is thrown away. */
export async function fillCatalog(
  platform: Platform,
  db: D1Database,
  { backups, databases, runs }: CatalogSizes,
): Promise<{ seconds: number }> {
  const startedAt = Date.now();
  await db.batch(
    ["runs", "backups", "databases"].map((table) => db.prepare(`DROP TABLE IF EXISTS ${table}`)),
  );
  value(await platform.repair.restoreTables());
  const at = `strftime('%Y-%m-%dT%H:%M:%S.000Z', '${FIRST}', '+' || (i * ${APART_MS / 1_000}) || ' seconds')`;
  await fill(
    db,
    backups,
    `INSERT INTO backups (id, run_id, database_id, database_name, started_at, finished_at, "trigger", pinned, dump_bytes,
       stored_bytes, volumes, folder, manifest_sha256)
     SELECT ${NAME} || '.' || i, ${UUID} || '.' || i, ${UUID}, ${NAME}, at, at, 'scheduled', 0, 1000000, 300000, 1,
       'd1/' || ${NAME} || '/' || i || '/', hex(randomblob(32))
     FROM (SELECT i, ${busyOr(20, databases)} AS d, ${at} AS at FROM n)`,
  );
  await fill(
    db,
    databases,
    `INSERT INTO databases (id, name, first_seen_at, seen_at, listed, fresh_at, freshness_ms, last_run_state)
     SELECT ${UUID}, ${NAME}, '2026-01-01T00:00:00.000Z', '2026-11-21T03:00:00.000Z', 1, '2026-11-21T03:00:00.000Z',
       iif(d % 1000 = 0, 3600000, 93600000), iif(d % 200 = 0, 'failed', 'complete')
     FROM (SELECT i AS d FROM n)`,
  );
  // A run's view has some 500 bytes.
  await fill(
    db,
    runs,
    `INSERT INTO runs (id, revision, database_id, database_name, state, created_at, view)
     SELECT ${UUID} || '.' || i, 9, ${UUID}, ${NAME}, state, at, json_object('id', ${UUID} || '.' || i, 'databaseId', ${UUID},
       'databaseName', ${NAME}, 'state', state, 'trigger', 'scheduled', 'label', NULL, 'createdAt', at, 'startedAt', at,
       'finishedAt', at, 'error', NULL, 'backupId', ${NAME} || '.' || i, 'hazards', json('[]'),
       'progress', json_object('step', state, 'bytesDone', NULL, 'bytesTotal', NULL, 'message', 'Nothing was written since the last backup, which is still there: no export was needed.'))
     FROM (SELECT i, ${busyOr(4, databases)} AS d, ${at} AS at,
       iif(i % 50 = 1, 'failed', iif(i % 10 = 0, 'complete', 'unchanged')) AS state FROM n)`,
  );
  return { seconds: (Date.now() - startedAt) / 1_000 };
}

async function fill(db: D1Database, rows: number, sql: string): Promise<void> {
  for (let from = 0; from < rows; from += CHUNK)
    await db
      .prepare(`${SERIES} ${sql}`)
      .bind(from, Math.min(rows, from + CHUNK))
      .run();
}

interface Measured {
  readonly list: string;
  readonly ms: number;
  readonly items: number;
}

type List = (limit: number, after: Cursor | null) => Promise<Result<Page<unknown>>>;

/** How long each page of each list takes, beside a bare page of backups by their primary key. */
export async function measureCatalog(
  { catalog, databases }: Platform,
  db: D1Database,
  sizes: CatalogSizes,
): Promise<{ bareMs: number; lists: Measured[] }> {
  const some = Math.floor(sizes.databases / 2);
  const busy = uuidOf(0);
  const quiet = uuidOf(some);
  const middle = middleOf(sizes.backups);
  const amongRuns = middleOf(sizes.runs);
  const lists: [string, List, Cursor][] = [];
  const filters: [string, string | null][] = [
    ["all", null],
    ["of a UUID", quiet],
    ["of the busiest UUID", busy],
    ["of a name", nameOf(some)],
    ["of the busiest name", nameOf(0)],
  ];
  for (const [which, database] of filters) {
    lists.push([`backups, ${which}`, (limit, after) => catalog.backups({ database }, limit, after), middle]);
    for (const state of [null, "failed"] as const) {
      const of = `runs, ${which}${state === null ? "" : `, ${state}`}`;
      lists.push([of, (limit, after) => catalog.runs({ database, state }, limit, after), amongRuns]);
    }
  }
  const all = { gone: null, name: null };
  lists.push(["databases", (limit, after) => databases.list(all, limit, after), [nameOf(some), "x"]]);
  const measured: Measured[] = [];
  for (const [list, page, cursor] of lists) {
    for (const [where, after] of [
      ["first", null],
      ["middle", cursor],
    ] as const) {
      const { ms, answer } = await timed(() => page(LIMIT, after));
      measured.push({ list: `${list}: ${where} page`, ms, items: answer.items.length });
    }
  }
  const { ms, answer } = await timed(() => databases.troubled("2026-11-21T05:00:00.000Z", LIMIT));
  measured.push({ list: "databases in trouble", ms, items: answer.databases.length });
  const bare = await timed(async () =>
    ok((await db.prepare("SELECT * FROM backups ORDER BY id LIMIT ?").bind(LIMIT).all()).results),
  );
  return { bareMs: bare.ms, lists: measured };
}

function nameOf(database: number): string {
  return `database-${String(database).padStart(5, "0")}`;
}

function uuidOf(database: number): string {
  return `00000000-0000-4000-8000-${String(database).padStart(12, "0")}`;
}

/** Where the middle one of so many backups, or runs, stands. */
function middleOf(items: number): Cursor {
  return [new Date(Date.parse(FIRST) + (items / 2) * APART_MS).toISOString(), "x"];
}

async function timed<T>(call: () => Promise<Result<T>>): Promise<{ ms: number; answer: T }> {
  let answer = value(await call());
  const startedAt = Date.now();
  let times = 0;
  for (; times < TIMES || Date.now() - startedAt < TIMED_MS; times++) answer = value(await call());
  return { ms: (Date.now() - startedAt) / times, answer };
}

function value<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  const { code, detail }: Failure = result.failure;
  throw new Error(`${code}: ${detail}`);
}
