import type { Failure } from "../failure.ts";
import type { DumpFormat } from "./dump-format.ts";

/** Compares a dump's first bytes with the first line of its format, whatever pieces they come in. */
export class PreambleCheck {
  readonly #firstLine: Uint8Array;
  #seen = 0;
  #wrong = false;

  constructor({ firstLine }: Pick<DumpFormat, "firstLine">) {
    this.#firstLine = firstLine;
  }

  take(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length && this.#seen < this.#firstLine.length; i++, this.#seen++) {
      if (bytes[i] !== this.#firstLine[this.#seen]) this.#wrong = true;
    }
  }

  /** A failure as soon as a byte differs, or when the dump ended before the line did. */
  failure(atEnd: boolean): Failure | null {
    if (!this.#wrong && (!atEnd || this.#seen === this.#firstLine.length)) return null;
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
