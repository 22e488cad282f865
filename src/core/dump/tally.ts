import { z } from "zod";
import { LONGEST_STATEMENT } from "../d1/limits.ts";
import type { StatementKind } from "../sql/statement-head.ts";
import { FOREIGN_MARK, type StatementSink, UNENDED_MARK } from "../sql/statements.ts";
import { INFINITY_MARK, NUL_MARK, REPLACED_MARK, ROUNDED_MARK } from "../sql/value-marks.ts";
import type { ForeignStatement } from "./dump-format.ts";

const count = z.number().int().nonnegative();

/** What the scanner has seen of a dump, from its beginning to the end of the last finished volume. */
export const scannedSchema = z.object({
  /** Rows per table, in the order in which the dump creates the tables. */
  rows: z.array(z.tuple([z.string(), count])),
  /** Statements per kind of hazard and table. */
  marks: z.array(
    z.tuple([z.enum(["oversize", "nul", "infinity", "rounded", "replaced"]), z.string().nullable(), count]),
  ),
  /** Replacement characters (U+FFFD) per table, where there are any in its rows. */
  replacements: z.array(z.tuple([z.string(), count])),
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
  replacements: [],
  starts: { indexes: null, triggers: null, views: null },
  missingSemicolons: [],
};

type MarkKind = Scanned["marks"][number][0];

const VALUE_MARKS = [
  [NUL_MARK, "nul"],
  [INFINITY_MARK, "infinity"],
  [ROUNDED_MARK, "rounded"],
  [REPLACED_MARK, "replaced"],
] as const satisfies [number, MarkKind][];

const SECTION_OF: Partial<Record<StatementKind, keyof Scanned["starts"]>> = {
  index: "indexes",
  trigger: "triggers",
  view: "views",
};

/** Counts what the scanner sees of one volume, from where the volumes before have left off. */
export class Tally {
  statements = 0;
  /** The first statement that is none of the dump's format, or stands where none of its kind does. */
  foreign: ForeignStatement | null = null;
  readonly #startsAt: number;
  readonly #rows: Map<string, { rows: number }>;
  readonly #marks = new Map<MarkKind, Map<string | null, number>>();
  readonly #replacements: Map<string, number>;
  readonly #starts: Scanned["starts"];
  readonly #missingSemicolons: number[];
  readonly #createsTables: boolean;
  /** Indexes, triggers and views come last. */
  #behindTables: boolean;
  /** The table of the last row, which is most often that of the next one. */
  #table: string | null = null;
  #counter = { rows: 0 };

  /** `startsAt`: where in the dump the volume begins. `createsTables`: the dump creates each table before its rows. */
  constructor(before: Scanned, startsAt: number, createsTables = false) {
    this.#startsAt = startsAt;
    this.#rows = new Map(before.rows.map(([table, rows]) => [table, { rows }]));
    for (const [kind, table, rows] of before.marks) this.#mark(kind, table, rows);
    this.#replacements = new Map(before.replacements);
    this.#starts = { ...before.starts };
    this.#missingSemicolons = [...before.missingSemicolons];
    this.#createsTables = createsTables;
    this.#behindTables = Object.values(before.starts).some((start) => start !== null);
  }

  readonly count: StatementSink = (kind, table, start, bytes, marks, replacements) => {
    this.statements++;
    if (bytes > LONGEST_STATEMENT) this.#mark("oversize", kind === "insert" ? table : null, 1);
    if (marks !== 0) {
      for (const [mark, name] of VALUE_MARKS) if ((marks & mark) !== 0) this.#mark(name, table, 1);
      if ((marks & REPLACED_MARK) !== 0 && table !== null)
        this.#replacements.set(table, (this.#replacements.get(table) ?? 0) + replacements);
      if ((marks & FOREIGN_MARK) !== 0) this.#noteForeign(start);
      if ((marks & UNENDED_MARK) !== 0) this.#missingSemicolons.push(this.#startsAt + start + bytes);
    }
    const section = SECTION_OF[kind];
    if (section !== undefined) {
      this.#starts[section] ??= this.#startsAt + start;
      this.#behindTables = true;
      return;
    }
    if (this.#behindTables) this.#noteForeign(start);
    if (kind === "other") return;
    if (table !== this.#table) {
      if (kind === "insert" && this.#createsTables && !this.#isCreated(table)) this.#noteForeign(start);
      this.#turnTo(table);
    }
    if (kind === "insert") this.#counter.rows++;
  };

  get scanned(): Scanned {
    return {
      rows: [...this.#rows].map(([table, { rows }]) => [table, rows]),
      marks: [...this.#marks].flatMap(([kind, tables]) =>
        [...tables].map(([table, rows]): Scanned["marks"][number] => [kind, table, rows]),
      ),
      replacements: [...this.#replacements],
      starts: { ...this.#starts },
      missingSemicolons: [...this.#missingSemicolons],
    };
  }

  #noteForeign(start: number): void {
    this.foreign ??= { ordinal: this.statements, offset: this.#startsAt + start };
  }

  /** SQLite makes its own tables itself; a name that is longer than a head is not known. */
  #isCreated(table: string | null): boolean {
    return table === null || isInternal(table) || this.#rows.has(table);
  }

  #turnTo(table: string | null): void {
    this.#table = table;
    this.#counter = (table === null ? undefined : this.#rows.get(table)) ?? { rows: 0 };
    // Rows of nobody and of SQLite's own tables are counted too, but not told of.
    if (table !== null && !isInternal(table)) this.#rows.set(table, this.#counter);
  }

  #mark(kind: MarkKind, table: string | null, rows: number): void {
    const tables = this.#marks.get(kind) ?? new Map<string | null, number>();
    this.#marks.set(kind, tables.set(table, (tables.get(table) ?? 0) + rows));
  }
}

/** SQLite's own bookkeeping tables are part of the dump but nobody's data. */
function isInternal(table: string): boolean {
  return table.toLowerCase().startsWith("sqlite_");
}
