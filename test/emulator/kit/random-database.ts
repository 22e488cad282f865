import fc from "fast-check";

/** Something that can be created, and whether its stored SQL ends in a line comment. */
interface Creation {
  readonly type: "table" | "index" | "trigger" | "view";
  readonly name: string;
  readonly sql: string;
  readonly endsInComment: boolean;
}

export interface RandomTable extends Creation {
  readonly type: "table";
  /** One INSERT a row. */
  readonly inserts: readonly string[];
}

export interface RandomDatabase {
  readonly tables: readonly RandomTable[];
  readonly others: readonly Creation[];
  readonly isAnalyzed: boolean;
}

interface Column {
  readonly name: string;
  readonly definition: string;
  /** Null when it is computed. */
  readonly value: fc.Arbitrary<string> | null;
}

export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const UNKIND =
  "'|\"|;|--|/*|*/|[|]|`|(|)|,|\\|\\n|\\r|\n|\r|\t| |END|BEGIN|CREATE |INSERT INTO |9e999|é|🚀|\u2028|\ufeff|\ufffd";

/** Text as SQL may hold it, with all characters but NUL. */
const sqlText = fc
  .oneof(
    fc.string({ unit: fc.constantFrom(...UNKIND.split("|")), maxLength: 20 }),
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom(
      "');\nINSERT INTO t VALUES('",
      "; END;",
      "\n;\nCREATE TABLE x (y);\n",
      "-- ;\nCREATE VIEW w AS SELECT 1;",
      "replace('a\\n','\\n',char(10))",
    ),
  )
  .map((text) => text.replaceAll("\0", "0"));

/** Names that have been something else in some reader of SQL, between bars. */
const ODD_NAMES =
  't|users|select|order by|END|BEGIN|trigger|TABLE|VALUES(|-- x|/*|*/|a;b|it\'s|say "hi"|"|[x]|`t`|größe|表|🚀| ||\ufffd|' +
  '1|9e999|9007199254740993|t\nCREATE TABLE x|a\r\nb|x -- ;\nCREATE VIEW v;|t (|t" ("a") VALUES(9e999);|sqlitex|cf_x';

const oddName = fc
  .oneof(fc.constantFrom(...ODD_NAMES.split("|")), fc.string({ maxLength: 8 }), sqlText)
  .map((name) => name.replaceAll("\0", "0"))
  .filter((name) => !/^(sqlite_|_cf_)/i.test(name));

/** A name as somebody may have written it in the CREATE statement. */
const written = (name: string): fc.Arbitrary<string> =>
  fc.constantFrom(
    identifier(name),
    ...(name === "" ? [] : [`'${name.replaceAll("'", "''")}'`, `\`${name.replaceAll("`", "``")}\``]),
    ...(/^[^\]]+$/.test(name) ? [`[${name}]`] : []),
    // With a digit at its end it is no keyword.
    ...(/^[a-zé表]{3,}\d+$/.test(name) ? [name] : []),
  );

const gap = fc.constantFrom(
  " ",
  " ",
  " ",
  "\n",
  "\r\n\t",
  " /* ; ' */ ",
  " -- it's; \"\n",
  " -- ;\n",
  "/**/ /*/;*/",
);
const comment = sqlText.map((text) => `--${text.replaceAll("\n", " ")}`);

/** What somebody wrote behind a statement, and whether a comment of it is kept without the end of its line. */
const ending = (isTrimmed: boolean): fc.Arbitrary<{ text: string; endsInComment: boolean }> =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .constantFrom("", " ", "\n", " /* the end; */")
        .map((text) => ({ text, endsInComment: false })),
    },
    comment.map((text) => ({ text: ` ${text}`, endsInComment: true })),
    comment.map((text) => ({ text: ` ${text}\n`, endsInComment: isTrimmed })),
    comment.map((text) => ({ text: ` ${text}\n;`, endsInComment: isTrimmed })),
  );

const text = fc.oneof(
  sqlText,
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.string({ unit: fc.constantFrom("\n", "\r", "\\", "n", "r", "\\n", "\\r", "'"), maxLength: 12 }),
  sqlText.map((value) => (value.length % 4 === 0 ? `${value}\0${value}` : value)),
);
const textValue = fc.oneof(
  {
    weight: 60,
    arbitrary: text.map((value) =>
      value.includes("\0") ? `CAST(X'${new TextEncoder().encode(value).toHex()}' AS TEXT)` : literal(value),
    ),
  },
  // Text about as long as D1 takes in a statement, and of up to the size that it takes at all.
  fc
    .integer({ min: 16_000, max: 19_000 })
    .map((length) => `replace(hex(zeroblob(${length})), '00', 'ab;''-')`),
  fc
    .constantFrom(300_000, 1_900_000)
    .map((length) => `substr(replace(hex(zeroblob(500000)), '00', 'x;''é'), 1, ${length})`),
);
const anyInteger = fc
  .oneof(
    fc.bigInt(-(2n ** 63n) + 1n, 2n ** 63n - 1n),
    fc.constantFrom(
      0n,
      2n ** 53n - 1n,
      2n ** 53n,
      2n ** 53n + 1n,
      1n - 2n ** 53n,
      -(2n ** 53n),
      2n ** 63n - 1n,
    ),
  )
  .map(String);
