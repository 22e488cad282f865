import { concat, DASH, LF, NOTHING, SEMICOLON, SLASH, SPACE, STAR, startsWith, WORD } from "./sql-bytes.ts";
import { HEAD_BYTES, opensStatement, readHead, type StatementKind } from "./statement-head.ts";
import { ValueMarks } from "./value-marks.ts";

/**
 * Called once at the end of each statement. `table` is null unless `kind` names one. The statement begins at
 * `start`, counted from the beginning of the stream, right behind the one before and its line feed, and goes on
 * for `bytes` to its semicolon, or to the next statement when it has none. `marks` are bits: those of
 * value-marks.ts, for INSERTs only, UNENDED_MARK and FOREIGN_MARK. `replacements`: how many replacement characters
 * (U+FFFD) it holds.
 */
export type StatementSink = (
  kind: StatementKind,
  table: string | null,
  start: number,
  bytes: number,
  marks: number,
  replacements: number,
) => void;

/** The statement's semicolon stands in its own comment, and the next statement, or the end, follows all the same. */
export const UNENDED_MARK = 8;

/** No dump of this kind holds the statement, or something stands between it and the one before. */
export const FOREIGN_MARK = 32;

/** The statements that a kind of dump may hold. */
export interface StatementSet {
  /**
   * `head`: the statement's first HEAD_BYTES, or all of it, its semicolon included. `at`: where it begins in the stream.
   * Not asked about a row that begins as the one before.
   */
  holds(kind: StatementKind, head: Uint8Array, at: number): boolean;
  /** A row has no line feed outside quotes: behind one stands something that swallows the next statement. */
  readonly rowsAreLines: boolean;
}

const ANYTHING: StatementSet = { holds: () => true, rowsAreLines: false };

type Mode = "plain" | "'" | '"' | "`" | "]" | "line-comment" | "block-comment";

/** What we know of the statement under way. The last four only matter for CREATE TRIGGER. */
type Form = "none" | "keyword" | "ordinary" | "create" | "trigger" | "trigger-semicolon" | "trigger-end";

const LONGEST_KEYWORD = "TEMPORARY".length;

/**
 * Cuts a SQL dump into statements, byte by byte, without ever holding one.
 *
 * The rule for where a statement ends is SQLite's own (sqlite3_complete): a semicolon outside quotes and
 * comments, except inside CREATE TRIGGER, which ends at `; END ;`. Everything else is passed over, so text may
 * hold any bytes at all. Of each statement only the head is looked at, enough to name the table of an INSERT
 * or a CREATE TABLE, and the bare words, which the values of an INSERT are when they are numbers.
 *
 * One thing SQLite would not take for an end. It keeps a line comment at the end of a view, an index or a table
 * with options without the line break behind it, so that D1 writes the semicolon into the comment. Such a statement
 * ends where the next line begins another one.
 */
export class StatementScanner {
  readonly #sink: StatementSink;
  readonly #set: StatementSet;
  #mode: Mode = "plain";
  #form: Form = "none";
  /** A statement just ended; a line feed directly behind it still belongs to it. */
  #ended = false;
  /** Bytes of this stream before the current chunk. */
  #base = 0;
  /** Where the statement under way begins in this stream. */
  #start = 0;
  readonly #marks = new ValueMarks();
  /** Bytes behind a comment that ends in a semicolon, too few to tell whether they begin a statement; null elsewhere. */
  #held: Uint8Array | null = null;
  #dashAt = -2;
  #slashAt = -2;
  #starAt = -2;
  #lastByte = 0;
  #word = "";
  /** Something that is no statement stands behind the last one. */
  #stray = false;
  /** The statement under way goes on behind a line feed outside quotes. */
  #severalLines = false;
  #head: Uint8Array = NOTHING;
  #knownHead: Uint8Array = NOTHING;
  #knownTable: string | null = null;
  #headIsKnown = false;

  /** Statements that `set` does not hold are marked; so are those before which something else stands. */
  constructor(sink: StatementSink, set: StatementSet = ANYTHING) {
    this.#sink = sink;
    this.#set = set;
  }

  /** True when every statement seen so far is whole: nothing but white space or comments after the last. */
  get betweenStatements(): boolean {
    return this.#form === "none" && (this.#mode === "plain" || this.#mode === "line-comment");
  }

  /** True when something that is no statement stands behind the last one, such as a comment. */
  get endsInStray(): boolean {
    return this.#form === "none" && this.#stray;
  }

  /** True inside a block comment that is not closed so far. */
  get inBlockComment(): boolean {
    return this.#mode === "block-comment";
  }

