import { z } from "zod";
import type { SchemaEntry } from "../d1/api.ts";
import { nameOf, tokensOf, wordsAt } from "../sql/tokens.ts";
import { lostParentHazards, lostParents, lostParentSchema } from "./foreign-keys.ts";
import type { Hazard } from "./hazards.ts";
import { MISREAD, misreadByShell, shellHazards } from "./shell-lines.ts";
import { featureSchema, newerFeatures, newerSqliteHazards } from "./sqlite-features.ts";

/** What loading the dump asks for beyond what it says itself. Told by the schema; holds names, and no SQL. */
export const loadingSchema = z.object({
  /** What not every sqlite3 program knows. */
  features: z.array(featureSchema),
  /** Where the sqlite3 program reads lines otherwise than SQLite does. */
  misreadByShell: z.enum(MISREAD),
  lostParents: z.array(lostParentSchema),
  /** Virtual tables that are not in the dump, and the triggers in it that use them. */
  virtualTables: z.array(z.object({ name: z.string(), triggers: z.array(z.string()) })),
});
export type Loading = z.infer<typeof loadingSchema>;

/** `exported`: what of the database's schema the dump holds. */
export function loadingOf(exported: readonly SchemaEntry[], schema: readonly SchemaEntry[]): Loading {
  return {
    features: newerFeatures(exported),
    misreadByShell: misreadByShell(exported),
    lostParents: lostParents(exported),
    virtualTables: missingVirtualTables(exported, schema),
  };
}

/** What a person has to know of it who loads the dump by hand, or into D1. */
export function loadingHazards(
  { features, lostParents: lost }: Loading,
  exported: readonly SchemaEntry[],
  schema: readonly SchemaEntry[],
): Hazard[] {
  // A parent that the policy leaves out is not lost: a partial backup says what it lacks.
  const lostAnyway = new Set(lostParents(schema).map((each) => JSON.stringify(each)));
  return [
    ...shellHazards(exported),
    ...newerSqliteHazards(features),
    ...lostParentHazards(lost.filter((each) => lostAnyway.has(JSON.stringify(each)))),
    ...lostSequence(exported),
  ];
}

/**
 * Once a database has had an AUTOINCREMENT, it keeps sqlite_sequence for ever, and D1's dump empties that table; but
 * nobody can make it except by another AUTOINCREMENT.
 */
function lostSequence(exported: readonly SchemaEntry[]): Hazard[] {
  if (!exported.some(({ name }) => name.toLowerCase() === "sqlite_sequence")) return [];
  const makesIt = exported.some(
    ({ type, sql }) =>
      type === "table" && tokensOf(sql ?? "").some((_, i, tokens) => wordsAt(tokens, i, "AUTOINCREMENT")),
  );
  if (makesIt) return [];
  return [
    {
      kind: "lost-sequence",
      table: "sqlite_sequence",
      count: null,
      detail:
        "The dump empties sqlite_sequence, but no table in it has the AUTOINCREMENT that would create it, so neither sqlite3 nor D1 can load the dump directly. The commands in RESTORE.md create such a table first and drop it again.",
    },
  ];
}

function missingVirtualTables(
  exported: readonly SchemaEntry[],
  schema: readonly SchemaEntry[],
): Loading["virtualTables"] {
  const there = new Set(exported);
  const triggers = exported
    .filter(({ type }) => type === "trigger")
    .map(({ name, sql }) => ({
      name,
      names: namesIn(sql ?? ""),
    }));
  return schema
    .filter((entry) => !there.has(entry) && isVirtual(entry))
    .map(({ name }) => ({
      name,
      triggers: triggers.filter(({ names }) => names.has(name.toLowerCase())).map((trigger) => trigger.name),
    }));
}

/** Behind these a text stands for a table's name: `INSERT INTO 'search'`, `UPDATE OR FAIL 'search'`. */
const BEFORE_A_TABLE = [
  "INTO",
  "UPDATE",
  "FROM",
  "JOIN",
  "REPLACE",
  "ROLLBACK",
  "ABORT",
  "FAIL",
  "IGNORE",
  ".",
];

/** All that may be a table's name in a statement, in small letters. */
function namesIn(sql: string): Set<string | undefined> {
  const tokens = tokensOf(sql);
  const names = tokens.filter((token, index) => {
    return token.kind !== "text" || BEFORE_A_TABLE.some((word) => wordsAt(tokens, index - 1, word));
  });
  return new Set(names.map((token) => nameOf(token)?.toLowerCase()));
}

function isVirtual({ sql }: SchemaEntry): boolean {
  return sql !== null && wordsAt(tokensOf(sql.slice(0, 200)), 0, "CREATE", "VIRTUAL", "TABLE");
}
