import { z } from "zod";
import type { SchemaEntry } from "../d1/api.ts";
import { piecesInBrackets, tokensOf, wordsAt, type Token } from "../sql/tokens.ts";
import type { Hazard } from "./hazards.ts";

/** What a schema uses that not every sqlite3 program knows, and the release that brought it. */
export const featureSchema = z.object({
  feature: z.string(),
  since: z.string(),
  /** The tables, indexes, triggers and views that use it. */
  usedBy: z.array(z.string()),
});
export type Feature = z.infer<typeof featureSchema>;

/** The oldest program for which the commands of RESTORE.md are written: it knows generated columns. */
export const OLDEST_SQLITE = "3.31.0";

/** Long-term releases of Debian and others are here: what is newer may be missing on the machine of a restore. */
const COMMON_SQLITE = "3.40.0";

/**
 * Functions by the release that brought them, as its own source lists them (src/func.c, src/json.c, src/date.c at the
 * tag of each release, compared with the one before).
 */
const FUNCTIONS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({
    "3.32.0": "iif",
    "3.34.0": "substring",
    "3.35.0":
      "acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power radians sign sin sinh sqrt tan tanh trunc",
    "3.38.0": "format unixepoch",
    "3.41.0": "unhex",
    "3.42.0": "json_error_position",
    "3.43.0": "octet_length timediff",
    "3.44.0": "concat concat_ws string_agg",
    "3.45.0":
      "jsonb jsonb_array jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set",
    "3.46.0": "json_pretty",
    "3.48.0": "if",
    "3.50.0": "unistr unistr_quote",
    "3.51.0": "jsonb_each jsonb_tree",
    "3.52.0": "json_array_insert jsonb_array_insert",
  }).flatMap(([since, names]) => names.split(" ").map((name) => [name.toUpperCase(), since])),
);

/** Before a bracket these make the word in between a name, not a function. */
const NAMES_FOLLOW = new Set("TABLE INTO ON REFERENCES VIEW INDEX UPDATE EXISTS CONSTRAINT .".split(" "));

/** What of the schema needs a program newer than the oldest, each feature once. */
export function newerFeatures(schema: readonly SchemaEntry[]): Feature[] {
  const found = new Map<string, Feature>();
  for (const { name, sql } of schema) {
    const used = new Map(sql === null ? [] : featuresOf(tokensOf(sql)));
    // Before the rows of its statistics stands "ANALYZE sqlite_schema;".
    if (/^sqlite_stat/i.test(name)) used.set("sqlite_schema", "3.33.0");
    for (const [feature, since] of used) {
      const known = found.get(feature);
      if (known === undefined) found.set(feature, { feature, since, usedBy: [name] });
      else known.usedBy.push(name);
    }
  }
  return [...found.values()];
}

type Found = [feature: string, since: string];

function featuresOf(tokens: readonly Token[]): Found[] {
  return tokens.flatMap((token, index): Found[] => {
    if (token.kind === "number") return /^\d+_\d/.test(token.text) ? [["digits like 1_000", "3.46.0"]] : [];
    if (token.kind === "symbol") return token.text.startsWith("->") ? [["-> or ->>", "3.38.0"]] : [];
    if (token.kind !== "word") return [];
    return [...callAt(tokens, index), ...syntaxAt(tokens, index)];
  });
}

function callAt(tokens: readonly Token[], at: number): Found[] {
  const word = tokens[at]?.value ?? "";
  if (!wordsAt(tokens, at + 1, "(") || NAMES_FOLLOW.has(tokens[at - 1]?.value ?? "")) return [];
  const since = FUNCTIONS[word];
  const found: Found[] = since === undefined ? [] : [[`${word.toLowerCase()}()`, since]];
  const pieces = piecesInBrackets(tokens, at + 1);
  if (word === "IIF" && pieces.length === 2) found.push(["iif() with 2 arguments", "3.48.0"]);
  if (/^I?IF$/.test(word) && pieces.length > 3)
    found.push([`${word.toLowerCase()}() with more than 3 arguments`, "3.49.0"]);
  if (word === "RAISE" && pieces.length === 2 && !isOneLiteral(tokens, pieces[1] ?? 0))
    found.push(["raise() with an expression", "3.47.0"]);
  if (ordersItsRows(tokens, at, word)) found.push(["ORDER BY inside of a function", "3.44.0"]);
  return found;
}

function isOneLiteral(tokens: readonly Token[], at: number): boolean {
  return tokens[at]?.kind !== "symbol" && wordsAt(tokens, at + 1, ")");
}

const NO_FUNCTIONS = new Set("OVER AS IN EXISTS FILTER WITHIN GROUP FROM JOIN SELECT NOT AND OR".split(" "));

function ordersItsRows(tokens: readonly Token[], at: number, word: string): boolean {
  if (NO_FUNCTIONS.has(word) || /^(SELECT|WITH|VALUES)$/.test(tokens[at + 2]?.value ?? "")) return false;
  let depth = 0;
  for (let i = at + 1; i < tokens.length; i++) {
    if (wordsAt(tokens, i, "(")) depth++;
    else if (wordsAt(tokens, i, ")") && --depth === 0) return false;
    else if (depth === 1 && wordsAt(tokens, i, "ORDER", "BY")) return true;
  }
  return false;
}

function syntaxAt(tokens: readonly Token[], at: number): Found[] {
  if (wordsAt(tokens, at, "AS", "MATERIALIZED") || wordsAt(tokens, at, "AS", "NOT", "MATERIALIZED"))
    return [["MATERIALIZED", "3.35.0"]];
  if (wordsAt(tokens, 0, "CREATE", "TABLE") && wordsAt(tokens, at, "STRICT") && isTableOption(tokens, at))
    return [["STRICT", "3.37.0"]];
  if (wordsAt(tokens, at, "IS", "DISTINCT", "FROM") || wordsAt(tokens, at, "IS", "NOT", "DISTINCT", "FROM"))
    return [["IS DISTINCT FROM", "3.39.0"]];
  for (const side of ["RIGHT", "FULL"])
    if (wordsAt(tokens, at, side, "JOIN") || wordsAt(tokens, at, side, "OUTER", "JOIN"))
      return [[`${side} JOIN`, "3.39.0"]];
  return [];
}

/** Behind the last bracket, where only options stand. */
function isTableOption(tokens: readonly Token[], at: number): boolean {
  return !tokens.slice(at).some((_, index) => wordsAt(tokens, at + index, ")"));
}

/** The release that knows all of it. */
export function neededSqlite(features: readonly Feature[]): string {
  return features.reduce((newest, { since }) => (isNewer(since, newest) ? since : newest), OLDEST_SQLITE);
}

/** As one number, by which releases can be compared: 3.44.0 is 3044000. */
export function releaseNumber(release: string): number {
  const [major = 0, minor = 0, patch = 0] = release.split(".").map(Number);
  return major * 1_000_000 + minor * 1_000 + patch;
}

function isNewer(release: string, other: string): boolean {
  return releaseNumber(release) > releaseNumber(other);
}

/** Told of what the sqlite3 of a common machine does not load, or loads and cannot use. */
export function newerSqliteHazards(features: readonly Feature[]): Hazard[] {
  return features
    .filter(({ since }) => isNewer(since, COMMON_SQLITE))
    .map(({ feature, since, usedBy }) => ({
      kind: "newer-sqlite",
      table: usedBy.length === 1 ? (usedBy[0] ?? null) : null,
      count: usedBy.length,
      detail: `The schema uses ${feature}, which the sqlite3 program supports since ${since}. An older one cannot load the schema, or cannot use it afterwards; D1 can.`,
    }));
}
