import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Hazard } from "../../../src/core/dump/hazards.ts";
import { alteredHazards } from "../../../src/core/examination/findings.ts";
import { alteredQuestion, countsSchema } from "../../../src/core/examination/question.ts";
import { dumpHazards, genuineReplacements } from "../../../src/core/examination/replaced-text.ts";
import {
  columnSchema,
  columnsQuestion,
  examinedTables,
} from "../../../src/core/examination/table-columns.ts";
import { scanVolumes } from "../kit/scan-dump.ts";
import { dumpOf, loadable } from "../kit/sqlite-dump.ts";

/** A column, and its type in a table without rules: there each value that was loaded can be seen, refused or not. */
interface Column {
  readonly definition: string;
  readonly plainType: string;
  readonly computed: boolean;
}

interface Table {
  readonly columns: readonly Column[];
  readonly options: string;
  readonly rules: readonly string[];
  readonly hasRowid: boolean;
}

const column = (definition: string, plainType = definition): Column => ({
  definition,
  plainType,
  computed: false,
});

const ANY_TYPE =
  "|BLOB|TEXT|INTEGER|REAL|NUMERIC|INT|VARCHAR(10)|DOUBLE|FLOATING POINT|CHARINT|ANY|DATE|BOOLEAN";
const STRICT_TYPE = "ANY|BLOB|TEXT|INTEGER|INT|REAL";

const looseColumn = fc.constantFrom(...ANY_TYPE.split("|")).map((type) => column(type));
const strictColumn = fc
  .constantFrom(...STRICT_TYPE.split("|"))
  .map((type) => column(type, type === "ANY" ? "" : type));

const KEYS = [
  "INTEGER PRIMARY KEY",
  "INTEGER PRIMARY KEY DESC",
  "INT PRIMARY KEY",
  "TEXT PRIMARY KEY",
  "PRIMARY KEY",
];
const key = fc
  .constantFrom(...KEYS)
  .map((definition) => column(definition, definition.replace(/ ?PRIMARY KEY.*/, "")));
const strictKey = key.filter(({ plainType }) => plainType !== "");

const isRowid = ({ definition }: Column): boolean => definition === "INTEGER PRIMARY KEY";

const computed = fc.constantFrom("STORED", "VIRTUAL").map((kind): Column => ({
  definition: `GENERATED ALWAYS AS (typeof(c0) || 'x') ${kind}`,
  plainType: "",
  computed: true,
}));

const table: fc.Arbitrary<Table> = fc
  .record({
    strict: fc.boolean(),
    withoutRowid: fc.boolean(),
    keyed: fc.boolean(),
    unique: fc.boolean(),
  })
  .chain(({ strict, withoutRowid, keyed, unique }) => {
    const needsKey = keyed || withoutRowid;
    const type = strict ? strictColumn : looseColumn;
    const first = needsKey ? (strict ? strictKey : key) : type;
    // A STRICT table asks for a type of each column, computed ones included.
    const others = strict ? type : fc.oneof({ weight: 6, arbitrary: type }, computed);
    return fc.tuple(first, fc.array(others, { maxLength: 4 })).map(([one, more]): Table => {
      const columns = [one, ...more];
      const options = [...(strict ? ["STRICT"] : []), ...(withoutRowid ? ["WITHOUT ROWID"] : [])];
      return {
        columns,
        options: options.join(", "),
        rules: unique && more[0]?.computed === false ? ["UNIQUE (c1)"] : [],
        hasRowid: !withoutRowid && !isRowid(one),
      };
    });
  });

const LINES = ["\n", "\r", "\\n", "\\r", "\\", "n", "\0", "\uFFFD", "é", "'", "🎉", "\u{feff}", "\uFFFE"];
const text = fc.string({ unit: fc.constantFrom(...LINES), maxLength: 6 });
const literalOf = (bytes: Uint8Array): string => `CAST(X'${Buffer.from(bytes).toString("hex")}' AS TEXT)`;
/** Pieces of UTF-8: whole characters, halves of them, and what never was one. */
const PIECES =
  "61 c3a9 c3 a9 e4b8ad e4b8 f09f8e89 f09f8e ed a0bc eda0bc efbfbd efbf bfbd ff c080 f4908080 0a 00".split(
    " ",
  );
const bytes = fc
  .array(fc.constantFrom(...PIECES), { maxLength: 4 })
  .map((pieces) => Buffer.from(pieces.join(""), "hex"));

