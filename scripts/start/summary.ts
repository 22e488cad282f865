import { relative } from "node:path";
import { styleText } from "node:util";
import { RUN_THE_GUIDE } from "../../src/core/guide/restore-guide.ts";
import type { Run } from "./backup-round.ts";
import { countText, durationText, sizeText } from "./figures.ts";
import type { StoredBackup } from "./read-back.ts";

/** What became of one database. */
export type Outcome =
  | { readonly kind: "stored"; readonly run: Run; readonly backup: StoredBackup }
  | { readonly kind: "not-covered" | "failed"; readonly run: Run; readonly reason: Reason };

export interface Reason {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
}

const HEADINGS = ["database", "state", "rows", "dump", "stored", "time"];
const LEFT_COLUMNS = 2;

/** A line per database, and below the table why the others have none. */
export function outcomeTable(outcomes: readonly Outcome[]): string {
  const lines = [HEADINGS, ...outcomes.map(columnsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const table = lines.map((line, index) => {
    const cells = line.map((cell, column) =>
      column < LEFT_COLUMNS ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    const text = `  ${cells.join("   ")}`.trimEnd();
    return index === 0 ? styleText("gray", text) : text;
  });
  const reasons = outcomes.flatMap((outcome) =>
    outcome.kind === "stored" ? [] : [reasonText(outcome.run.databaseName, outcome.reason)],
  );
  return [table.join("\n"), ...reasons].join("\n\n");
}

/** Where the dumps lie and what to do with them. `from` is the folder in which the reader types. */
export function whatLies(outcomes: readonly Outcome[], from: string): string {
  const stored = outcomes.flatMap((outcome) => (outcome.kind === "stored" ? [outcome.backup] : []));
  if (stored.length === 0) return "";
  const folders = stored.map(({ folder }) => `  ${seenFrom(from, folder)}`);
  const example = stored.find(({ manifest }) => manifest.database.name === "shop") ?? stored[0];
  return [
    `${heading("The dumps, fetched back from the bucket")} (every SHA-256 and size is what the manifest says)`,
    ...folders,
    ...(stored.some(({ manifest }) => manifest.encryption !== null)
      ? ["  Of what is encrypted, only the stored bytes could be compared: the key is not here."]
      : []),
    "",
    ...(example === undefined ? [] : sqliteCommands(example)),
  ].join("\n");
}

/** The one place where the token is shown. */
export function wayIn(url: string, token: string): string {
  return [
    heading("The product"),
    `  ${url}`,
    `  token  ${token}`,
    "",
    `  curl ${url}/api/backups -H "Authorization: Bearer ${token}"`,
  ].join("\n");
}

export function heading(text: string): string {
  return styleText("bold", text);
}

function columnsOf(outcome: Outcome): string[] {
  const { run } = outcome;
  const time = durationText(Date.parse(run.finishedAt ?? run.createdAt) - Date.parse(run.createdAt));
  if (outcome.kind !== "stored") {
    const state = outcome.kind === "not-covered" ? "not covered yet" : "failed";
    return [run.databaseName, state, "–", "–", "–", time];
  }
  const { manifest } = outcome.backup;
  const counted = manifest.tables.every(({ rows }) => rows !== null);
  const rows = manifest.tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  const stored = manifest.volumes.reduce((sum, volume) => sum + volume.bytes, 0);
  return [
    run.databaseName,
    run.state,
    counted ? countText(rows) : "not counted",
    sizeText(manifest.dump.bytes),
    sizeText(stored),
    time,
  ];
}

function reasonText(database: string, { code, detail, hint }: Reason): string {
  return `  ${database}: ${code}\n${folded(detail)}\n${folded(hint)}`;
}

/** Lines that fit a terminal of 100 columns, indented. */
function folded(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 92) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => `    ${line}`).join("\n");
}

/** RESTORE.md's own commands, and a look at what they made. From wherever they are typed: this terminal is taken. */
function sqliteCommands({ manifest, folder }: StoredBackup): string[] {
  const query =
    manifest.database.name === "shop"
      ? "SELECT status, count(*) AS orders FROM orders GROUP BY status"
      : "SELECT name FROM sqlite_master WHERE type = 'table'";
  return [
    `${heading("Restore one with sqlite3")} (steps 1 to 4 of its RESTORE.md; step 5 takes it back into D1)`,
    `  cd ${shellWord(folder)}`,
    ...(manifest.encryption === null ? [] : ["  cp …/key.txt .   (the private key of a recipient)"]),
    `  ${RUN_THE_GUIDE}`,
    `  sqlite3 -box restored.db "${query}"`,
  ];
}

function seenFrom(from: string, path: string): string {
  const short = relative(from, path);
  return short.startsWith("..") ? path : short;
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
