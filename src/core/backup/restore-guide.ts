import { LONGEST_STATEMENT } from "../d1/limits.ts";
import { partsLeftOut } from "../dump/partial-export.ts";
import { AMBIGUOUS_LINES } from "../dump/schema.ts";
import type { SectionKind } from "../dump/sections.ts";
import type { UnsealedManifest } from "./manifest.ts";

/** Runs all commands that come before the way back into D1. */
export const RUN_THE_GUIDE = "sed -n -e '/^## 5/q' -e 's/^    //p' RESTORE.md | sh -e";

/**
 * RESTORE.md: the literal commands for this one backup, for somebody who has nothing but its files. They are meant
 * to be pasted into a shell or run by `sh -e`: each stops, or says so, when something is wrong.
 */
export function restoreGuide(manifest: UnsealedManifest): string {
  const loading = loadingOf(manifest);
  const comparison = comparisonOf(manifest);
  const parts = [
    opening(manifest),
    part("1. Check that the files are whole", block("sha256sum -c SHA256SUMS")),
    part("2. Make dump.sql", keyText(manifest), block(...dumpCommands(manifest))),
    part("3. Load it into a new SQLite database", loading.why, block(...loading.commands)),
    part("4. Compare the rows with those that were counted", ...comparison),
    part("5. Back into D1, into a new database", ...d1Parts(manifest, comparison.length > 1)),
    ...remarks(manifest),
  ];
  return `${parts.join("\n\n")}\n`;
}

function opening(manifest: UnsealedManifest): string {
  const { database, volumes, compression, encryption, tables, exportOptions, lean } = manifest;
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  const counted = lean ? "rows not counted" : exportOptions.noData ? "no rows" : plural(rows, "row");
  const tools = [
    "sha256sum",
    ...ageOf(encryption?.recipients ?? []),
    ...{ gzip: ["gunzip"], zstd: ["zstd"], none: [] }[compression],
    ...(hasNul(manifest) ? ["perl"] : []),
    "sqlite3",
  ];
  return `# Restore ${shown(database.name)} as of ${manifest.startedAt}
${partialWarning(manifest)}
Backup ${shown(manifest.backupId)}: ${plural(volumes.length, "volume")}, ${plural(manifest.dump.bytes, "byte")} of SQL, ${plural(tables.length, "table")}, ${counted}.

Paste the commands into a shell, block by block, in the folder that holds this file. They need ${tools.join(", ")}, and Node's npx for D1; on macOS write \`shasum -a 256\` for \`sha256sum\`. Go on to the next block only when the last one said nothing of an error. Or run 1 to 4 at once: \`${RUN_THE_GUIDE}\``;
}

/** The first thing that anybody reads: such a backup must not be taken for the whole database. */
function partialWarning({ exportOptions, notExported }: UnsealedManifest): string {
  const parts = partsLeftOut(exportOptions, notExported.length);
  return parts.length === 0
    ? ""
    : `\n**This is not a whole backup**, by its database's policy: ${parts.join("; ")}.\n`;
}

function ageOf(recipients: readonly string[]): string[] {
  if (recipients.length === 0) return [];
  const postQuantum = recipients.some((recipient) => recipient.startsWith("age1pq"));
  return [postQuantum ? "age (1.3 or later for a post-quantum key)" : "age"];
}

function keyText({ encryption }: UnsealedManifest): string | null {
  if (encryption === null) return null;
  return `Put the private key (\`AGE-SECRET-KEY-…\`) of one of these recipients into \`key.txt\` first:

${encryption.recipients.map((recipient) => `- ${shown(recipient)}`).join("\n")}

What these commands make is readable by anybody: delete it when you are done.`;
}

