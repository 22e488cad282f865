import { z } from "zod";
import { type ExportOptions, sameSet } from "../d1/export-options.ts";
import { type Hazard, hazardSchema } from "../dump/hazards.ts";
import { NOT_EXAMINED, withFindings } from "../examination/findings.ts";
import { type Counted, countedSchema, NOT_COUNTED } from "../examination/replaced-text.ts";
import { isDue } from "../schedule/spread.ts";
import { DAY_MS, iso } from "../time.ts";

/**
 * What examinations of a database have found, from run to run: a finding stands in each backup until the same table is
 * examined again. Times are milliseconds since the epoch.
 */
export const examinationSchema = z.object({
  /** When the database was last asked, and when it last answered. */
  triedAt: z.number(),
  answeredAt: z.number().nullable(),
  /** Attempts in a row that came to nothing. */
  failures: z.number().int().nonnegative(),
  /** The state in which it answered; null when the database was written to meanwhile. */
  bookmark: z.string().nullable(),
  /** What `exportOptions.tables` named then. */
  tables: z.array(z.string()),
  /** Each with the time of its examination. */
  findings: z.array(hazardSchema),
  /** What was counted in the state of the bookmark. */
  counted: countedSchema.default(NOT_COUNTED),
});
export type Examination = z.infer<typeof examinationSchema>;

/** An examination that comes to nothing is repeated with the next backup, so often; then it waits for its day again. */
const REPEATED = 2;

/**
 * Whether this backup asks the database. The first one of a database always does, and so does the first after the policy
 * has named other tables; then one on each of its days (`every` so many, 0 for never).
 */
export function examinationDue(
  databaseId: string,
  every: number,
  before: Examination | null,
  { tables }: Pick<ExportOptions, "tables">,
  now: number,
): boolean {
  if (every === 0) return false;
  if (before === null || !sameSet(before.tables, tables)) return true;
  // Written by a clock that was put right since: it must not put the next one off.
  if (before.triedAt > now + DAY_MS) return true;
  if (before.failures > 0 && before.failures <= REPEATED) return true;
  return isDue(databaseId, every, before.triedAt, now);
}

/** What an examination has come to. */
export interface Outcome {
  /** False: what was answered cannot be told apart from another state of the database, or nothing was. */
  readonly answered: boolean;
  /** The one state in which all answers were given; null when the database was written to meanwhile. */
  readonly bookmark: string | null;
  /** The tables that were to be examined. */
  readonly tables: readonly string[];
  readonly found: readonly Hazard[];
  /** What was counted of those tables of which the database has told something. */
  readonly counted: Counted;
}

/** What is known after an examination: what it has found, and of tables that it did not examine what stood before. */
export function afterExamination(
  before: Examination | null,
  { answered, bookmark, tables, found, counted }: Outcome,
  exportOptions: Pick<ExportOptions, "tables">,
  now: number,
): Examination {
  const dated = found.map((hazard) => ({ ...hazard, examinedAt: iso(now) }));
  const told = new Set(counted.rows.map(([table]) => table));
  const untold = new Set(tables.filter((table) => !told.has(table)));
  const summed = new Set(dated.filter(({ table }) => table === null).map(({ kind }) => kind));
  const stands = ({ kind, table }: Hazard): boolean =>
    // That nobody could tell is told anew by whoever cannot tell.
    kind !== NOT_EXAMINED &&
    // A summary of many tables is replaced by the next one, else each examination would add one.
    (table === null ? untold.size > 0 && !summed.has(kind) : untold.has(table));
  const older = (before?.findings ?? []).filter(stands);
  const sameState = before !== null && before.bookmark !== null && before.bookmark === bookmark;
  return {
    triedAt: now,
    answeredAt: answered ? now : (before?.answeredAt ?? null),
    failures: answered ? 0 : (before?.failures ?? 0) + 1,
    bookmark,
    tables: [...exportOptions.tables],
    findings: withFindings(dated, sameState ? older : older.map(ofAnotherState)),
    // Counted in no known state, it proves nothing about any dump.
    counted: bookmark === null ? NOT_COUNTED : counted,
  };
}

/**
 * The findings that stand for a dump of these tables. Counts of another state of the database than the dump's are not
 * the dump's: their details alone tell them.
 */
export function standingFindings(
  known: Examination | null,
  { tables, bookmark }: { tables: readonly string[]; bookmark: string },
): Hazard[] {
  if (known === null) return [neverExamined()];
  const dumped = new Set(tables);
  const findings = known.findings.filter(({ table }) => table === null || dumped.has(table));
  return known.bookmark === bookmark ? findings : findings.map(ofAnotherState);
}

/** What an examination has counted of these tables in the very state that was dumped. */
export function countedInState(
  known: Examination | null,
  { tables, bookmark }: { tables: readonly string[]; bookmark: string },
): Counted {
  if (known === null || known.bookmark !== bookmark) return NOT_COUNTED;
  const dumped = new Set(tables);
  const { rows, genuine } = known.counted;
  return {
    rows: rows.filter(([table]) => dumped.has(table)),
    genuine: genuine.filter(([table]) => dumped.has(table)),
  };
}

const FOUND_BY = "Found by the examination of";

/** Once more, nothing: a finding bears the time at which its table was examined. */
function ofAnotherState(hazard: Hazard): Hazard {
  const { kind, count, detail, examinedAt = "an unknown time" } = hazard;
  if (kind === NOT_EXAMINED || detail.includes(FOUND_BY)) return hazard;
  const counted = count === null ? "" : `: ${count} then`;
  const told = `${FOUND_BY} ${examinedAt}${counted}, in another state of the database; how many this dump holds was not counted.`;
  return { ...hazard, count: null, detail: `${detail} (${told})` };
}

function neverExamined(): Hazard {
  return {
    kind: NOT_EXAMINED,
    table: null,
    count: null,
    detail:
      "The database was never asked for values that D1's dumps alter, because the policy's examineDays is 0.",
  };
}
