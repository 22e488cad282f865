import type { UnsealedManifest } from "../backup/manifest.ts";
import { LONGEST_STATEMENT } from "../d1/limits.ts";
import type { LostParent } from "../dump/foreign-keys.ts";
import { fileOf, type Part } from "./cut.ts";
import { AWK, block, inSingleQuotes, shown } from "./shell.ts";

/** D1 takes no row before all tables and indexes that it refers to; so all of the schema but what fires comes first. */
const LOAD_ORDER: readonly Part[] = ["tables", "indexes", "rows", "views", "triggers"];

/** Step 5: the parts of dump.sql as D1 wrote them, in another order. No sqlite3 has had them in its hands. */
export function intoD1(manifest: UnsealedManifest, comparisons: readonly string[]): string[] {
  const name = newName(manifest.database.name);
  const wrangler = "npx --yes wrangler d1";
  const execute = `${wrangler} execute ${name} --remote --yes`;
  return [
    ...tooLong(manifest),
    ...(manifest.exportOptions.tables.length === 0
      ? []
      : [
          "D1 refuses a row that refers to a table which is not in this backup: that table has to be made there too, with what is referred to.",
        ]),
    ...(manifest.exportOptions.noSchema
      ? ["The new database has to hold the tables before the rows go in: make them from your own schema."]
      : []),
    "These commands need what step 2 has made. D1 does not import its own dumps when a table stands before one that it refers to. So: all tables and indexes first, then the rows, views, triggers. Rows that step 3 has refused are left out, because D1 would refuse the whole file; should you know that D1 takes them, put `refused.sql` behind `rows.sql` again.",
    block(...fileCommands(manifest)),
    "Log in with `npx wrangler login`, or set `CLOUDFLARE_API_TOKEN`.",
    block(`${wrangler} create ${name} --update-config=false`, `${execute} --file d1.sql`),
    ...(comparisons.length > 0
      ? [
          "Compare there too; each `results` has to be empty:",
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
    `**D1 does not take all of it.** It takes no statement of more than ${LONGEST_STATEMENT} bytes, and there are longer rows in ${tables}: \`restored.db\` has them, and they are left out of \`d1.sql\`.`,
  ];
}

/** Makes d1.sql. A row that is too long for D1 would keep all the others out: it goes to a file of its own. */
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
    "} > d1.sql || { echo 'd1.sql is not whole: do not go on.' >&2; rm -f d1.sql; false; }",
    `if [ -s too-long.sql ]; then echo "$(wc -l < too-long.sql) rows are longer than D1 takes. They are in too-long.sql, and not in d1.sql." >&2; fi`,
  ];
}

/** Unlike echo, it leaves a backslash alone. */
function printed(sql: string): string {
  return `printf '%s\\n' ${inSingleQuotes(sql)}`;
}

interface Placeholders {
  readonly makeTables: readonly string[];
  readonly makeKeys: readonly string[];
  readonly drop: readonly string[];
}

/**
 * What foreign keys look for and do not find: an empty table, or something that makes the columns unique. Dropped
 * behind the rows, before views and triggers.
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
      // A primary key that a table lacks cannot be given to it.
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

/** A line break cannot stand in a line of this file. */
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

/** A name for a database that D1 takes and no shell minds. */
function newName(name: string): string {
  const plain = name.replace(/[^\w-]+/g, "-").slice(0, 40);
  return `restored-${plain}`.replace(/-+$/, "");
}