/** Decrypts, decompresses and joins the volumes, and checks what came out. */
function dumpCommands({ volumes, compression, encryption, dump }: UnsealedManifest): string[] {
  const files = volumes.map((volume) => shellWord(volume.name)).join(" ");
  const decompress = { gzip: "gunzip -c", zstd: "zstd -dc", none: "cat" }[compression];
  // age files cannot be joined before they are decrypted; gzip members and zstd frames can before they are read.
  const decrypt = `for file in ${files}; do age -d -i key.txt "$file" || break; done`;
  const decrypted = compression === "none" ? decrypt : `${decrypt} | ${decompress}`;
  const read = encryption === null ? `${decompress} ${files}` : decrypted;
  const check =
    dump.sha256 === null
      ? sizeCheck("dump.sql", dump.bytes)
      : `echo '${dump.sha256}  dump.sql' | sha256sum -c`;
  return [`${read} > dump.sql`, check];
}

interface Loading {
  readonly why: string;
  readonly commands: readonly string[];
}

/** All or nothing, in an order that sqlite3 takes. */
function loadingOf(manifest: UnsealedManifest): Loading {
  if (manifest.exportOptions.noSchema) return rowsLoading(manifest);
  const { sections, dump } = manifest;
  const atomic = "In one transaction: after an error `restored.db` is empty.";
  const pieces = sections === null ? null : loadOrder(sections, manifest.missingSemicolons ?? [], dump.bytes);
  if (pieces === null && hasAmbiguousLines(manifest)) {
    const why = `${atomic} As D1 wrote it: where its parts begin was not noted (lean), and lines of this database's own SQL look like their beginnings. If sqlite3 stops at an INSTEAD OF trigger with "no such table", move that trigger's text in \`dump.sql\` behind its view's, and run this block again.`;
    return { why, commands: [nulsIfAny(dump.bytes), ...loadCommands("dump.sql")] };
  }
  if (pieces === null) {
    const why = `${atomic} First its parts are put in order, because D1 writes triggers before their views. Where they stand was not noted (lean): these lines find them by the words with which D1 begins its lines. NUL characters in text, which sqlite3 cannot read, become \`char(0)\`; only when there are any, perl is needed.`;
    return { why, commands: [nulsIfAny(dump.bytes), ...orderByFirstWords(), ...loadCommands("ordered.sql")] };
  }
  const first = pieces[0];
  const asItIs = pieces.length === 1 && first?.semicolon === false;
  const ordered = asItIs ? [] : orderByOffsets(pieces, dump.bytes);
  const source = asItIs ? "dump.sql" : "ordered.sql";
  const order = asItIs
    ? ""
    : " First its parts are put in order, because D1 writes triggers before their views and loses a semicolon that follows a comment.";
  if (!hasNul(manifest)) return { why: atomic + order, commands: [...ordered, ...loadCommands(source)] };
  const why = `${atomic}${order} NUL characters in text, which sqlite3 cannot read, become \`char(0)\`.`;
  return { why, commands: [...ordered, readable(source), ...loadCommands("readable.sql")] };
}

/** Of a dump without CREATE statements every statement is a line. */
function rowsLoading(manifest: UnsealedManifest): Loading {
  const counters = `/^INSERT INTO "sqlite_sequence"/`;
  const ordered = [
    ...(manifest.lean ? [nulsIfAny(manifest.dump.bytes)] : []),
    `LC_ALL=C sed -n '${counters}p' dump.sql > sequence.sql`,
    "{",
    `  LC_ALL=C sed -e '${counters}d' -e '/^INSERT INTO "sqlite_stat/d' dump.sql`,
    "  echo",
    "  if [ -s sequence.sql ]; then echo 'DELETE FROM sqlite_sequence;'; cat sequence.sql; fi",
    "} > ordered.sql",
    ...(hasNul(manifest) ? [readable("ordered.sql")] : []),
  ];
  const why =
    "This backup holds rows only. So `restored.db` has to hold the tables first: empty, and without triggers, which would fire. Make it from your own schema, or from a backup that holds one. In one transaction: after an error it is as it was. The counters of AUTOINCREMENT, which SQLite makes by itself, are replaced; its statistics are left to ANALYZE.";
  return { why, commands: [...ordered, ...loadRows(hasNul(manifest) ? "readable.sql" : "ordered.sql")] };
}