  /** True when the last statement seen is whole but for its semicolon, which stands in a line comment at its end. */
  get endsInCommentedSemicolon(): boolean {
    if (this.#held !== null) return this.#held.length === 0;
    return this.#form === "ordinary" && this.#mode === "line-comment" && this.#lastByte === SEMICOLON;
  }

  /**
   * Reads `chunk`, and returns null when all of it was taken. With `cutFrom`, it stops at the first statement
   * boundary (the line feed behind the semicolon included) whose semicolon stands at that index or later, and
   * returns where: always the same place, however the stream is cut into chunks. A boundary whose semicolon a
   * comment has swallowed is passed over, because it is known only when bytes behind it have been seen.
   */
  scan(chunk: Uint8Array, cutFrom = Infinity): number | null {
    const held = this.#held;
    if (held === null) return this.#scan(chunk, cutFrom, false);
    this.#held = null;
    const cut = this.#scan(held.length === 0 ? chunk : concat(held, chunk), cutFrom + held.length, true);
    return cut === null ? null : cut - held.length;
  }

  /** `undecided`: the chunk begins behind a comment that ends in a semicolon. */
  #scan(chunk: Uint8Array, cutFrom: number, behindComment: boolean): number | null {
    let undecided = behindComment;
    let headStart = 0;
    let i = 0;
    let end = chunk.length;
    this.#marks.enter(chunk);
    while (i < end) {
      if (this.#ended) {
        this.#ended = false;
        const cut = i > cutFrom;
        if (chunk[i] === LF) i++;
        this.#start = this.#base + i;
        if (cut) {
          this.#base += i;
          return i;
        }
        headStart = i;
        continue;
      }
      if (undecided) {
        const begins = opensStatement(chunk.subarray(i), this.#headAt(chunk, headStart, i));
        if (begins === null) {
          end = i;
          break;
        }
        undecided = false;
        if (begins) {
          this.#finish(chunk, headStart, i, UNENDED_MARK);
          this.#start = this.#base + i;
          headStart = i;
        }
        continue;
      }
      if (this.#mode === "line-comment") {
        const lineEnd = chunk.indexOf(LF, i);
        if (lineEnd < 0) break;
        const before = lineEnd === 0 ? this.#lastByte : chunk[lineEnd - 1];
        undecided = this.#form === "ordinary" && before === SEMICOLON;
        this.#severalLines = true;
        this.#mode = "plain";
        i = lineEnd + 1;
        continue;
      }
      if (this.#mode !== "plain") {
        i = this.#skipQuoted(chunk, i);
        continue;
      }
      if (this.#form === "none") {
        while (i < end && SPACE[chunk[i] ?? 0] === 1) i++;
        if (i >= end) break;
        const first = chunk[i] ?? 0;
        if (WORD[first] === 1) {
          this.#stray ||= this.#base + i !== this.#start;
          headStart = i;
          const known = this.#knownHead.length;
          if (known > 0 && end - i > known && startsWith(chunk, i, this.#knownHead)) {
            this.#headIsKnown = true;
            this.#form = "ordinary";
            i += known;
          } else {
            this.#form = "keyword";
          }
          continue;
        }
        this.#stray = true;
      } else if (this.#form === "ordinary") {
        i = this.#marks.passWords(chunk, i);
        if (i >= end) break;
      } else {
        i = this.#readWord(chunk, i);
        if (i >= end) break;
      }
      i = this.#special(chunk, i);
      if (this.#ended) this.#finish(chunk, headStart, i);
    }
    if (undecided) this.#held = chunk.slice(end);
    if (this.#form !== "none" && !this.#headIsKnown) this.#head = this.#headAt(chunk, headStart, end);
    this.#marks.passCharacters(chunk, end);
    this.#marks.leave(chunk.subarray(0, end));
    this.#base += end;
    this.#lastByte = chunk[end - 1] ?? this.#lastByte;
    return null;
  }

  /** Counts a last statement whose semicolon is commented out, which ends with the dump. */
  end(): void {
    if (!this.endsInCommentedSemicolon) return;
    this.#held = null;
    this.#finish(NOTHING, 0, 0, UNENDED_MARK);
  }

  /** Handles the one byte at `i`, outside quotes and comments; returns the index behind it. */
  #special(chunk: Uint8Array, i: number): number {
    const byte = chunk[i] ?? 0;
    const at = this.#base + i;
    switch (byte) {
      case SEMICOLON:
        if (this.#form === "trigger") this.#form = "trigger-semicolon";
        else if (this.#form !== "trigger-semicolon") this.#ended = this.#form !== "none";
        return i + 1;
      case 39:
        this.#mode = "'";
        break;
      case 34:
        this.#mode = '"';
        break;
      case 96:
        this.#mode = "`";
        break;
      case 91:
        this.#mode = "]";
        break;
      case DASH:
        if (this.#dashAt === at - 1) {
          this.#mode = "line-comment";
          this.#dashAt = -2;
        } else {
          this.#dashAt = at;
        }
        return i + 1;
      case SLASH:
        this.#slashAt = at;
        return i + 1;
      case STAR:
        if (this.#slashAt === at - 1) {
          this.#mode = "block-comment";
          this.#starAt = -2;
        }
        return i + 1;
      default:
        if (SPACE[byte] === 1) {
          this.#severalLines ||= byte === LF;
          return i + 1;
        }
    }
    // Something that is neither white space nor a comment: a statement is under way, and `; END` is no end.
    if (this.#form === "none" || this.#form === "create") this.#form = "ordinary";
    else if (this.#form === "trigger-semicolon" || this.#form === "trigger-end") this.#form = "trigger";
    return i + 1;
  }

  /** Moves through text, a quoted name or a block comment; returns the index behind its end, or behind the chunk. */
  #skipQuoted(chunk: Uint8Array, from: number): number {
    if (this.#mode === "block-comment") {
      for (let i = from; i < chunk.length; i++) {
        if (chunk[i] === STAR) this.#starAt = this.#base + i;
        else if (chunk[i] === SLASH && this.#starAt === this.#base + i - 1) {
          this.#mode = "plain";
          return i + 1;
        }
      }
      return chunk.length;
    }
    const quote = this.#mode.charCodeAt(0);
    let i = from;
    for (;;) {
      // Most text is short: a plain loop first, the platform's search for what is long.
      const near = Math.min(chunk.length, i + 64);
      while (i < near && chunk[i] !== quote) i++;
      if (i === near) {
        const found = chunk.indexOf(quote, i);
        if (found < 0) return chunk.length;
        i = found;
      }
      // A doubled quote. One that is cut leaves here and enters again with the next byte, which comes to the same.
      if (chunk[i + 1] !== quote) break;
      i += 2;
    }
    this.#mode = "plain";
    return i + 1;
  }

  /** Collects a keyword where keywords matter, and applies it once the byte behind it is seen. */
  #readWord(chunk: Uint8Array, from: number): number {
    let i = from;
    while (i < chunk.length && WORD[chunk[i] ?? 0] === 1) {
      if (this.#word.length <= LONGEST_KEYWORD) this.#word += String.fromCharCode(chunk[i] ?? 0);
      i++;
    }
    if (i >= chunk.length || this.#word === "") return i;
    const word = this.#word.toUpperCase();
    this.#word = "";
    switch (this.#form) {
      case "keyword":
        this.#form = word === "CREATE" ? "create" : "ordinary";
        break;
      case "create":
        if (word === "TRIGGER") this.#form = "trigger";
        else if (word !== "TEMP" && word !== "TEMPORARY") this.#form = "ordinary";
        break;
      case "trigger-semicolon":
        this.#form = word === "END" ? "trigger-end" : "trigger";
        break;
      case "trigger-end":
        this.#form = "trigger";
        break;
      default:
    }
    return i;
  }

  /** The head of the statement under way, of which this chunk holds what stands from `from` to `to`. */
  #headAt(chunk: Uint8Array, from: number, to: number): Uint8Array {
    const room = HEAD_BYTES - this.#head.length;
    return room <= 0 ? this.#head : concat(this.#head, chunk.subarray(from, Math.min(to, from + room)));
  }

  /** Tells of the statement that ends before `end` in this chunk, and of which its head begins at `headStart` or earlier. */
  #finish(chunk: Uint8Array, headStart: number, end: number, unended = 0): void {
    this.#marks.passCharacters(chunk, end);
    const { marks, replacements } = this.#marks.take();
    const bytes = this.#base + end - this.#start;
    const stray = this.#stray ? FOREIGN_MARK : 0;
    const row = this.#severalLines && this.#set.rowsAreLines ? FOREIGN_MARK : 0;
    if (this.#headIsKnown) {
      const all = marks | unended | stray | row;
      this.#sink("insert", this.#knownTable, this.#start, bytes, all, replacements);
    } else {
      const head = this.#headAt(chunk, headStart, end);
      const { kind, table, length } = readHead(head);
      const foreign = this.#set.holds(kind, head, this.#start) ? stray : FOREIGN_MARK;
      if (length > 0) {
        this.#knownHead = head.slice(0, length);
        this.#knownTable = table;
      }
      const ofRow = kind === "insert" ? marks | row : 0;
      this.#sink(kind, table, this.#start, bytes, ofRow | unended | foreign, replacements);
      this.#head = NOTHING;
    }
    this.#stray = false;
    this.#severalLines = false;
    this.#headIsKnown = false;
    this.#form = "none";
  }
}