const POWERS = [2n ** 53n, 2n ** 54n, 2n ** 60n, 2n ** 63n, 10n ** 17n, 10n ** 18n, 9223372036854775295n];
const MAX = 2n ** 63n - 1n;
const integer = fc
  .oneof(
    fc.bigInt(-MAX - 1n, MAX),
    fc.tuple(fc.constantFrom(...POWERS), fc.bigInt(-1_100n, 1_100n)).map(([power, more]) => power + more),
    // As JavaScript prints it: an integer that a dump keeps.
    fc.bigInt(-MAX, MAX).map((value) => BigInt(String(Number(value)))),
    fc.bigInt(-10n, 10n),
  )
  .chain((value) => fc.constantFrom(value, -value))
  .filter((value) => value >= -MAX - 1n && value <= MAX)
  .map((value) => (value === -MAX - 1n ? "(-9223372036854775807 - 1)" : `${value}`));

const real = fc
  .oneof(
    fc.double({ noNaN: true }),
    fc.integer({ min: -1000, max: 1000 }),
    fc.bigInt(-(2n ** 66n), 2n ** 66n).map(Number),
    fc.constantFrom(-0, 2 ** 63, -(2 ** 63), 1e18, 1e21, 1e300, 2 ** 63 - 1024, 5e-324),
  )
  .map((value) => {
    if (!Number.isFinite(value)) return value > 0 ? "9e999" : "-9e999";
    // `-0.0` is 0.0 with a sign in front, and has one.
    return Object.is(value, -0) ? "-0.0" : /[.e]/.test(`${value}`) ? `${value}` : `${value}.0`;
  });

const value = fc.oneof(
  text.map((content) => literalOf(new TextEncoder().encode(content))),
  bytes.map(literalOf),
  bytes.map((content) => `X'${content.toString("hex")}'`),
  integer,
  real,
  fc.constantFrom("NULL", "''", "X''", "'12'", "'1e3'", "'9007199254740993'"),
);

interface Database {
  readonly table: Table;
  readonly rows: readonly { rowid: number; values: string[] }[];
}

const database: fc.Arbitrary<Database> = table.chain((made) => {
  const stored = made.columns.filter(({ computed: isComputed }) => !isComputed).length;
  const values = fc.array(value, { minLength: stored, maxLength: stored });
  const rowid = fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 6 }) },
    fc.integer({ min: -3, max: 1_000 }),
  );
  return fc.record({
    table: fc.constant(made),
    rows: fc.array(fc.record({ rowid, values }), { maxLength: 6 }),
  });
});

/** What has been met, so that tables that have gone tame are noticed. */
const met = new Map<string, number>();

it(
  "whatever a dump alters is told by its kind and count, and nothing that comes back as it was",
  { timeout: 120_000 },
  () => {
    fc.assert(fc.property(database, tryDump), { numRuns: 3_000 });
    const kinds = [
      "altered-integers",
      "altered-reals",
      "altered-text",
      "invalid-text",
      "renumbered-rows",
      "refused",
    ];
    expect([...met.keys()].toSorted()).toEqual(expect.arrayContaining(kinds));
  },
);

function tryDump({ table: made, rows }: Database): void {
  const original = new DatabaseSync(":memory:");
  create(original, made, rows);
  const dump = dumpOf(original);
  const told = hazardsOf(original, dump);

  const before = contents(original, made.hasRowid);
  const expected = new Map<string, number>();
  const changed = loadedPlain(made, dump).map((after, index) => kindsOf(before[index]?.values ?? [], after));
  for (const kinds of changed) for (const kind of kinds) expected.set(kind, (expected.get(kind) ?? 0) + 1);
  const renumbered = before.filter(({ rowid }, index) => made.hasRowid && rowid !== BigInt(index + 1)).length;
  if (renumbered > 0) expected.set("renumbered-rows", renumbered);
  for (const [kind] of expected) met.set(kind, (met.get(kind) ?? 0) + 1);

  const counts = new Map(told.map(({ kind, count }) => [kind, count]));
  // Where the replacement character also stands in text as it is, the rows are not counted, but told all the same.
  if (counts.get("invalid-text") === null && expected.has("invalid-text"))
    counts.set("invalid-text", expected.get("invalid-text") ?? 0);
  expect(counts).toEqual(expected);

  const refused = refusedRows(dump);
  if (refused > 0) met.set("refused", refused);
  // A row that came back as it was may be refused for one before it that has become the same.
  if (refused > 0) expect(changed.some((kinds) => kinds.size > 0)).toBe(true);
  original.close();
}

function create(db: DatabaseSync, made: Table, rows: Database["rows"]): void {
  const definitions = made.columns.map(({ definition }, index) => `c${index} ${definition}`);
  db.exec(`CREATE TABLE t (${[...definitions, ...made.rules].join(", ")}) ${made.options}`);
  const names = made.columns.flatMap(({ computed: isComputed }, index) => (isComputed ? [] : [`c${index}`]));
  for (const { rowid, values } of rows) {
    const [into, what] = made.hasRowid
      ? [
          ["rowid", ...names],
          [rowid, ...values],
        ]
      : [names, values];
    try {
      db.exec(`INSERT INTO t (${into.join(", ")}) VALUES (${what.join(", ")})`);
    } catch {
      // A row that the table's own rules refuse was never there.
    }
  }
}

