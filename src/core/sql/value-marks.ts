import { byteSet, bytesOf, concat, indexOfNul, NOTHING, plainLength } from "./sql-bytes.ts";

/** What a row's INSERT may hold that does not come back as it was, one bit each; statements.ts has two more, 8 and 32. */
export const NUL_MARK = 1;
export const INFINITY_MARK = 2;
export const ROUNDED_MARK = 4;
export const REPLACED_MARK = 16;

/** Of a byte outside quotes and comments: counts as a digit of a row of up to 31. */
const DIGIT = 31;
/** Stands in a number that is infinite: 9e999, 9.0e+999, Infinity. */
const LETTER = 32;
/** Ends a word, and may begin a quote or a comment, or end the statement or the line. */
const SPECIAL = 64;
/** Ends a word and does no more. */
const GAP = 128;
const MEANING = byteSet("0123456789", DIGIT);
for (const [meaning, bytes] of [
  [LETTER, "eEI"],
  [SPECIAL, "'\"`[;-/*\n"],
  [GAP, " \t\f\r,()"],
] as const) {
  for (const byte of bytesOf(bytes)) MEANING[byte] = meaning;
}

/** 2^53 - 1, up to which no integer has been rounded. */
const LARGEST_EXACT = bytesOf("9007199254740991");
/** SQLite's largest integer as D1 writes it; what is larger has been a floating-point number all along. */
const LARGEST_INTEGER = bytesOf("9223372036854776000");

/** No longer word is looked at: nobody writes a number like that. */
const LONGEST_WORD = 64;

/** U+FFFD, the replacement character, in UTF-8. */
const REPLACEMENT = [0xef, 0xbf, 0xbd] as const;

const ZERO = 48;
const NINE = 57;
const PLUS = 43;
const UPPER_I = 73;

/** Marks a statement by its bytes, while a scanner moves through it, whatever chunks they come in. */
export class ValueMarks {
  #marks = 0;
  /** Where the next NUL stands in the chunk; below 0 when there is none. */
  #nul = -1;
  /** Where the next replacement character ends in the chunk; below 0 when none does. */
  #replacement = -1;
  #replacements = 0;
  /** How many bytes of a replacement character end the chunk before. */
  #replacementBegun = 0;
  /** A bare word that the chunk before has begun. */
  #begun: Uint8Array = NOTHING;

  /** To be called with each chunk first. */
  enter(chunk: Uint8Array): void {
    const plain = plainLength(chunk);
    this.#nul = indexOfNul(chunk, plain);
    this.#replacement = this.#endOfBegunReplacement(chunk);
    if (this.#replacement < 0) this.#replacement = endOfReplacement(chunk, plain);
  }

  /** What stands before `end`, and has not been passed, belongs to the statement under way. */
  passCharacters(chunk: Uint8Array, end: number): void {
    if (this.#nul >= 0 && this.#nul < end) {
      this.#marks |= NUL_MARK;
      this.#nul = indexOfNul(chunk, end);
    }
    while (this.#replacement >= 0 && this.#replacement < end) {
      this.#replacements++;
      this.#replacement = endOfReplacement(chunk, this.#replacement + 1);
    }
  }

  /** To be called with each chunk last: a character may go on in the next one. */
  leave(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const begun = this.#replacementBegun;
    // A chunk of one byte goes on with what the one before has begun.
    if (chunk.length === 1 && begun > 0 && chunk[0] === REPLACEMENT[begun])
      this.#replacementBegun = begun + 1;
    else this.#replacementBegun = begunReplacement(chunk);
    if (this.#replacementBegun === REPLACEMENT.length) this.#replacementBegun = 0;
  }

  /** Moves through bare words outside quotes and comments; returns where something special stands, or the chunk's end. */
  passWords(chunk: Uint8Array, from: number): number {
    const end = chunk.length;
    const start = this.#begun.length > 0 ? this.#goOnWithWord(chunk, from) : from;
    if (start >= end) return end;
    let i = start;
    for (;;) {
      let digits = 0;
      let meaning = 0;
      // One branch a byte: stops at a letter, at something special, and at the 16th digit in a row.
      for (; i < end; i++) {
        meaning = MEANING[chunk[i] ?? 0] ?? 0;
        digits = ((digits + 1) & meaning & DIGIT) | (meaning & (LETTER | SPECIAL));
        if (digits >= LARGEST_EXACT.length) break;
      }
      if (i >= end) break;
      if (meaning === SPECIAL) return i;
      let word = i;
      if (meaning === LETTER) word = wordStart(chunk, start, i);
      else {
        word = i + 1 - LARGEST_EXACT.length;
        if (word > start && MEANING[chunk[word - 1] ?? 0] !== GAP) {
          // Digits behind a point.
          i++;
          continue;
        }
      }
      i = wordEnd(chunk, i + 1);
      if (i >= end) break;
      this.#marks |= marksOfWord(chunk, word, i);
    }
    const word = wordStart(chunk, start, end);
    this.#begun = chunk.slice(word, Math.min(end, word + LONGEST_WORD + 1));
    return end;
  }

  /** The statement's marks; the next one has none. */
  take(): { marks: number; replacements: number } {
    const replacements = this.#replacements;
    const marks = replacements > 0 ? this.#marks | REPLACED_MARK : this.#marks;
    this.#marks = 0;
    this.#replacements = 0;
    return { marks, replacements };
  }

  #endOfBegunReplacement(chunk: Uint8Array): number {
    const begun = this.#replacementBegun;
    if (begun === 0) return -1;
    for (let i = begun; i < REPLACEMENT.length; i++) if (chunk[i - begun] !== REPLACEMENT[i]) return -1;
    return REPLACEMENT.length - begun - 1;
  }

  /** Takes the rest of a word, or all of the chunk when that has no end of it. */
  #goOnWithWord(chunk: Uint8Array, from: number): number {
    const end = wordEnd(chunk, from);
    // One byte more than the longest word is enough to tell it from them.
    const room = LONGEST_WORD + 1 - this.#begun.length;
    if (room > 0) this.#begun = concat(this.#begun, chunk.subarray(from, Math.min(end, from + room)));
    if (end < chunk.length) {
      this.#marks |= marksOfWord(this.#begun, 0, this.#begun.length);
      this.#begun = NOTHING;
    }
    return end;
  }
}

