import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { expect, it } from "vitest";
import { D1_FORMAT } from "../../../src/core/dump/dump-format.ts";
import { alteredQuestion, countsSchema } from "../../../src/core/examination/question.ts";
import {
  columnSchema,
  columnsQuestion,
  examinedTables,
} from "../../../src/core/examination/table-columns.ts";
import type { Scanned } from "../../../src/core/dump/tally.ts";
import { FOREIGN_MARK, UNENDED_MARK } from "../../../src/core/sql/statements.ts";
import { scanStatements, scanVolumes, type SeenStatement } from "../../core/kit/scan-dump.ts";
import { reference } from "../kit/client.ts";
import {
  type DumpOptions,
  expectedScan,
  expectedStatements,
  rowsOf,
  storedColumns,
} from "../kit/expected-scan.ts";
import { identifier, randomDatabase, type RandomDatabase } from "../kit/random-database.ts";

/** How long to look for a database whose dump is not scanned exactly: some in `npm test`, many in `npm run soak`. */
// The binding exists in the tests' configuration only.
const bindings = env as unknown as { FUZZ_MS: string; FUZZ_SEED: string };
const FUZZ_MS = Number(bindings.FUZZ_MS);
/** The same databases each time, so that a red run speaks of the change at hand; FUZZ_SEED=… looks at others. */
const FUZZ_SEED = Number(bindings.FUZZ_SEED);
const MANY = 500;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How a dump is made, and into what pieces it is cut. */
interface Way {
  readonly sizes: readonly number[];
  /** Of the dump, in each volume. */
  readonly volumeShare: number;
  readonly options: DumpOptions;
}

const way: fc.Arbitrary<Way> = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 30 }),
  volumeShare: fc.double({ min: 0, max: 1, noNaN: true }),
  options: fc.oneof(
    { weight: 8, arbitrary: fc.constant({ noSchema: false, noData: false }) },
    fc.record({ noSchema: fc.boolean(), noData: fc.boolean() }),
  ),
});

/** What has been tried, so that databases that have gone tame are noticed. */
const tried = { databases: 0, statements: 0, bytes: 0, cuts: 0, replays: 0, altered: 0, unended: 0 };
const met = new Set<string>();

const TITLE = "any dump is scanned as SQLite counts it, and loads as it was cut";
it(TITLE, { timeout: FUZZ_MS * 2 + 120_000 }, async () => {
  const until = Date.now() + FUZZ_MS;
  for (let seed = FUZZ_SEED; Date.now() < until; seed++)
    await fc.assert(fc.asyncProperty(randomDatabase, way, tryDump), { seed, numRuns: 25 });
  if (tried.databases < MANY) return;
  console.log(tried);
  const marks = ["infinity", "nul", "oversize", "replaced", "rounded"];
  const kinds = ["create-table", "index", "insert", "other", "trigger", "view"];
  expect([...met].toSorted()).toEqual([...marks, ...kinds].toSorted());
  for (const count of Object.values(tried)) expect(count).toBeGreaterThan(0);
});

async function tryDump(database: RandomDatabase, { sizes, volumeShare, options }: Way): Promise<void> {
  await reset();
  await create(database);
  const parts = await dump(options);
  const { statements, tables } = await expectedStatements(options);
  expect(parts.length).toBe(statements.length);

  const bytes = encoder.encode(parts.join("\n"));
  const lengths = parts.map((part) => encoder.encode(part).length);
  const starts = lengths.map((_, index) =>
    lengths.slice(0, index).reduce((sum, length) => sum + length + 1, 0),
  );
  const unended = await unendedStatements(database, parts);
  const expected = {
    ...expectedScan(statements, tables, starts, parts),
    missingSemicolons: unended.map((index) => starts[index + 1] ?? bytes.length),
  };

  const whole = scanVolumes(bytes, Infinity, [65_536]);
  expect(ordered(whole.scanned)).toEqual(ordered(expected));
  expect(whole).toMatchObject({ statements: statements.length, whole: true, cuts: [] });

  // The sizes are for small dumps; large ones come in as many chunks.
  const chunks = sizes.map((size) => size * Math.ceil(bytes.length / 5_000));
  const limit = Math.ceil(bytes.length * volumeShare);
  const volumes = scanVolumes(bytes, limit, chunks, !options.noSchema);
  expect(volumes).toMatchObject({ statements: statements.length, scanned: whole.scanned, whole: true });
  for (const cut of volumes.cuts) expect(starts).toContain(cut);

  const { statements: seen, strayEnd } = scanStatements(bytes, chunks, D1_FORMAT);
  // The statements of D1's format are a closed set in a fixed order, and it has all of them.
  expect(volumes.foreign).toBeNull();
  expect(seen.filter(({ marks }) => (marks & FOREIGN_MARK) !== 0)).toEqual([]);
  expect(strayEnd).toBe(false);
  expect(seen.map(({ kind, table, start }) => ({ kind, table, start }))).toEqual(
    statements.map((statement, index) => ({ ...statement, start: starts[index] })),
  );
  if (isLoadable(database, options, whole.scanned)) await replay(bytes, seen, parts);

  tried.databases++;
  tried.statements += parts.length;
  tried.bytes += bytes.length;
  tried.cuts += volumes.cuts.length;
  tried.unended += unended.length;
  for (const [kind] of whole.scanned.marks) met.add(kind);
  for (const { kind } of seen) met.add(kind);
}