/** All that is told of the table, asked and scanned as a run does. */
function hazardsOf(db: DatabaseSync, dump: readonly string[]): Hazard[] {
  const columns = db.prepare(columnsQuestion(["t"])).all();
  const examined = examinedTables(columns.map((one) => columnSchema.parse(one))).get("t");
  if (examined === undefined) throw new Error("The table is there.");
  const counts = countsSchema.parse(db.prepare(alteredQuestion(examined)).get());
  const genuine = genuineReplacements(examined, counts);
  const { scanned } = scanVolumes(new TextEncoder().encode(dump.join("\n")), Infinity);
  const counted = {
    rows: [["t", counts.total]] as [string, number][],
    genuine: genuine === null ? [] : [genuine],
  };
  const marks = dumpHazards(scanned, counted).filter(({ kind }) => kind !== "nul" && kind !== "infinity");
  return [...alteredHazards("t", counts), ...marks];
}

/** A value as its type and its bytes or digits. */
interface Seen {
  readonly type: string;
  readonly is: string;
}

/** The rows in the order in which the dump has them. */
function contents(db: DatabaseSync, hasRowid: boolean): { rowid: bigint; values: Seen[] }[] {
  const columns = db
    .prepare("SELECT name FROM pragma_table_info('t')")
    .all()
    .map(({ name }) => String(name));
  const seen = columns.map((name) => `typeof(${name}), ${name}, hex(CAST(${name} AS BLOB))`).join(", ");
  const statement = db.prepare(`SELECT ${hasRowid ? "rowid" : "NULL"}, ${seen} FROM t`);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  // Arrays, because that was asked for.
  return (statement.all() as unknown as unknown[][]).map(([rowid, ...cells]) => ({
    rowid: typeof rowid === "bigint" ? rowid : 0n,
    values: columns.map((_, index): Seen => {
      const [type, plain, hex] = cells.slice(index * 3, index * 3 + 3);
      // The sign of a zero is part of a number.
      const number = Object.is(plain, -0) ? "-0" : String(plain);
      return { type: String(type), is: type === "text" || type === "blob" ? String(hex) : number };
    }),
  }));
}

/** The rows of a dump in a table that refuses nothing. */
function loadedPlain(made: Table, dump: readonly string[]): Seen[][] {
  const db = new DatabaseSync(":memory:");
  const types = made.columns.flatMap(({ plainType, computed: isComputed }, index) =>
    isComputed ? [] : [`c${index} ${plainType}`],
  );
  db.exec(`CREATE TABLE t (${types.join(", ")})`);
  for (const statement of inserts(dump)) db.exec(statement);
  const rows = contents(db, true).map(({ values }) => values);
  db.close();
  return rows;
}

/** How many rows of a dump its own table refuses. */
function refusedRows(dump: readonly string[]): number {
  const db = new DatabaseSync(":memory:");
  db.exec(dump.find((statement) => statement.startsWith("CREATE TABLE")) ?? "");
  const refused = inserts(dump).filter((statement) => {
    try {
      db.exec(statement);
      return false;
    } catch {
      return true;
    }
  });
  db.close();
  return refused.length;
}

function inserts(dump: readonly string[]): string[] {
  return dump.filter((statement) => statement.startsWith("INSERT")).map(loadable);
}

/** By which kinds of hazards a row has to be counted. */
function kindsOf(before: readonly Seen[], after: readonly Seen[]): Set<string> {
  const kinds = before.flatMap((was, index) => {
    const is = after[index];
    if (is === undefined) return ["lost"];
    if (was.type === is.type && was.is === is.is) return [];
    if (was.type === "text") return kindsOfText(was.is);
    return [{ integer: "altered-integers", real: "altered-reals" }[was.type] ?? `altered ${was.type}`];
  });
  return new Set(kinds);
}

/** A text may be altered in both ways. */
function kindsOfText(hex: string): string[] {
  const was = Buffer.from(hex, "hex");
  const decoded = was.toString("utf8");
  const holds = (...pieces: string[]): boolean => pieces.every((piece) => decoded.includes(piece));
  const altersLines = holds("\n", "\\n") || holds("\r", "\\r");
  const isValid = Buffer.from(decoded, "utf8").equals(was);
  const kinds = [...(altersLines ? ["altered-text"] : []), ...(isValid ? [] : ["invalid-text"])];
  return kinds.length > 0 ? kinds : ["altered otherwise"];
}