function readable(source: string): string {
  return `perl -pe "${NUL_TO_SQL}" ${source} > readable.sql`;
}

/** From a NUL inside a literal to SQL that gives the same text. Stands between double quotes of a shell. */
const NUL_TO_SQL = String.raw`s/\0/'||char(0)||'/g`;

function nulsIfAny(dumpBytes: number): string {
  const withoutNul = String.raw`$(tr -d '\000' < dump.sql | wc -c)`;
  return `[ "${withoutNul}" -eq ${dumpBytes} ] || perl -pi -e "${NUL_TO_SQL}" dump.sql`;
}

function loadCommands(source: string): string[] {
  return [
    "if [ -s restored.db ]; then echo 'restored.db exists already: move it away first.' >&2; false; else",
    `  ${load(source)}`,
    "fi",
  ];
}

function loadRows(source: string): string[] {
  const ready = "SELECT count(*) > 0 AND sum(type = 'trigger') = 0 FROM sqlite_master";
  return [
    `if [ "$(sqlite3 restored.db "${ready}")" != 1 ]; then echo 'restored.db has to hold the tables, and no triggers.' >&2; false; else`,
    `  ${load(source)}`,
    "fi",
  ];
}

function load(source: string): string {
  // sqlite3 since 3.41 no longer takes "text" as a text in a table's DEFAULT, as D1 does.
  return `sqlite3 -bail restored.db '.dbconfig dqs_ddl on' 'PRAGMA foreign_keys = OFF' BEGIN '.read ${source}' COMMIT > /dev/null`;
}

/** A stretch of the dump; `semicolon`: what it ends with lacks its own. */
interface Piece {
  readonly from: number;
  readonly to: number;
  readonly semicolon: boolean;
}

const LOAD_ORDER: readonly SectionKind[] = ["tables", "indexes", "views", "triggers"];

/** The stretches in which a dump can be loaded; a single one without a semicolon is the dump as it is. */
function loadOrder(
  sections: NonNullable<UnsealedManifest["sections"]>,
  missingSemicolons: readonly number[],
  dumpBytes: number,
): Piece[] {
  const pieces: Piece[] = [];
  for (const kind of LOAD_ORDER) {
    const section = sections.find((each) => each.kind === kind);
    if (section === undefined) continue;
    let from = section.offset;
    const end = section.offset + section.bytes;
    const cuts = missingSemicolons.filter((at) => at > section.offset && at <= end);
    for (const to of new Set([...cuts, end])) {
      const before = pieces.at(-1);
      const semicolon = cuts.includes(to);
      if (before === undefined || before.semicolon || before.to !== from)
        pieces.push({ from, to, semicolon });
      else pieces[pieces.length - 1] = { from: before.from, to, semicolon };
      from = to;
    }
  }
  return pieces.length === 0 ? [{ from: 0, to: dumpBytes, semicolon: false }] : pieces;
}

function orderByOffsets(pieces: readonly Piece[], dumpBytes: number): string[] {
  let size = 0;
  const lines = pieces.flatMap(({ from, to, semicolon }) => {
    const atEnd = to === dumpBytes;
    // What the comment has swallowed is left out of it: the semicolon, and the line break that only an end lacks.
    const end = semicolon ? to - (atEnd ? 1 : 2) : to;
    const behind = semicolon ? ["echo", "echo ';'"] : atEnd ? ["echo"] : [];
    size += end - from + (semicolon ? 3 : behind.length);
    return [stretch(from, end, dumpBytes), ...behind];
  });
  return ["{", ...lines.map((line) => `  ${line}`), "} > ordered.sql", sizeCheck("ordered.sql", size)];
}

function stretch(from: number, to: number, dumpBytes: number): string {
  if (from === 0) return `head -c ${to} dump.sql`;
  const tail = `tail -c +${from + 1} dump.sql`;
  return to === dumpBytes ? tail : `${tail} | head -c ${to - from}`;
}

