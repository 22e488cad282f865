import { z } from "zod";
import type { Failure } from "./failure.ts";
import type { StatementKind } from "./statements.ts";

/** The first line of every dump that D1 makes. */
export const FIRST_LINE = new TextEncoder().encode("PRAGMA defer_foreign_keys=TRUE;");

/** Compares a dump's first bytes with D1's first line, whatever pieces they come in. */
export class OpeningCheck {
  #seen = 0;
  #wrong = false;

  take(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length && this.#seen < FIRST_LINE.length; i++, this.#seen++) {
      if (bytes[i] !== FIRST_LINE[this.#seen]) this.#wrong = true;
    }
  }

  /** A failure as soon as a byte differs, or when the dump ended before the line did. */
  failure(atEnd: boolean): Failure | null {
    if (!this.#wrong && (!atEnd || this.#seen === FIRST_LINE.length)) return null;
    return {
      code: "dump-not-from-d1",
      detail: "What the address gave does not begin as D1's dumps do.",
      hint: "Is a proxy or an error page in between? The bytes were not stored.",
      retryable: true,
    };
  }
}

/** The first line of every age file. */
const AGE_FIRST_LINE = new TextEncoder().encode("age-encryption.org/v1\n");

/** Whether an object begins as an age file does, by its first 64 bytes. */
export function opensAsAge(opening: Uint8Array): boolean {
  return AGE_FIRST_LINE.every((byte, index) => opening[index] === byte);
}

export function incompleteStatement(): Failure {
  return {
    code: "dump-incomplete-statement",
    detail: "The dump has the stated size but ends inside a statement.",
    hint: "D1 wrote it short. Try again; if it stays, tell Cloudflare's support.",
    retryable: true,
  };
}

const count = z.number().int().nonnegative();

/** What the scanner has seen of a dump, from its beginning to the end of the last finished volume. */
export const scannedSchema = z.object({
  /** Rows per table, in the order in which the dump creates the tables. */
  rows: z.array(z.tuple([z.string(), count])),
  /** Statements per kind of hazard and table. */
  marks: z.array(z.tuple([z.enum(["oversize", "nul", "infinity", "rounded"]), z.string().nullable(), count])),
  /** Where the first statement of each part stands in the dump; null when there is none so far. */
  starts: z.object({
    indexes: count.nullable(),
    triggers: count.nullable(),
    views: count.nullable(),
  }),
  /** Where a semicolon is missing because a comment has swallowed it. */
  missingSemicolons: z.array(count),
});
export type Scanned = z.infer<typeof scannedSchema>;

export const NOTHING_SCANNED: Scanned = {
  rows: [],
  marks: [],
  starts: { indexes: null, triggers: null, views: null },
  missingSemicolons: [],
};

/** Counts what the scanner sees, from where the volumes before have left off. */
export class Tally {
  statements = 0;
  readonly #rows: Map<string, number>;
  readonly #before: Scanned;

  constructor(before: Scanned) {
    this.#before = before;
    this.#rows = new Map(before.rows);
  }

  readonly count = (kind: StatementKind, table: string | null): void => {
    this.statements++;
    if (kind === "other" || table === null || isInternal(table)) return;
    this.#rows.set(table, (this.#rows.get(table) ?? 0) + (kind === "insert" ? 1 : 0));
  };

  get scanned(): Scanned {
    return { ...this.#before, rows: [...this.#rows] };
  }
}

/** SQLite's own bookkeeping tables are part of the dump but nobody's data. */
function isInternal(table: string): boolean {
  return table.toLowerCase().startsWith("sqlite_");
}