async function create({ tables, others, isAnalyzed }: RandomDatabase): Promise<void> {
  for (const { sql, inserts } of tables) {
    await reference().batch([sql, ...inserts].map((statement) => reference().prepare(statement)));
  }
  const rest = [...others.map(({ sql }) => sql), ...(isAnalyzed ? ["ANALYZE"] : [])];
  if (rest.length > 0) await reference().batch(rest.map((sql) => reference().prepare(sql)));
}

async function dump({ noSchema, noData }: DumpOptions): Promise<string[]> {
  const statement = reference().prepare("PRAGMA miniflare_d1_export(?,?,?);");
  const [statements] = await statement.bind(noSchema, noData).raw<string[]>();
  return statements ?? [];
}

/** Which of the dump's statements end in a comment that somebody has left at the end of their SQL. */
async function unendedStatements(
  { tables, others }: RandomDatabase,
  parts: readonly string[],
): Promise<number[]> {
  const entries = await rowsOf<{ type: string; name: string; sql: string }>(
    "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL",
  );
  const commented = [...tables, ...others].filter(({ endsInComment }) => endsInComment);
  const unended = new Set(
    entries
      .filter((entry) => commented.some(({ type, name }) => type === entry.type && name === entry.name))
      .flatMap(({ sql }) => [`${sql};`, `CREATE TABLE IF NOT EXISTS ${sql.slice("CREATE TABLE ".length)};`]),
  );
  return [...parts.keys()].filter((index) => unended.has(parts[index] ?? ""));
}

/** A dump without what D1 does not load: too long statements, NULs, and statistics of an empty database. */
function isLoadable(
  { isAnalyzed }: RandomDatabase,
  { noSchema, noData }: DumpOptions,
  { marks }: Scanned,
): boolean {
  return (
    !isAnalyzed && !noSchema && !noData && !marks.some(([kind]) => kind === "oversize" || kind === "nul")
  );
}

/** Loads a dump as it was cut, triggers behind their views, and compares what is there then. */
async function replay(
  bytes: Uint8Array,
  seen: readonly SeenStatement[],
  parts: readonly string[],
): Promise<void> {
  const before = await contents();
  const isTrigger = ({ kind }: SeenStatement): boolean => kind === "trigger";
  const inOrder = [...seen.filter((statement) => !isTrigger(statement)), ...seen.filter(isTrigger)];
  await reset();
  await reference().batch(
    inOrder.map(({ kind, start, bytes: length, marks }) => {
      const sql = decoder.decode(bytes.subarray(start, start + length));
      if ((marks & UNENDED_MARK) === 0) return reference().prepare(sql);
      // SQLite takes the commented semicolon off a view and an index, but keeps it in a table.
      return reference().prepare(sql.replace(kind === "create-table" ? /;\n?$/ : /\n$/, ""));
    }),
  );
  expect((await dump({ noSchema: false, noData: false })).toSorted()).toEqual(parts.toSorted());
  const after = await contents();
  expect([...after.keys()].toSorted()).toEqual([...before.keys()].toSorted());
  for (const [table, { rows, altered }] of before) {
    // What the dump alters, as the database itself counted it, is what must have come back as something else.
    if (altered === 0) expect(after.get(table)?.rows).toEqual(rows);
    else expect(after.get(table)?.rows).not.toEqual(rows);
    tried.altered += altered;
  }
  tried.replays++;
}

/** The rows of every table, in no particular order, and how many of them the dump alters, a row once for each kind. */
async function contents(): Promise<Map<string, { rows: string[]; altered: number }>> {
  const tables = await rowsOf<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'",
  );
  const found = new Map<string, { rows: string[]; altered: number }>();
  for (const { name } of tables) {
    // As text, because large integers would come out rounded before the dump as they do behind it.
    const columns = (await storedColumns(name)).map(identifier);
    const values = columns.map((column) => `typeof(${column}), CAST(${column} AS TEXT)`);
    const rows = await reference()
      .prepare(`SELECT ${values.join(", ")} FROM ${identifier(name)}`)
      .raw();
    const described = (await rowsOf(columnsQuestion([name]))).map((column) => columnSchema.parse(column));
    const examined = examinedTables(described).get(name);
    if (examined === undefined) throw new Error(`${name} is not described.`);
    const [answer] = await rowsOf(alteredQuestion(examined));
    const { text, integers, reals } = countsSchema.parse(answer);
    found.set(name, {
      rows: rows.map((row) => JSON.stringify(row)).toSorted(),
      altered: text + integers + reals,
    });
  }
  return found;
}

/** Marks come in the order in which they are met, which is not asked here. */
function ordered<T extends Pick<Scanned, "marks">>(scanned: T): T {
  const key = (mark: Scanned["marks"][number]): string => JSON.stringify(mark);
  return { ...scanned, marks: scanned.marks.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)) };
}
