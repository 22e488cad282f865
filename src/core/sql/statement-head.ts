import { bytesOf, startsWith, WORD } from "./sql-bytes.ts";

/** What a statement of a dump is, as far as anybody asks. */
export type StatementKind = "insert" | "create-table" | "index" | "trigger" | "view" | "other";

export interface StatementHead {
  readonly kind: StatementKind;
  /** Of an INSERT or a CREATE TABLE; null when its name is not in the head. */
  readonly table: string | null;
  /** How many bytes any statement of this kind on the same table begins with; 0 when they cannot be relied on. */
  readonly length: number;
}

/** A statement is known by so many bytes: rows of a table with a longer name count as nobody's. */
export const HEAD_BYTES = 4096;

const GAP = String.raw`(?:[ \t\n\f\r]|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)`;
const WORD_END = String.raw`(?![\w$\u0080-\uffff])`;
const INSERT = new RegExp(`^INSERT${GAP}+INTO${GAP}*`, "i");
const CREATE = new RegExp(
  `^CREATE${GAP}+(?:TEMP(?:ORARY)?${GAP}+)?(?:UNIQUE${GAP}+)?(TABLE|INDEX|TRIGGER|VIEW)${WORD_END}${GAP}*` +
    `(?:IF${GAP}+NOT${GAP}+EXISTS${WORD_END}${GAP}*)?`,
  "i",
);
const NAME = new RegExp(
  String.raw`^(?:"((?:[^"]|"")*)"(?!")|'((?:[^']|'')*)'(?!')|` +
    "`((?:[^`]|``)*)`(?!`)" +
    String.raw`|\[([^\]]*)\]|([\w$\u0080-\uffff]+))`,
);
/** How D1 goes on behind the table's name: the same for all of its rows. */
const COLUMNS = /^ \("(?:[^"]|"")*"(?:,"(?:[^"]|"")*")*\) VALUES\(/;
const SPACE_OR_PARENTHESIS = /^[ \t\n\f\r(]/;

const KINDS: Readonly<Record<string, StatementKind>> = {
  TABLE: "create-table",
  INDEX: "index",
  TRIGGER: "trigger",
  VIEW: "view",
};

/** What a statement is, from its first bytes: all of it, or the first HEAD_BYTES. */
export function readHead(head: Uint8Array): StatementHead {
  const text = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(head);
  const insert = INSERT.exec(text);
  const create = insert === null ? CREATE.exec(text) : null;
  const kind = insert === null ? (KINDS[create?.[1]?.toUpperCase() ?? ""] ?? "other") : "insert";
  if (kind !== "insert" && kind !== "create-table") return { kind, table: null, length: 0 };
  const opening = (insert ?? create)?.[0] ?? "";
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
  return { kind, table, length: kind === "insert" ? repeated(text, opening + whole) : 0 };
}

function repeated(text: string, named: string): number {
  const behind = text.slice(named.length);
  // At least one byte more than the name, so that a longer name that begins alike is not taken for this one.
  const more = COLUMNS.exec(behind)?.[0] ?? SPACE_OR_PARENTHESIS.exec(behind)?.[0] ?? "";
  const opening = named + more;
  // What was not UTF-8 has not been decoded to what it was.
  return more === "" || opening.includes("\ufffd") ? 0 : bytesOf(opening).length;
}

/** A reserved word, with which nothing can go on. */
const CREATE_WORD = bytesOf("CREATE");
/** Behind a table only, whose definition cannot go on like this. */
const BEHIND_TABLE = ["INSERT INTO ", "DELETE FROM sqlite_sequence;", "ANALYZE sqlite_schema;"].map(bytesOf);
const TABLE = bytesOf("CREATE TABLE ");

/**
 * Whether a line of D1's dump opens a statement, when the one of this head may have ended with the line before.
 * Null when there are too few bytes of the line to tell.
 */
export function opensStatement(line: Uint8Array, head: Uint8Array): boolean | null {
  if (agree(line, CREATE_WORD)) {
    const behind = line[CREATE_WORD.length];
    return behind === undefined ? null : WORD[behind] === 0;
  }
  const opening = BEHIND_TABLE.find((bytes) => agree(line, bytes));
  if (opening === undefined || !startsWith(head, 0, TABLE)) return false;
  return line.length < opening.length ? null : true;
}

/** Whether two pieces of text are the same as far as both go. */
function agree(a: Uint8Array, b: Uint8Array): boolean {
  return startsWith(a, 0, b.subarray(0, a.length));
}
