import type { StatementKind } from "../../../src/core/sql/statement-head.ts";
import { UNENDED_MARK } from "../../../src/core/sql/statements.ts";
import { INFINITY_MARK, NUL_MARK, REPLACED_MARK, ROUNDED_MARK } from "../../../src/core/sql/value-marks.ts";
import fc from "fast-check";

/** A statement as D1 writes it, its semicolon included, and what a scanner must say of it. */
export interface DumpedStatement {
  readonly sql: string;
  readonly kind: StatementKind;
  readonly table: string | null;
  readonly marks: number;
}

export const quote = (value: string): string => `'${value.replaceAll("'", "''")}'`;
export const name = (value: string): string => `"${value.replaceAll('"', '""')}"`;

/** Text that is unkind to scanners, and any bytes at all between quotes. */
export const unkindText = fc.oneof(
  fc.string({
    unit: fc.constantFrom(
      ..."'\";\n\r[]`\0é\uFFFD，\uFFFE ()",
      ..."-- /* */ END BEGIN CREATE ;\nCREATE INSERT 9e999 Infinity 9007199254740993 🚀 \\n".split(" "),
    ),
  }),
  fc.string({ unit: "binary" }),
);

const comment = unkindText.map((text) => `--${text.replaceAll("\n", " ")}`);

const tableName = fc.oneof(
  fc.constantFrom("t", "t2", "order items", "END", "trigger", 'a"b', "größe", "t;", "-- x", "", "9e999"),
  fc.string({ maxLength: 12 }).filter((value) => !value.includes("\0")),
);

/** A value as D1 writes it, and the marks that it gives its row. */
type MarkedValue = readonly [sql: string, marks: number];

const NUMBERS: readonly MarkedValue[] = [
  ["9007199254740991", 0],
  ["-9007199254740991", 0],
  ["9007199254740992", ROUNDED_MARK],
  ["-9007199254740992", ROUNDED_MARK],
  ["9223372036854776000", ROUNDED_MARK],
  ["-9223372036854776000", ROUNDED_MARK],
  ["9223372036854778000", 0],
  ["100000000000000000000", 0],
  ["9007199254740993.5", 0],
  ["0.9007199254740993", 0],
  ["1.7976931348623157e+308", 0],
  ["5e-324", 0],
  ["9e999", INFINITY_MARK],
  ["-9e999", INFINITY_MARK],
  ["9.0e+999", INFINITY_MARK],
  ["-9.0e+999", INFINITY_MARK],
  ["Infinity", INFINITY_MARK],
  ["-Infinity", INFINITY_MARK],
];

const textMarks = (text: string): number => (text.includes("\0") ? NUL_MARK : 0);

const value: fc.Arbitrary<MarkedValue> = fc.oneof(
  fc.constantFrom(...NUMBERS),
  fc.integer().map((integer): MarkedValue => [`${integer}`, 0]),
  fc.double({ noNaN: true, min: -1e15, max: 1e15 }).map((real): MarkedValue => [`${real}`, 0]),
  fc
    .bigInt(-(2n ** 63n), 2n ** 63n)
    .map(Number)
    .map((integer): MarkedValue => [`${integer}`, Number.isSafeInteger(integer) ? 0 : ROUNDED_MARK]),
  unkindText.map((text): MarkedValue => [quote(text), textMarks(text)]),
  unkindText.map((text): MarkedValue => [`replace(${quote(text)},'\\n',char(10))`, textMarks(text)]),
  fc.constant<MarkedValue>(["NULL", 0]),
  fc.uint8Array().map((bytes): MarkedValue => [`X'${Buffer.from(bytes).toString("hex")}'`, 0]),
);

const insert = fc
  .record({
    table: tableName,
    columns: fc.array(tableName, { minLength: 1, maxLength: 3 }),
    values: fc.array(value, { minLength: 1 }),
  })
  .map(({ table, columns, values }): DumpedStatement => {
    const sql = `INSERT INTO ${name(table)} (${columns.map(name).join(",")}) VALUES(${values.map(([text]) => text).join(",")});`;
    const replaced = sql.includes("\uFFFD") ? REPLACED_MARK : 0;
    return { sql, kind: "insert", table, marks: values.reduce((marks, [, more]) => marks | more, replaced) };
  });

const createTable = fc
  .tuple(
    tableName,
    fc.oneof(
      fc.constantFrom("", " STRICT", "\n WITHOUT  ROWID"),
      comment.map((text) => ` STRICT ${text}`),
    ),
  )
  .map(([table, options]): DumpedStatement => ({
    sql: `CREATE TABLE ${name(table)} (a, b DEFAULT ';' REFERENCES p ON --;\nDELETE CASCADE)${options};`,
    kind: "create-table",
    table,
    marks: options.includes("--") ? UNENDED_MARK : 0,
  }));

const other = (kind: StatementKind, sql: string): DumpedStatement => ({ sql, kind, table: null, marks: 0 });

const bookkeeping = fc.constantFrom(
  other("other", "DELETE FROM sqlite_sequence;"),
  other("other", "ANALYZE sqlite_schema;"),
);

const trigger = fc
  .tuple(unkindText, comment)
  .map(([body, note]) =>
    other(
      "trigger",
      `CREATE TRIGGER ${name("tr")} AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN ${quote(body)} END; ${note};\n` +
        `INSERT INTO t VALUES(9e999); SELECT 1 -- ;\n; DELETE FROM t; END;`,
    ),
  );

const VIEWS_AND_INDEXES: readonly (readonly [StatementKind, string])[] = [
  ["view", "VIEW v AS SELECT"],
  ["index", "INDEX i ON t"],
  ["index", "UNIQUE INDEX i ON t"],
];
const viewOrIndex = fc
  .tuple(unkindText, fc.constantFrom(...VIEWS_AND_INDEXES), fc.option(comment))
  .map(([body, [kind, words], note]): DumpedStatement => ({
    sql: `CREATE ${words} (${quote(body)} -- ;\n, 9007199254740993 --;\n/* ; ' */)${note === null ? "" : ` ${note}`};`,
    kind,
    table: null,
    marks: note === null ? 0 : UNENDED_MARK,
  }));

/** Statements in D1's order, to be joined by line feeds. */
export const randomDump = fc
  .tuple(
    fc.array(fc.oneof({ weight: 4, arbitrary: insert }, createTable, bookkeeping), { maxLength: 15 }),
    fc.array(fc.oneof(viewOrIndex, trigger), { maxLength: 6 }),
  )
  .map(([tables, rest]) => [other("other", "PRAGMA defer_foreign_keys=TRUE;"), ...tables, ...rest]);

export const chunkSizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 });

/** The dump's bytes, and where in it each statement ends, its line feed included. */
export function joined(statements: readonly { sql: string }[]): { bytes: Uint8Array; ends: number[] } {
  const bytes = new TextEncoder().encode(statements.map(({ sql }) => sql).join("\n"));
  let end = 0;
  const ends = statements.map(({ sql }) => (end += new TextEncoder().encode(sql).length + 1));
  return { bytes, ends: [...ends.slice(0, -1), bytes.length] };
}
