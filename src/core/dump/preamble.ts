import type { Failure } from "../failure.ts";

/** The first line of every dump that D1 makes. */
export const FIRST_LINE = new TextEncoder().encode("PRAGMA defer_foreign_keys=TRUE;");

/** Compares a dump's first bytes with D1's first line, whatever pieces they come in. */
export class PreambleCheck {
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
      detail: "The downloaded data does not begin like D1's dumps.",
      hint: "Check whether a proxy or an error page is in between. The data was not stored.",
      retryable: true,
    };
  }
}

export function incompleteStatement(): Failure {
  return {
    code: "dump-incomplete-statement",
    detail: "The dump has the stated size but ends inside a statement.",
    hint: "D1 wrote an incomplete dump. Try again; if this persists, contact Cloudflare's support.",
    retryable: true,
  };
}
