import { z } from "zod";
import type { SchemaEntry } from "../d1/api.ts";
import { closingBracket, nameOf, piecesInBrackets, tokensOf, wordsAt, type Token } from "../sql/tokens.ts";
import type { Hazard } from "./hazards.ts";

/**
 * Foreign keys that lead nowhere. D1 enforces them, and refuses each row of such a table when it is imported, even one
 * that refers to nothing: "no such table" where the parent is gone, "foreign key mismatch" where nothing makes the
 * parent's columns unique. The rows that are there got in before. sqlite3, which enforces none, takes them.
 */
export const lostParentSchema = z.object({
  /** The table that refers, and what it refers to: the names of the columns, or how many of the primary key. */
  child: z.string(),
  parent: z.string(),
  columns: z.union([z.array(z.string()), z.number().int().positive()]),
  /** The parent is there, and has nothing that makes these columns unique. */
  parentExists: z.boolean(),
});
export type LostParent = z.infer<typeof lostParentSchema>;

interface TableKeys {
  readonly primaryKey: readonly string[];
  /** The primary key included. */
  readonly uniqueKeys: readonly (readonly string[])[];
  readonly references: readonly { parent: string; columns: readonly string[] | number }[];
}

/** Of the tables of this schema. SQLite's names know no case. */
export function lostParents(schema: readonly SchemaEntry[]): LostParent[] {
  const tables = new Map<string, TableKeys>();
  const indexed = new Map<string, (readonly string[])[]>();
  for (const { type, name, sql } of schema) {
    if (type === "table" && sql !== null) tables.set(folded(name), keysOf(tokensOf(sql)));
    const index = type === "index" && sql !== null ? uniqueIndex(tokensOf(sql)) : null;
    if (index !== null) indexed.set(index.table, [...(indexed.get(index.table) ?? []), index.columns]);
  }
  return schema.flatMap(({ type, name }) => {
    const references = (type === "table" ? tables.get(folded(name))?.references : undefined) ?? [];
    return references.flatMap(({ parent, columns }): LostParent[] => {
      const keys = tables.get(folded(parent));
      const lost = { child: name, parent, columns: typeof columns === "number" ? columns : [...columns] };
      if (keys === undefined) return [{ ...lost, parentExists: false }];
      if (typeof columns === "number")
        return keys.primaryKey.length === columns ? [] : [{ ...lost, parentExists: true }];
      const unique = [...keys.uniqueKeys, ...(indexed.get(folded(parent)) ?? [])];
      return unique.some((key) => sameColumns(key, columns)) ? [] : [{ ...lost, parentExists: true }];
    });
  });
}

function folded(name: string): string {
  return name.toLowerCase();
}

function sameColumns(key: readonly string[], columns: readonly string[]): boolean {
  const wanted = new Set(columns.map(folded));
  return key.length === wanted.size && key.every((column) => wanted.has(folded(column)));
}

/**
 * The keys of a CREATE TABLE, which SQLite has taken: so the words below stand for what they mean wherever they stand
 * between the outer brackets, and deeper ones belong to expressions and types.
 */
function keysOf(tokens: readonly Token[]): TableKeys {
  const opening = tokens.findIndex((_, index) => wordsAt(tokens, index, "("));
  const primaryKey: string[] = [];
  const uniqueKeys: string[][] = [];
  const references: { parent: string; columns: string[] | number }[] = [];
  const end = opening < 0 ? 0 : closingBracket(tokens, opening);
  /** The columns that a reference is about: the column that is being defined, or those of FOREIGN KEY (…). */
  let column = nameOf(tokens[opening + 1]) ?? "";
  let from = 1;
  for (let i = opening + 1; i < end; i++) {
    if (wordsAt(tokens, i, ",")) {
      column = nameOf(tokens[i + 1]) ?? "";
      from = 1;
    } else if (wordsAt(tokens, i, "PRIMARY", "KEY")) {
      const key = wordsAt(tokens, i + 2, "(") ? namesInBrackets(tokens, i + 2) : [column];
      primaryKey.push(...key);
      uniqueKeys.push(key);
    } else if (wordsAt(tokens, i, "UNIQUE")) {
      uniqueKeys.push(wordsAt(tokens, i + 1, "(") ? namesInBrackets(tokens, i + 1) : [column]);
    } else if (wordsAt(tokens, i, "FOREIGN", "KEY")) {
      from = namesInBrackets(tokens, i + 2).length;
    } else if (wordsAt(tokens, i, "REFERENCES")) {
      const parent = nameOf(tokens[i + 1]) ?? "";
      const named = wordsAt(tokens, i + 2, "(") ? namesInBrackets(tokens, i + 2) : [];
      references.push({ parent, columns: named.length > 0 ? named : from });
    }
    if (wordsAt(tokens, i, "(")) i = closingBracket(tokens, i);
  }
  return { primaryKey, uniqueKeys, references };
}

/** The first name of each piece: a direction or a collation may stand behind it. */
function namesInBrackets(tokens: readonly Token[], opening: number): string[] {
  return piecesInBrackets(tokens, opening).map((at) => nameOf(tokens[at]) ?? "");
}

/** A unique index that foreign keys can go by: on columns alone, and on all rows. */
function uniqueIndex(tokens: readonly Token[]): { table: string; columns: string[] } | null {
  if (!wordsAt(tokens, 0, "CREATE", "UNIQUE", "INDEX")) return null;
  const opening = tokens.findIndex((_, index) => wordsAt(tokens, index, "("));
  const end = closingBracket(tokens, opening);
  if (opening < 0 || end + 1 < tokens.length) return null;
  const starts = piecesInBrackets(tokens, opening);
  const plain = starts.every((at, index) => {
    const behind = starts[index + 1] ?? end + 1;
    return behind - at === 2 || (behind - at === 3 && /^(ASC|DESC)$/.test(tokens[at + 1]?.value ?? ""));
  });
  const table = nameOf(tokens[opening - 1]);
  return plain && table !== null ? { table: folded(table), columns: namesInBrackets(tokens, opening) } : null;
}

export function lostParentHazards(lost: readonly LostParent[]): Hazard[] {
  return lost.map(({ child, parent, columns, parentExists }) => {
    const key = typeof columns === "number" ? "its primary key" : columns.join(", ");
    const why = parentExists ? `in which ${key} is not unique` : "which does not exist";
    return {
      kind: "lost-parent",
      table: child,
      count: null,
      detail: `A foreign key of this table refers to ${parent}, ${why}. D1 refuses to import any row of this table; sqlite3 does not. The commands in RESTORE.md create a placeholder first and drop it at the end. Rows that do refer to something there are still refused.`,
    };
  });
}