const safeInteger = fc.maxSafeInteger().map(String);
const real = fc
  .oneof(
    fc.double({ noNaN: true }),
    fc.double({ noNaN: true, min: -2e19, max: 2e19 }).map(Math.round),
    fc.constantFrom(
      Infinity,
      -Infinity,
      -0,
      1,
      0.1,
      2 ** 53,
      2 ** 63,
      -(2 ** 63),
      2 ** 63 + 2 ** 11,
      1e20,
      1e21,
      5e-324,
    ),
  )
  .map((value) => (Number.isFinite(value) ? value.toExponential() : `${value > 0 ? "" : "-"}9e999`));
const blob = fc.oneof(
  { weight: 30, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => `x'${bytes.toHex()}'`) },
  fc.integer({ min: 49_900, max: 50_100 }).map((length) => `zeroblob(${length})`),
);
const nothing = fc.constant("NULL");
const anyValue = fc.oneof(nothing, anyInteger, real, textValue, blob);

const STRICT_TYPES: readonly (readonly [string, fc.Arbitrary<string>])[] = [
  // An integer beyond 2^53 may come out as a number that a column of integers refuses.
  ["INT", fc.oneof(nothing, safeInteger)],
  ["INTEGER", fc.oneof(nothing, safeInteger)],
  ["REAL", fc.oneof(nothing, real)],
  ["TEXT", fc.oneof(nothing, textValue)],
  ["BLOB", fc.oneof(nothing, blob)],
  ["ANY", anyValue],
];
const LOOSE_TYPES = [
  "",
  "TEXT",
  "INTEGER",
  "REAL",
  "BLOB",
  "NUMERIC",
  "VARCHAR(10)",
  "DOUBLE PRECISION",
  '"odd; type"',
];
const EXTRAS = [
  "",
  "",
  " DEFAULT 'it''s; -- no'",
  " DEFAULT (9e999)",
  " DEFAULT 9007199254740993",
  " CHECK (1 /* ; */)",
];

const column = (name: string, isStrict: boolean): fc.Arbitrary<Column> =>
  fc
    .tuple(
      isStrict
        ? fc.constantFrom(...STRICT_TYPES)
        : fc.constantFrom(...LOOSE_TYPES).map((type) => [type, anyValue] as const),
      fc.constantFrom(...EXTRAS),
      written(name),
    )
    .map(([[type, value], extra, quoted]) => ({
      name,
      definition: `${quoted} ${type}${isStrict ? "" : extra}`,
      value,
    }));

const computed = (name: string): fc.Arbitrary<Column> =>
  fc.tuple(sqlText, fc.constantFrom("VIRTUAL", "STORED")).map(([part, kind]) => ({
    name,
    definition: `${identifier(name)} TEXT GENERATED ALWAYS AS (${literal(part)} || 1) ${kind}`,
    value: null,
  }));

const distinctNames = (least: number, most: number): fc.Arbitrary<string[]> =>
  fc.uniqueArray(oddName, { minLength: least, maxLength: most, selector: (name) => name.toLowerCase() });

const table = (name: string): fc.Arbitrary<RandomTable> =>
  fc
    .record({
      names: distinctNames(1, 5),
      isStrict: fc.boolean(),
      key: fc.constantFrom("none", "rowid", "counted", "text"),
      computes: fc.boolean(),
    })
    .chain(({ names, isStrict, key, computes }) =>
      fc.record({
        columns: fc.tuple(
          ...names.map((one, index) =>
            computes && index > 0 && index === names.length - 1 ? computed(one) : column(one, isStrict),
          ),
        ),
        isStrict: fc.constant(isStrict),
        key: fc.constant(key),
        quoted: written(name),
        gaps: fc.tuple(gap, gap, gap),
        end: ending(false),
        rowCount: fc.oneof(fc.constant(0), fc.nat(6), fc.nat(40)),
      }),
    )
    .chain(({ columns, isStrict, key, quoted, gaps, end, rowCount }) => {
      const stored = columns.flatMap(({ name: columnName, value }) =>
        value === null ? [] : [{ columnName, value }],
      );
      const keyName = identifier(`key of ${columns.length}`);
      const definitions = columns.map(({ definition }) => definition);
      if (key === "rowid") definitions.unshift(`${keyName} INTEGER PRIMARY KEY`);
      if (key === "counted") definitions.unshift(`${keyName} INTEGER PRIMARY KEY AUTOINCREMENT`);
      if (key === "text") definitions.unshift(`${keyName} TEXT NOT NULL PRIMARY KEY`);
      const options = [...(isStrict ? ["STRICT"] : []), ...(key === "text" ? ["WITHOUT ROWID"] : [])].join(
        ", ",
      );
      const body = `CREATE${gaps[0]} TABLE ${quoted}${gaps[1]}(${definitions.join(`,${gaps[2]}`)})${options}${end.text}`;
      const heads = stored.map(({ columnName }) => identifier(columnName));
      if (key !== "none") heads.unshift(keyName);
      return fc
        .array(fc.tuple(...stored.map(({ value }) => value)), { minLength: rowCount, maxLength: rowCount })
        .map((rows) => ({
          type: "table",
          name,
          sql: body,
          // What stands behind the parenthesis is kept only when there are options.
          endsInComment: options !== "" && end.endsInComment,
          inserts: rows.map((row, index) => {
            const values =
              key === "none" ? row : [key === "text" ? `'k;''${index}'` : `${index * 7 - 9}`, ...row];
            return `INSERT INTO ${identifier(name)} (${heads.join(",")}) VALUES(${values.join(", ")})`;
          }),
        }));
    });