/** For a dump in which nothing was looked for. Every row is one line that begins with INSERT. */
function orderByFirstWords(): string[] {
  return [
    "{",
    "  LC_ALL=C sed -E '/^CREATE (TRIGGER|VIEW) /,$d' dump.sql",
    String.raw`  LC_ALL=C sed -n -e '/^CREATE VIEW /i\' -e ';' -e '/^CREATE VIEW /,$p' dump.sql`,
    "  echo",
    "  echo ';'",
    "  LC_ALL=C sed -n '/^CREATE TRIGGER /,/^CREATE VIEW /p' dump.sql | LC_ALL=C sed '/^CREATE VIEW /d'",
    "} > ordered.sql",
  ];
}

/** Prints the tables that differ. Empty when no table was counted. */
function comparisonOf({ tables, exportOptions }: UnsealedManifest): string[] {
  if (exportOptions.noData) return ["This backup holds no rows."];
  const counted = tables.flatMap(({ name, rows }) => (rows === null ? [] : [{ name, rows }]));
  // A line break cannot stand in a line of this file.
  const printable = counted.filter(({ name }) => !/\p{Cc}/u.test(name));
  if (printable.length === 0) return ["No rows were counted while copying."];
  const lines = printable.map(({ name, rows }) => {
    const literal = inDoubleQuotes(`'${name.replaceAll("'", "''")}'`);
    return `  (${literal}, ${rows}, (SELECT count(*) FROM ${inDoubleQuotes(sqlName(name))}))`;
  });
  const left = counted.length - printable.length;
  return [
    `A line that this prints is a table that differs: its name, the rows in the backup, the rows found.${left === 0 ? "" : ` Left out: ${plural(left, "table")} with a control character in the name.`}`,
    block(
      `printf '%s\\n' "WITH counted (name, wanted, found) AS (VALUES`,
      ...lines.map((line, index) => (index === lines.length - 1 ? `${line})` : `${line},`)),
      `SELECT * FROM counted WHERE found <> wanted" > compare.sql`,
      `if differing=$(sqlite3 -bail -list -noheader restored.db < compare.sql) && [ -z "$differing" ]; then`,
      "  echo 'Every table has the rows that were counted.'",
      `else echo "$differing"; false; fi`,
    ),
  ];
}

function d1Parts(manifest: UnsealedManifest, counted: boolean): string[] {
  const name = newName(manifest.database.name);
  const wrangler = "npx --yes wrangler d1";
  const execute = `${wrangler} execute ${name} --remote --yes`;
  const long = manifest.hazards.filter(({ kind }) => kind === "oversize");
  return [
    ...(long.length === 0
      ? []
      : [
          `**D1 will refuse this one.** It takes no statement of more than ${LONGEST_STATEMENT} bytes, and there are longer rows in ${long.map(({ table }) => shown(table ?? "a table")).join(", ")}: \`restored.db\` has them.`,
        ]),
    ...(hasAmbiguousLines(manifest)
      ? [
          "**Look at `d1.sql` before you load it.** Its rows are picked out of `dump.sql` by lines that begin with `INSERT`, and this database has SQL by which that can be misled (see below).",
        ]
      : []),
    ...(manifest.exportOptions.tables.length === 0
      ? []
      : [
          "D1 refuses a row that refers to a table which is not in this backup: that table has to be made there too, with what is referred to.",
        ]),
    "D1 does not import its own dumps when a table stands before one that it refers to. So: all tables and indexes first, then the rows, views, triggers.",
    block(
      "{",
      "  echo 'PRAGMA defer_foreign_keys=TRUE;'",
      `  ${schemaOf("'table', 'index'", "index")}`,
      `  ${rowLines(manifest)}`,
      `  ${schemaOf("'view', 'trigger'", "trigger")}`,
      "} > d1.sql",
    ),
    "Log in with `npx wrangler login`, or set `CLOUDFLARE_API_TOKEN`.",
    block(`${wrangler} create ${name} --update-config=false`, `${execute} --file d1.sql`),
    ...(counted
      ? [
          "Compare there too; `results` has to be empty:",
          block(`${execute} --json --command "$(cat compare.sql)"`),
        ]
      : []),
  ];
}

