import { LONGEST_STATEMENT } from "../d1/limits.ts";
import { alteredQuestion } from "./question.ts";
import { columnsQuestion, type ExaminedTable } from "./table-columns.ts";

/**
 * How many tables one call asks about. D1 takes many statements in one call and answers all of them or none, within
 * 30 seconds: so a call that fails is halved until the table that spoils it stands alone, and one that takes long is
 * followed by a smaller one. A database of 1,200 small tables takes 12 calls for its columns and 12 for its rows.
 *
 * One statement for many tables would not do: D1 joins no more than five SELECTs by UNION ALL, and takes no statement
 * of more than 100,000 bytes.
 */
export interface Pace {
  /** The next call asks about so many tables at most. */
  readonly tables: number;
  /** Among the tables before this one (its index) is one that has spoilt a call. */
  readonly suspectsEnd: number;
}

export const MOST_TABLES = 100;

/** A first call reads about so many bytes of the database, so that it is answered in a few seconds. */
const FIRST_BYTES = 128 * 1024 * 1024;

/** Calls may grow while they take less than this, and shrink when they take more than double. */
const BRISK_MS = 5_000;
const GROWTH = 4;

/** Before anything was asked: by how much a table of this database holds on average. */
export function firstPace(fileSize: number | null, tables: number): Pace {
  const perTable = (fileSize ?? 0) / Math.max(1, tables);
  return { tables: within(perTable === 0 ? MOST_TABLES : FIRST_BYTES / perTable), suspectsEnd: 0 };
}

/** So many tables were answered for in one call that took so long; `next` is the first that was not. */
export function afterAnswer({ suspectsEnd }: Pace, next: number, answered: number, tookMs: number): Pace {
  const wished = tookMs < BRISK_MS ? answered * GROWTH : tookMs > 2 * BRISK_MS ? answered / 2 : answered;
  const suspects = suspectsEnd - next;
  return { tables: within(suspects > 0 ? Math.min(wished, half(suspects)) : wished), suspectsEnd };
}

/** A call about so many tables, more than one, from this one on, has failed. */
export function afterFailure(first: number, asked: number): Pace {
  return { tables: half(asked), suspectsEnd: first + asked };
}

/** What one call may hold of the tables' names, and of their questions, in bytes. */
const LONGEST_BATCH = 400_000;

export interface Question {
  readonly table: ExaminedTable;
  readonly sql: string;
}

/** As many of these tables, from the first on, as can be asked for their columns in one statement. */
export function describable(tables: readonly string[]): readonly string[] {
  let many = tables.length;
  while (many > 0 && bytesOf(columnsQuestion(tables.slice(0, many))) > LONGEST_STATEMENT) many = many >> 1;
  return tables.slice(0, many);
}

/**
 * The questions about these tables, from the first on, that fit into one call. `tables` says about how many: one
 * without columns was dropped meanwhile, and has no question. None when the first one's is longer than D1 takes.
 */
export function questionsOf(
  tables: readonly string[],
  columns: ReadonlyMap<string, ExaminedTable>,
): { tables: number; questions: Question[] } {
  const questions: Question[] = [];
  let bytes = 0;
  for (const [index, name] of tables.entries()) {
    const table = columns.get(name);
    if (table === undefined) continue;
    const sql = alteredQuestion(table);
    const more = bytesOf(sql);
    bytes += more;
    if (more > LONGEST_STATEMENT || (bytes > LONGEST_BATCH && questions.length > 0))
      return { tables: index, questions };
    questions.push({ table, sql });
  }
  return { tables: tables.length, questions };
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

function half(tables: number): number {
  return Math.ceil(tables / 2);
}

function within(tables: number): number {
  return Math.min(MOST_TABLES, Math.max(1, Math.floor(tables)));
}