const index = (name: string, target: string): fc.Arbitrary<Creation> =>
  fc
    .tuple(written(name), gap, sqlText, fc.constantFrom("", " WHERE 1 -- ;\n IS 1"), ending(false))
    .map(([quoted, space, part, where, end]) => ({
      type: "index",
      name,
      sql: `CREATE INDEX${space}${quoted} ON ${identifier(target)}(${literal(part)} || 1${space}DESC)${where}${end.text}`,
      endsInComment: end.endsInComment,
    }));

const view = (name: string): fc.Arbitrary<Creation> =>
  fc
    .tuple(
      written(name),
      gap,
      sqlText,
      fc.constantFrom("SELECT", "WITH c AS (SELECT 2 -- ;\n) SELECT"),
      ending(true),
    )
    .map(([quoted, space, part, words, end]) => ({
      type: "view",
      name,
      sql: `CREATE VIEW${space}IF NOT EXISTS ${quoted} AS${space}${words} ${literal(part)} AS x,${space} -9007199254740993${end.text}`,
      endsInComment: end.endsInComment,
    }));

const triggerStep = fc.oneof(
  sqlText.map((part) => `SELECT CASE WHEN ${literal(part)} THEN CASE 1 WHEN 2 THEN 3 END ELSE 4 END`),
  sqlText.map((part) => `INSERT INTO t -- ${part.replaceAll("\n", " ")};\nVALUES(${literal(part)}, 9e999)`),
  sqlText.map((part) => `UPDATE t SET x = ${literal(part)} WHERE x /* ; END; */ = 1`),
  fc.constantFrom(
    "SELECT 1 AS END",
    "SELECT 1 AS BEGIN, 2 AS [END;]",
    "DELETE FROM t",
    "SELECT RAISE(ABORT, 'no; END;')",
    "SELECT 1 -- ;\n",
    "INSERT INTO BEGIN SELECT END FROM CASE_",
  ),
);
const trigger = (name: string, target: { type: string; name: string }): fc.Arbitrary<Creation> =>
  fc
    .record({
      quoted: written(name),
      when: fc.constantFrom(..."BEFORE INSERT|AFTER INSERT|AFTER UPDATE|BEFORE DELETE".split("|")),
      steps: fc.array(triggerStep, { minLength: 1, maxLength: 4 }),
      spaces: fc.tuple(gap, gap, gap),
      condition: fc.option(sqlText),
      end: fc.constantFrom("", ";", " -- END;\n", " -- END"),
    })
    .map(({ quoted, when, steps, spaces: [first, second, last], condition, end }) => ({
      type: "trigger",
      name,
      sql:
        `CREATE${first}TRIGGER ${quoted} ${target.type === "view" ? when.replace(/\w+/, "INSTEAD OF") : when} ON ` +
        `${identifier(target.name)}${second}${condition === null ? "" : `WHEN ${literal(condition)} `}BEGIN ` +
        `${steps.map((step) => `${step}${second};${last}`).join("")}${first}END${end}`,
      endsInComment: false,
    }));

/** Databases of all that D1 lets one create, save what its export refuses. */
export const randomDatabase: fc.Arbitrary<RandomDatabase> = distinctNames(0, 9).chain((names) => {
  const tableNames = names.slice(0, 3);
  const [viewNames, indexNames, triggerNames] = [0, 1, 2].map((turn) =>
    names.slice(3).filter((_, position) => position % 3 === turn),
  ) as [string[], string[], string[]];
  const targets = [
    ...tableNames.map((name) => ({ type: "table", name })),
    ...viewNames.map((name) => ({ type: "view", name })),
  ];
  return fc.record({
    tables: fc.tuple(...tableNames.map(table)),
    others: fc.tuple(
      ...viewNames.map(view),
      ...indexNames.map((name) => fc.constantFrom(...tableNames).chain((target) => index(name, target))),
      ...triggerNames.map((name) => fc.constantFrom(...targets).chain((target) => trigger(name, target))),
    ),
    isAnalyzed: fc.nat(9).map((dice) => dice === 0),
  });
});