/** Where the next replacement character ends of those that begin at `from` or later; below 0 when there is none. */
function endOfReplacement(chunk: Uint8Array, from: number): number {
  const [first, second, third] = REPLACEMENT;
  for (let i = chunk.indexOf(first, from); i >= 0; i = chunk.indexOf(first, i + 1))
    if (chunk[i + 1] === second && chunk[i + 2] === third) return i + 2;
  return -1;
}

/** How many bytes of a replacement character, and not all of them, end the chunk. */
function begunReplacement(chunk: Uint8Array): number {
  const [first, second] = REPLACEMENT;
  if (chunk.at(-1) === first) return 1;
  return chunk.at(-2) === first && chunk.at(-1) === second ? 2 : 0;
}

function wordStart(chunk: Uint8Array, from: number, to: number): number {
  let i = to;
  while (i > from && (MEANING[chunk[i - 1] ?? 0] ?? 0) < SPECIAL) i--;
  return i;
}

function wordEnd(chunk: Uint8Array, from: number): number {
  let i = from;
  while (i < chunk.length && (MEANING[chunk[i] ?? 0] ?? 0) < SPECIAL) i++;
  return i;
}

/** The marks of a bare word, without its sign, that stands at `from` and ends before `to`. */
function marksOfWord(bytes: Uint8Array, from: number, to: number): number {
  const first = bytes[from] ?? 0;
  if (to - from > LONGEST_WORD) return 0;
  if (first === UPPER_I) return isInfinite(bytes, from, to) ? INFINITY_MARK : 0;
  if (first < ZERO || first > NINE) return 0;
  // Whoever writes an infinite number gives it an exponent of three digits.
  const behindExponent = bytes[to - 4] ?? 0;
  if (MEANING[behindExponent] === LETTER || behindExponent === PLUS) {
    return isInfinite(bytes, from, to) ? INFINITY_MARK : 0;
  }
  return isRounded(bytes, from, to) ? ROUNDED_MARK : 0;
}

function isInfinite(bytes: Uint8Array, from: number, to: number): boolean {
  return Number(String.fromCharCode(...bytes.subarray(from, to))) === Infinity;
}

function isRounded(bytes: Uint8Array, from: number, to: number): boolean {
  let start = from;
  while (bytes[start] === ZERO) start++;
  for (let i = start; i < to; i++) if (MEANING[bytes[i] ?? 0] !== DIGIT) return false;
  return compare(bytes, start, to, LARGEST_EXACT) > 0 && compare(bytes, start, to, LARGEST_INTEGER) <= 0;
}

/** Compares a whole number with another one, both without leading zeros. */
function compare(bytes: Uint8Array, from: number, to: number, other: Uint8Array): number {
  if (to - from !== other.length) return to - from - other.length;
  for (let i = 0; i < other.length; i++) {
    const difference = (bytes[from + i] ?? 0) - (other[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
