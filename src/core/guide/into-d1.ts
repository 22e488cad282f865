import type { UnsealedManifest } from "../backup/manifest.ts";
import { LONGEST_STATEMENT } from "../d1/limits.ts";
import type { LostParent } from "../dump/foreign-keys.ts";
import { fileOf, type Part } from "./cut.ts";
import { AWK, block, inSingleQuotes, shown } from "./shell.ts";

/** D1 accepts a row only after all tables and indexes that it refers to. Triggers come last, because they would fire. */
const LOAD_ORDER: readonly Part[] = ["tables", "indexes", "rows", "views", "triggers"];

/** Step 5: loads the parts of dump.sql as D1 wrote them, in another order. sqlite3 has not changed them. */
export function intoD1(manifest: UnsealedManifest, comparisons: readonly string[]): string[] {
  const name = newName(manifest.database.name);
  const wrangler = "npx --yes wrangler d1";
  const execute = `${wrangler} execute ${name} --remote --yes`;
  return [
    ...tooLong(manifest),
    ...(manifest.exportOptions.tables.length === 0
      ? []
      : [
          "D1 refuses a row that refers to a table that is not in this backup. Create that table in the new database first, with the rows that are referred to.",
        ]),
    ...(manifest.exportOptions.noSchema
      ? ["Create the tables in the new database first, from your own schema."]
      : []),
    "These commands need the files from step 2. D1 cannot import its own dump if a table comes before one that it refers to. So `d1.sql` has all tables and indexes first, then the rows, views and triggers. It leaves out the rows that step 3 refused, because D1 would refuse the entire file. If you know that D1 accepts them, append `refused.sql` to `rows.sql` first.",
    block(...fileCommands(manifest)),
    "Log in with `npx wrangler login`, or set `CLOUDFLARE_API_TOKEN`.",
    block(`${wrangler} create ${name} --update-config=false`, `${execute} --file d1.sql`),
    ...(comparisons.length > 0
      ? [
          "Compare the row counts there too. Each `results` must be empty:",
          block(
            `asked=; for file in ${comparisons.join(" ")}; do asked=; ${execute} --json --command "$(cat "$file")" || break; asked=yes; done`,
            `[ "$asked" = yes ]`,
          ),
        ]
      : []),
  ];
}

function tooLong({ hazards }: UnsealedManifest): string[] {
  const long = hazards.filter(({ kind }) => kind === "oversize");
  if (long.length === 0) return [];
  const tables = long.map(({ table }) => shown(table ?? "a table")).join(", ");
  return [
    `**D1 cannot import every row.** It accepts statements of at most ${LONGEST_STATEMENT} bytes, and ${tables} ${long.length === 1 ? "has" : "have"} longer rows. \`restored.db\` has these rows, \`d1.sql\` does not.`,
  ];
}

/** Makes d1.sql. A row that is too long for D1 would make the import fail, so it goes to a separate file. */
function fileCommands({ exportOptions, loading, tables }: UnsealedManifest): string[] {
  const parts = exportOptions.noSchema ? LOAD_ORDER.filter((part) => part === "rows") : LOAD_ORDER;
  const { makeTables, makeKeys, drop } = placeholders(
    loading?.lostParents ?? [],
    tables.map((table) => table.name),
  );
  const long = `length($0) > ${LONGEST_STATEMENT} { print > "too-long.sql"; next } { print }`;
  const commands = parts.flatMap((part) => {
    if (part === "indexes") return [`cat ${fileOf(part)}`, ...makeKeys.map(printed)];
    return part === "rows" ? [`${AWK} '${long}' rows.sql`, ...drop.map(printed)] : [`cat ${fileOf(part)}`];
  });
  const all = [printed("PRAGMA defer_foreign_keys=TRUE;"), ...makeTables.map(printed), ...commands];
  return [
    "rm -f d1.sql too-long.sql",
    "{",
    ...all.map((command, index) => `  ${command}${index === all.length - 1 ? "" : " &&"}`),
    "} > d1.sql || { echo 'd1.sql is incomplete: stop here.' >&2; rm -f d1.sql; false; }",
    `if [ -s too-long.sql ]; then echo "Rows too long for D1: $(wc -l < too-long.sql). They are in too-long.sql, not in d1.sql." >&2; fi`,
  ];
}

/** Unlike echo, printf leaves backslashes unchanged. */
function printed(sql: string): string {
  return `printf '%s\\n' ${inSingleQuotes(sql)}`;
}

interface Placeholders {
  readonly makeTables: readonly string[];
  readonly makeKeys: readonly string[];
  readonly drop: readonly string[];
}

/**
 * The targets that foreign keys lack: an empty table, or an index that makes the columns unique. They are dropped after
 * the rows, before views and triggers.
 */
function placeholders(lost: readonly LostParent[], tables: readonly string[]): Placeholders {
  const absent = new Map<string, AbsentTable>();
  const keys: { name: string; sql: string }[] = [];
  for (const { parent, columns, parentExists } of lost.filter(isPrintable)) {
    if (!parentExists) {
      const table = absent.get(parent.toLowerCase()) ?? {
        name: quoted(parent),
        columns: new Map(),
        keys: new Set(),
      };
      const key = typeof columns === "number" ? primaryKeyOf(columns) : columns;
      for (const column of key) table.columns.set(column.toLowerCase(), quoted(column));
      table.keys.add(
        `${typeof columns === "number" ? "PRIMARY KEY" : "UNIQUE"} (${key.map(quoted).join(", ")})`,
      );
      absent.set(parent.toLowerCase(), table);
    } else if (typeof columns !== "number") {
      // A primary key cannot be added to an existing table.
      const name = quoted(spareName(`d1_nightly_key_${keys.length + 1}`, tables));
      const key = columns.map(quoted).join(", ");
      keys.push({ name, sql: `CREATE UNIQUE INDEX ${name} ON ${quoted(parent)} (${key});` });
    }
  }
  return {
    makeTables: [...absent.values()].map(
      (table) => `CREATE TABLE ${table.name} (${[...table.columns.values(), ...table.keys].join(", ")});`,
    ),
    makeKeys: keys.map(({ sql }) => sql),
    drop: [
      ...keys.map(({ name }) => `DROP INDEX ${name};`),
      ...[...absent.values()].map(({ name }) => `DROP TABLE ${name};`),
    ],
  };
}

interface AbsentTable {
  readonly name: string;
  readonly columns: Map<string, string>;
  readonly keys: Set<string>;
}

/** A name with a line break does not fit on one line of this file. */
function isPrintable({ parent, columns }: LostParent): boolean {
  return ![parent, ...(typeof columns === "number" ? [] : columns)].some((name) => /\p{Cc}/u.test(name));
}

function primaryKeyOf(columns: number): string[] {
  return Array.from({ length: columns }, (_, index) => `key_${index + 1}`);
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A name that no table of the backup has. */
export function spareName(wanted: string, tables: readonly string[]): string {
  const taken = new Set(tables.map((table) => table.toLowerCase()));
  let name = wanted;
  while (taken.has(name)) name += "_";
  return name;
}

/** A name for a database that D1 accepts and that needs no quotes in a shell. */
function newName(name: string): string {
  const plain = name.replace(/[^\w-]+/g, "-").slice(0, 40);
  return `restored-${plain}`.replace(/-+$/, "");
}
