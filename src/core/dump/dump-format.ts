import type { Failure } from "../failure.ts";
import type { StatementKind } from "../sql/statement-head.ts";
import type { StatementSet } from "../sql/statements.ts";

/**
 * What a kind of dump consists of. Its statements are a closed set: whatever else stands in a dump was written there by
 * something that went wrong, and may have swallowed rows.
 */
export interface DumpFormat extends StatementSet {
  /** The first line of every such dump, without its line feed. */
  readonly firstLine: Uint8Array;
}

const utf8 = new TextEncoder();

/** The program that D1's dumps share with miniflare writes these statements letter by letter. */
const FIRST_LINE = "PRAGMA defer_foreign_keys=TRUE;";
const BOOKKEEPING = ["DELETE FROM sqlite_sequence;", "ANALYZE sqlite_schema;"];

/** These it takes from the schema, as SQLite has kept them. A virtual table is none of them. */
const OF_SCHEMA: readonly StatementKind[] = ["create-table", "index", "trigger", "view"];

/** A row, as far as a statement's head tells: the table's name may be longer than that. */
const ROW = /^INSERT INTO "(?:[^"]|"")*(?:$|"(?:$| (?:$|\((?:$|"))))/;

/** D1's own format: the one that its exports have by default. */
export const D1_FORMAT: DumpFormat = {
  firstLine: utf8.encode(FIRST_LINE),
  rowsAreLines: true,
  holds(kind, head, at) {
    if (OF_SCHEMA.includes(kind)) return true;
    const text = new TextDecoder().decode(head);
    if (kind === "insert") return ROW.test(text);
    return BOOKKEEPING.includes(text) || (at === 0 && text === FIRST_LINE);
  },
};

/** The first statement that no dump of its format holds: its ordinal, from 1, in its volume, and where it stands. */
export interface ForeignStatement {
  readonly ordinal: number;
  readonly offset: number;
}

/** A lean backup stores what it gets: nobody shall be without any backup because D1's format has changed. */
const WHAT_NEXT =
  "If there is an error message, contact Cloudflare's support; if D1's format has changed, look for a newer release of d1-nightly. Until then, lean backups (the policy's lean) store the dump without looking into it.";

/** `statementsBefore`: how many the volumes before hold. What the statement says may be anything, and is not told. */
export function foreignStatement({ ordinal, offset }: ForeignStatement, statementsBefore: number): Failure {
  return {
    code: "dump-foreign-statement",
    detail: `Statement ${statementsBefore + ordinal} of the dump, at byte ${offset}, is not one that D1 writes into its dumps. Rows or parts of the schema may be missing there.`,
    hint: `The run makes another export, once. If this persists, look at that place in the output of \`wrangler d1 export\`. ${WHAT_NEXT}`,
    retryable: true,
  };
}

/** What stands behind the last statement is a comment, or nothing that ends. */
export function strayEnd(): Failure {
  return {
    code: "dump-foreign-statement",
    detail: "After its last statement, the dump has something that D1 does not write into its dumps.",
    hint: `The run makes another export, once. If this persists, look at the end of the output of \`wrangler d1 export\`. ${WHAT_NEXT}`,
    retryable: true,
  };
}
