/**
 * Cuts a SQL dump into statements, byte by byte, without ever holding one.
 *
 * The rule for where a statement ends is SQLite's own (sqlite3_complete): a semicolon outside quotes and
 * comments, except inside CREATE TRIGGER, which ends at `; END ;`. Everything else is passed over, so text may
 * hold any bytes at all. Of each statement only the head is looked at: enough to name the table of an INSERT
 * or a CREATE TABLE.
 */
export type StatementKind = "insert" | "create-table" | "other";

/** Called once at the end of each statement. `table` is null unless `kind` names one. */
export type StatementSink = (kind: StatementKind, table: string | null) => void;

type Mode = "plain" | "'" | '"' | "`" | "]" | "line-comment" | "block-comment";

/** What we know of the statement under way. The last four only matter for CREATE TRIGGER. */
type Form = "none" | "keyword" | "ordinary" | "create" | "trigger" | "trigger-semicolon" | "trigger-end";

const LF = 10;
const SEMICOLON = 59;
const STAR = 42;
const SLASH = 47;
const DASH = 45;
const OPENING_PARENTHESIS = 40;

/** Bytes that can change the mode or end a statement; all others are skipped in the inner loop. */
const SPECIAL = byteSet("'\"`[;-/*");
const WORD = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$");
WORD.fill(1, 128);
const SPACE = byteSet(" \t\n\f\r");

/** A table's name beyond this many bytes into its statement is not looked for (its rows count as nobody's). */
const HEAD_BYTES = 4096;
const LONGEST_KEYWORD = "TEMPORARY".length;

export class StatementScanner {
  readonly #sink: StatementSink;
  #mode: Mode = "plain";
  #form: Form = "none";
  /** A statement just ended; a line feed directly behind it still belongs to it. */
  #ended = false;
  /** Bytes of this stream before the current chunk. */
  #base = 0;
  #dashAt = -2;
  #slashAt = -2;
  #starAt = -2;
  #lastByte = 0;
  #word = "";
  #head = new Uint8Array(0);
  #knownHead = new Uint8Array(0);
  #knownTable: string | null = null;
  #headIsKnown = false;

  constructor(sink: StatementSink) {
    this.#sink = sink;
  }

  /** True when every statement seen so far is whole: nothing but white space or comments after the last. */
  get betweenStatements(): boolean {
    return this.#form === "none" && (this.#mode === "plain" || this.#mode === "line-comment");
  }

  /**
   * True when the last byte was a semicolon inside a line comment. SQLite keeps a view's trailing comment without
   * the line break that ended it, so D1 writes the statement's semicolon into the comment.
   */
  get endsInCommentedSemicolon(): boolean {
    return this.#mode === "line-comment" && this.#lastByte === SEMICOLON;
  }

