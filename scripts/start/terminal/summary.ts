import { isAbsolute, relative } from "node:path";
import { styleText } from "node:util";
import { RUN_THE_GUIDE } from "../../../src/core/guide/restore-guide.ts";
import { PARTIAL } from "../../../src/core/dump/partial-export.ts";
import type { LocalState } from "../local/local-state.ts";
import type { Run } from "../round/backup-round.ts";
import type { StoredBackup } from "../round/read-back.ts";
import { countText, durationText, sizeText } from "./figures.ts";
import { folded } from "./folded.ts";
import { needsText, PROGRAMS_TO_CALL, programsToRestore } from "./programs.ts";

/** The result for one database. */
export type Outcome =
  | { readonly kind: "stored"; readonly run: Run; readonly backup: StoredBackup }
  | { readonly kind: "not-covered" | "failed"; readonly run: Run; readonly reason: Reason };

export interface Reason {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
}

const HEADINGS = ["database", "result", "rows", "SQL", "stored", "time"];
const LEFT_COLUMNS = 2;

/** 0 only if every database has a backup that was read back in full. */
export function exitCodeOf(outcomes: readonly Outcome[]): number {
  return outcomes.every(({ kind }) => kind === "stored") ? 0 : 1;
}

/** A line per database. Below the table: why others have no backup, and what a backup leaves out. */
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
    outcome.kind === "stored"
      ? partialText(outcome.run.databaseName, outcome.backup)
      : [reasonText(outcome.run.databaseName, outcome.reason)],
  );
  return [table.join("\n"), ...reasons].join("\n\n");
}

/** The folders with the backups, and how to restore one. `from` is the user's current folder. */
export function whereTheyAre(outcomes: readonly Outcome[], from: string): string {
  const stored = outcomes.flatMap((outcome) => (outcome.kind === "stored" ? [outcome.backup] : []));
  if (stored.length === 0) return "";
  const example = stored.find(({ manifest }) => manifest.database.name === "shop") ?? stored[0];
  return [
    heading("The backups"),
    "  Downloaded from the bucket. Every size and SHA-256 matches the manifest.",
    ...(stored.some(({ manifest }) => manifest.encryption !== null)
      ? ["  Only the stored bytes of encrypted files were compared, without the key."]
      : []),
    "",
    ...stored.map(({ folder }) => `  ${seenFrom(from, folder)}`),
    "",
    ...(example === undefined ? [] : restoreCommands(example)),
  ].join("\n");
}

/** How to call the API. Only this shows the token. */
export function howToCall(url: string, token: string, state: LocalState, from: string): string {
  return [
    heading("The API"),
    `  address  ${url}`,
    `  token    ${token}`,
    "",
    ...needsText(PROGRAMS_TO_CALL).map((line) => `  ${line}`),
    "",
    `  curl -H "Authorization: Bearer $(cat ${shellWord(seenFrom(from, state.tokenFile))})" \\`,
    `    ${url}/api/backups`,
  ].join("\n");
}

export function heading(text: string): string {
  return styleText("bold", text);
}

function columnsOf(outcome: Outcome): string[] {
  const { run } = outcome;
  const time = durationText(Date.parse(run.finishedAt ?? run.createdAt) - Date.parse(run.createdAt));
  if (outcome.kind !== "stored") {
    const result = outcome.kind === "not-covered" ? "not covered yet" : "failed";
    return [run.databaseName, result, "–", "–", "–", time];
  }
  const { manifest } = outcome.backup;
  const tables = manifest.tables ?? [];
  const counted = manifest.tables !== null && tables.every(({ rows }) => rows !== null);
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  const stored = manifest.volumes.reduce((sum, volume) => sum + volume.bytes, 0);
  return [
    run.databaseName,
    run.state,
    counted ? countText(rows) : "not counted",
    manifest.dump.bytes === null ? "–" : sizeText(manifest.dump.bytes),
    sizeText(stored),
    time,
  ];
}

function reasonText(database: string, { code, detail, hint }: Reason): string {
  return [`  ${database}: ${code}`, folded(detail, "    "), folded(hint, "    ")].join("\n");
}

function partialText(database: string, { manifest }: StoredBackup): string[] {
  const partial = manifest.hazards.filter(({ kind }) => kind === PARTIAL);
  return partial.map(({ kind, detail }) => `  ${database}: ${kind}\n${folded(detail, "    ")}`);
}

/**
 * RESTORE.md's own commands, and a query of the result. They have the folder's full path, because the user runs them in
 * another terminal.
 */
function restoreCommands({ manifest, folder }: StoredBackup): string[] {
  const query =
    manifest.database.name === "shop"
      ? "SELECT status, count(*) FROM orders GROUP BY status"
      : "SELECT name FROM sqlite_schema WHERE type = 'table'";
  return [
    `${heading("Restore one")} into SQLite with steps 1 to 4 of its RESTORE.md (step 5: into D1)`,
    ...needsText(programsToRestore(manifest)).map((line) => `  ${line}`),
    "",
    `  cd ${shellWord(folder)}`,
    ...(manifest.encryption === null
      ? []
      : ["  # First put the private key of a recipient into key.txt in this folder."]),
    `  ${RUN_THE_GUIDE}`,
    `  sqlite3 -box restored.db "${query}"`,
  ];
}

/** The shorter of the two ways to write a path; a path outside of `from` is written in full. */
export function seenFrom(from: string, path: string): string {
  const short = relative(from, path);
  return short.startsWith("..") || isAbsolute(short) ? path : short;
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
