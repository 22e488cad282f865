import type { SchemaEntry } from "../d1/api.ts";
import type { Hazard } from "./hazards.ts";

/**
 * What the sqlite3 program reads otherwise than SQLite does. It takes a file line by line, and
 * - a line that holds only `/` or `go` (Oracle's and SQL Server's way) for the end of a statement that would be complete
 *   with a semicolon there: so nowhere in quotes, in a comment, behind a line comment, or in a trigger,
 * - a carriage return before a line feed for a part of the line's end.
 * A line that begins with `.` or `#` is a command or a comment of its own only where a statement begins; in a dump none
 * does, unless one was cut by the first of these.
 */
export interface ShellLines {
  /** Lines that it takes for the end of a statement. */
  readonly ends: number;
  /** Carriage returns that it leaves out; how many of them stand in a text or a name, and how many in a name. */
  readonly returns: number;
  readonly returnsInQuotes: number;
  readonly returnsInNames: number;
}

const QUOTED_OR_COMMENT =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\//g;
const LONE_END = /^[ \t\v\f\r]*(?:\/|go)[ \t\v\f\r]*(?:--)?$/i;

export function shellLines({ type, sql }: Pick<SchemaEntry, "type" | "sql">): ShellLines {
  const text = sql ?? "";
  const returns = text.match(/\r\n/g)?.length ?? 0;
  let returnsInQuotes = 0;
  let returnsInNames = 0;
  // Quotes become a letter and comments white space, so that what is left are lines as the program sees them.
  const plain = text.replace(QUOTED_OR_COMMENT, (piece) => {
    if (piece.startsWith("--")) return "--";
    if (piece.startsWith("/*")) return piece.includes("\n") ? "x" : " ";
    const inside = piece.match(/\r\n/g)?.length ?? 0;
    returnsInQuotes += inside;
    if (!piece.startsWith("'")) returnsInNames += inside;
    return "x";
  });
  const lines = plain.split("\n");
  const ends = lines.filter(
    (line, index) => index > 0 && LONE_END.test(line) && !(lines[index - 1] ?? "").includes("--"),
  );
  return { ends: type === "trigger" ? 0 : ends.length, returns, returnsInQuotes, returnsInNames };
}

/** What the commands of RESTORE.md have to see to: the names of tables and columns stand in each row, too. */
export const MISREAD = ["nothing", "schema", "schema and rows"] as const;
export type Misread = (typeof MISREAD)[number];

export function misreadByShell(schema: readonly SchemaEntry[]): Misread {
  const lines = schema.map((entry) => ({ type: entry.type, ...shellLines(entry) }));
  if (lines.some(({ type, returnsInNames }) => type === "table" && returnsInNames > 0))
    return "schema and rows";
  return lines.some(({ ends, returns }) => ends + returns > 0) ? "schema" : "nothing";
}

/** Told to whoever loads the dump in another way. */
export function shellHazards(schema: readonly SchemaEntry[]): Hazard[] {
  return schema.flatMap((entry) => {
    const { ends, returnsInQuotes } = shellLines(entry);
    const { name, type } = entry;
    const hazard = (count: number, what: string): Hazard[] =>
      count === 0
        ? []
        : [{ kind: "shell-lines", table: name, count, detail: `The ${type}'s SQL has ${what}` }];
    return [
      ...hazard(
        ends,
        "a line with only `/` or `go`, which the sqlite3 program takes for the end of the statement, so it cannot load the dump directly. The commands in RESTORE.md join that line to the one before.",
      ),
      ...hazard(
        returnsInQuotes,
        "a text or a name with a carriage return before a line break, which the sqlite3 program drops if it reads the dump directly. The commands in RESTORE.md keep it.",
      ),
    ];
  });
}