/** A line break keeps the semicolon out of a comment at the end. */
function schemaOf(types: string, last: string): string {
  const statement = "sql || CASE WHEN sql LIKE '%--%' THEN char(10) ELSE '' END || ';'";
  return `sqlite3 -list -noheader restored.db "SELECT ${statement} FROM sqlite_master WHERE type IN (${types}) AND sql IS NOT NULL AND name NOT GLOB 'sqlite_*' ORDER BY type = '${last}', rowid"`;
}

/** The rows as D1 wrote them: each is a line. */
function rowLines(manifest: UnsealedManifest): string {
  const rows = `INSERT INTO "|DELETE FROM sqlite_sequence;|ANALYZE sqlite_schema;`;
  const toSql = hasNul(manifest) ? ` | perl -pe "${NUL_TO_SQL}"` : "";
  const { sections, dump, exportOptions } = manifest;
  if (exportOptions.noSchema) return `LC_ALL=C sed -nE '/^(${rows})/p' ordered.sql${toSql}`;
  if (sections === null)
    return `LC_ALL=C sed -nE -e '/^CREATE (UNIQUE INDEX|INDEX|TRIGGER|VIEW) /q' -e '/^(${rows})/p' dump.sql${toSql}`;
  const tables = sections.find(({ kind }) => kind === "tables");
  const end = tables === undefined ? 0 : tables.offset + tables.bytes;
  const select = `LC_ALL=C sed -nE '/^(${rows})/p'`;
  return `${stretch(0, end, dump.bytes)} | ${select}${toSql}`;
}

function remarks({ hazards, notExported }: UnsealedManifest): string[] {
  const altered = hazards.map(
    ({ table, count, detail }) =>
      `- ${table === null ? "" : `${shown(table)}: `}${shown(detail)}${count === null ? "" : ` (${count})`}`,
  );
  const absent = notExported.map(({ name, kind, reason }) => `- ${shown(`${kind} ${name}: ${reason}`)}`);
  return [
    ...(absent.length === 0 ? [] : [part("Not in this backup", absent.join("\n"))]),
    ...(altered.length === 0 ? [] : [part("What to know about this backup", altered.join("\n"))]),
  ];
}

function hasAmbiguousLines({ hazards }: UnsealedManifest): boolean {
  return hazards.some(({ kind }) => kind === AMBIGUOUS_LINES);
}

function hasNul({ hazards }: UnsealedManifest): boolean {
  return hazards.some(({ kind }) => kind === "nul");
}

function part(title: string, ...paragraphs: readonly (string | null)[]): string {
  return [`## ${title}`, ...paragraphs.filter((paragraph) => paragraph !== null)].join("\n\n");
}

function block(...lines: readonly string[]): string {
  return lines.map((line) => `    ${line}`).join("\n");
}

function sizeCheck(file: string, bytes: number): string {
  return `[ "$(wc -c < ${file})" -eq ${bytes} ] || { echo '${file} is not whole: do not go on.' >&2; false; }`;
}

/** A word of a shell's command that is a file's name, and never an option. */
function shellWord(text: string): string {
  if (text.startsWith("-")) return shellWord(`./${text}`);
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** What stands between the double quotes of a shell. A `!` leaves them: an interactive bash would replace it. */
function inDoubleQuotes(text: string): string {
  return text.replace(/[\\"$`]/g, String.raw`\$&`).replaceAll("!", `"'!'"`);
}

/** In brackets where they do, because a shell's double quotes are around it. */
function sqlName(name: string): string {
  return name.includes("]") ? `"${name.replaceAll('"', '""')}"` : `[${name}]`;
}

/** A name for a database that D1 takes and no shell minds. */
function newName(name: string): string {
  const plain = name.replace(/[^\w-]+/g, "-").slice(0, 40);
  return `restored-${plain}`.replace(/-+$/, "");
}

/** Text in a paragraph or a list: no line break, or anything else that a terminal would obey. */
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