  /**
   * Reads `chunk`, and returns null when all of it was taken. With `cutFrom`, it stops at the first statement
   * boundary (the line feed behind the semicolon included) whose semicolon stands at that index or later, and
   * returns where: always the same place, however the stream is cut into chunks.
   */
  scan(chunk: Uint8Array, cutFrom = Infinity): number | null {
    let headStart = 0;
    let i = 0;
    const end = chunk.length;
    while (i < end) {
      if (this.#ended) {
        this.#ended = false;
        const cut = i > cutFrom;
        if (chunk[i] === LF) i++;
        if (cut) {
          this.#base += i;
          return i;
        }
        headStart = i;
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
      } else if (this.#form === "ordinary") {
        while (i < end && SPECIAL[chunk[i] ?? 0] === 0) i++;
        if (i >= end) break;
      } else {
        i = this.#readWord(chunk, i);
        if (i >= end) break;
      }
      i = this.#special(chunk, i);
      if (this.#ended) this.#finish(chunk.subarray(headStart, i));
    }
    if (this.#form !== "none" && !this.#headIsKnown && this.#head.length < HEAD_BYTES) {
      this.#head = concat(this.#head, chunk.subarray(headStart, headStart + HEAD_BYTES - this.#head.length));
    }
    this.#base += end;
    this.#lastByte = chunk[end - 1] ?? this.#lastByte;
    return null;
  }

  /** Counts a last statement whose semicolon is commented out, which ends with the dump. */
  end(): void {
    if (this.#form !== "none" && this.endsInCommentedSemicolon) this.#finish(new Uint8Array(0));
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
        if (SPACE[byte] === 1) return i + 1;
    }
    // Something that is neither white space nor a comment: a statement is under way, and `; END` is no end.
    if (this.#form === "none" || this.#form === "create") this.#form = "ordinary";
    else if (this.#form === "trigger-semicolon" || this.#form === "trigger-end") this.#form = "trigger";
    return i + 1;
  }

  /** Moves through text, a quoted name or a comment; returns the index behind its end, or behind the chunk. */
  #skipQuoted(chunk: Uint8Array, from: number): number {
    if (this.#mode === "line-comment") {
      const lineEnd = chunk.indexOf(LF, from);
      if (lineEnd < 0) return chunk.length;
      this.#mode = "plain";
      return lineEnd + 1;
    }
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
    // Most text is short: a plain loop first, the platform's search for what is long.
    const near = Math.min(chunk.length, from + 64);
    while (i < near && chunk[i] !== quote) i++;
    if (i === near) {
      const found = chunk.indexOf(quote, i);
      if (found < 0) return chunk.length;
      i = found;
    }
    // A doubled quote leaves here and enters again with the next byte, which comes to the same.
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

  #finish(tail: Uint8Array): void {
    if (this.#headIsKnown) {
      this.#sink("insert", this.#knownTable);
    } else {
      const head = concat(this.#head, tail.subarray(0, HEAD_BYTES - this.#head.length));
      const { kind, table, length } = readHead(head);
      if (kind === "insert" && table !== null) {
        this.#knownHead = head.slice(0, length);
        this.#knownTable = table;
      }
      this.#sink(kind, table);
      this.#head = new Uint8Array(0);
    }
    this.#headIsKnown = false;
    this.#form = "none";
  }
}

const INSERT_HEAD = /^INSERT\s+INTO\s+/i;
const CREATE_TABLE_HEAD = /^CREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?/i;
const NAME = /^(?:"((?:[^"]|"")+)"|'((?:[^']|'')+)'|`((?:[^`]|``)+)`|\[([^\]]+)\]|([\w$\u0080-\uffff]+))/;

/**
 * What a statement is, from its first bytes. `length` counts those that any statement on the same table begins
 * with; 0 when they cannot be relied on.
 */
function readHead(head: Uint8Array): { kind: StatementKind; table: string | null; length: number } {
  const text = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(head);
  const insert = INSERT_HEAD.exec(text)?.[0];
  const opening = insert ?? CREATE_TABLE_HEAD.exec(text)?.[0];
  if (opening === undefined) return { kind: "other", table: null, length: 0 };
  const kind = insert === undefined ? "create-table" : "insert";
  const name = NAME.exec(text.slice(opening.length));
  if (name === null) return { kind, table: null, length: 0 };
  const [whole, double, single, backtick, bracket, bare] = name;
  const table =
    double?.replaceAll('""', '"') ??
    single?.replaceAll("''", "'") ??
    backtick?.replaceAll("``", "`") ??
    bracket ??
    bare ??
    null;
  // One byte more than the name, so that a longer name that begins alike is not taken for this one.
  const length = new TextEncoder().encode(opening + whole).length + 1;
  const behind = head[length - 1] ?? 0;
  const repeatable = !whole.includes("\ufffd") && (SPACE[behind] === 1 || behind === OPENING_PARENTHESIS);
  return { kind, table, length: repeatable ? length : 0 };
}

function startsWith(chunk: Uint8Array, at: number, prefix: Uint8Array): boolean {
  for (let i = prefix.length - 1; i >= 0; i--) if (chunk[at + i] !== prefix[i]) return false;
  return true;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function byteSet(characters: string): Uint8Array {
  const set = new Uint8Array(256);
  for (const character of characters) set[character.charCodeAt(0)] = 1;
  return set;
}
