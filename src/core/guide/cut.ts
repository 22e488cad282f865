import type { Misread } from "../dump/shell-lines.ts";
import { AWK } from "./shell.ts";

/** The parts of the dump: every statement goes into one of these files, as D1 wrote it. */
export const PARTS = ["tables", "rows", "indexes", "views", "triggers"] as const;
export type Part = (typeof PARTS)[number];

export const fileOf = (part: Part): string => `${part}.sql`;

/** The file of a part for the sqlite3 program, in which it reads the lines as SQLite does. */
export function shellFileOf(part: Part, misread: Misread): string {
  return partsForShell(misread).includes(part) ? `${part}-shell.sql` : fileOf(part);
}

function partsForShell(misread: Misread): Part[] {
  return PARTS.filter((part) => misread === "schema and rows" || (misread === "schema" && part !== "rows"));
}

export interface Cutting {
  /** The file to cut. */
  readonly source: string;
  /** The parts that are written a second time, for the sqlite3 program. */
  readonly misread: Misread;
  /** A name that no table has. */
  readonly spareName: string;
}

/**
 * Cuts a dump by SQLite's own rule for where a statement ends, in awk, which every machine has. This needs no facts about
 * the dump, so lean backups are restored in the same way.
 *
 * - A row is recognized by its beginning and by balanced quotes at its end, and copied. Only the schema is parsed: its
 *   quotes, comments and triggers.
 * - If a comment at the end of a statement has swallowed the semicolon, one is added after it.
 * - sqlite_sequence is created before it is emptied: without AUTOINCREMENT, nothing else would create it.
 */
export function cutCommands({ source, misread, spareName }: Cutting): string[] {
  const sizes = PARTS.map((part) => `$(wc -c < ${fileOf(part)})`).join(" + ");
  return [
    `${AWK} '`,
    ...PUT(misread),
    ...SCAN,
    ...MAIN(misread, spareName),
    `' ${source} > cut.size`,
    `[ $((${sizes})) -eq "$(cat cut.size)" ] || { echo 'The parts of ${source} are incomplete: stop here.' >&2; false; }`,
  ];
}

/** Writes a line to its part. */
const PUT = (misread: Misread): string[] => [
  "  function put(t) {",
  '    print t > (part ".sql"); size += length(t) + 1',
  ...(misread === "schema" ? ['    if (part == "rows") return'] : []),
  ...(misread === "nothing" ? [] : SHELL),
  "  }",
];

/**
 * For the sqlite3 program: joins a line that it would take for the end of a statement to the line before, and doubles a
 * carriage return before a line feed, because the program drops one.
 */
const SHELL = [
  String.raw`    printf "%s%s", joined ? " " : before[part] ~ /\r$/ ? "\r\n" : "\n", t > (part "-shell.sql")`,
  "    before[part] = t; joined = 0",
];

/** Reads a line, starting in the state after the last one. True if the statement ends with it. */
const SCAN = [
  "  function ends(t, c, i) {",
  "    comment = 0",
  "    for (;;) {",
  '      if (quote != "") {',
  "        i = index(t, quote); if (!i) return 0",
  '        t = substr(t, i + length(quote)); quote = ""',
  "      }",
  String.raw`      if (part == "triggers" ? !match(t, /[^ \t\f\r]/) : !match(t, /["\047${"`"}[;]|--|\/\*/)) return 0`,
  "      t = substr(t, RSTART); c = substr(t, 1, 1)",
  '      if (substr(t, 1, 2) == "--") { comment = 1; return 0 }',
  '      if (substr(t, 1, 2) == "/*") { quote = "*/"; t = substr(t, 3); continue }',
  '      if (c == ";" && (part != "triggers" || last == "; END")) return 1',
  String.raw`      i = match(t, /^[^][ \t\f\r"\047${"`"};()*\/,.<>=|&+%!~?:@#-]+/) ? RLENGTH : 1`,
  '      last = substr(last, index(last, " ") + 1) " " toupper(substr(t, 1, i)); t = substr(t, i + 1)',
  String.raw`      if (index("\"\047${"`"}", c)) quote = c; else if (c == "[") quote = "]"`,
  "    }",
  "  }",
];

const MAIN = (misread: Misread, spareName: string): string[] => {
  const shellFiles = partsForShell(misread).map((part) => `"${shellFileOf(part, misread)}"`);
  const files = [...PARTS.map((part) => `"${fileOf(part)}"`), ...shellFiles];
  const sequence = String.raw`CREATE TABLE ${spareName} (a INTEGER PRIMARY KEY AUTOINCREMENT);\nDROP TABLE ${spareName};`;
  return [
    "  function unhold() {",
    '    put(substr(held, 1, length(held) - 1)); holding = within = 0; put(";")',
    "  }",
    `  BEGIN { ${files.map((file) => `printf "" > ${file}`).join("; ")} }`,
    "  holding && (/^CREATE (TABLE|INDEX|UNIQUE INDEX|VIEW|TRIGGER) / ||",
    '    part == "tables" && /^(INSERT INTO |DELETE FROM sqlite_sequence;|ANALYZE sqlite_schema;)/) { unhold() }',
    "  holding { put(held); holding = 0 }",
    `  !within && /^DELETE FROM sqlite_sequence;$/ { part = "tables"; put("${sequence}") }`,
    "  !within {",
    '    part = /^CREATE TABLE / ? "tables" : /^CREATE (UNIQUE )?INDEX / ? "indexes" : \\',
    '      /^CREATE VIEW / ? "views" : /^CREATE TRIGGER / ? "triggers" : "rows"',
    '    quote = ""; last = "x x"; comment = 0',
    "  }",
    String.raw`  !within && /\);$/ && match($0, /^INSERT INTO "([^"]|"")*" (\("([^"]|"")*"(,"([^"]|"")*")*\) )?VALUES\(/) {`,
    String.raw`    t = substr($0, RLENGTH); if (gsub(/\047/, "\047", t) % 2 == 0) { put($0); next }`,
    "  }",
    ...(misread === "nothing" ? [] : JOINED),
    "  {",
    "    within = !ends($0)",
    '    if (within && comment && part != "triggers" && /;$/) { held = $0; holding = 1 } else put($0)',
    "  }",
    `  END { if (holding) unhold(); ${shellFiles.map((file) => String.raw`printf "\n" > ${file}; `).join("")}printf "%.0f\\n", size }`,
  ];
};

const JOINED = [
  "  {",
  String.raw`    t = $0; gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", t); sub(/--.*/, "", t)`,
  String.raw`    joined = within && quote == "" && !comment && part != "triggers" && t ~ /^[ \t\v\f\r]*(\/|[gG][oO])[ \t\v\f\r]*$/`,
  "  }",
];
