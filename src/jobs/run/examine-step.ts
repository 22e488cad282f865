import { z } from "zod";
import {
  afterAnswer,
  afterFailure,
  describable,
  type Question,
  questionsOf,
} from "../../core/examination/batches.ts";
import { alteredHazards, notExamined, withFindings } from "../../core/examination/findings.ts";
import { countsSchema } from "../../core/examination/question.ts";
import { type Counted, genuineReplacements } from "../../core/examination/replaced-text.ts";
import {
  columnSchema,
  columnsQuestion,
  type ExaminedTable,
  examinedTables,
} from "../../core/examination/table-columns.ts";
import type { Hazard } from "../../core/dump/hazards.ts";
import { failed, type Failure, type FailureCode, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { optionsOf, type PhaseOf, type Run } from "../../core/run/run.ts";
import { afterExamination } from "../../core/run/standing-findings.ts";
import { advance } from "../../core/run/transitions.ts";
import { iso } from "../../core/time.ts";
import { notUnderstood, type StepContext, type StepOutcome } from "./step.ts";

/** The dump's URL is valid for an hour; the questions may use this much of it. */
const EXAMINE_LIMIT_MS = 10 * 60_000;

/** A call that fails is made so often, when it is no table's fault; one about a single table as often as that. */
const TRIES = 3;
const TRIES_OF_ONE = 2;

/**
 * Asks the database about the next tables: for their columns in one call, and for all of their rows in another. This
 * happens right after the export, so that the answers belong to the dump; the bookmark shows at the end whether they
 * do. A failure here costs answers, never the backup. Each step saves its answers, which are not asked for again.
 */
export async function examining(
  run: Run,
  phase: PhaseOf<"examining">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const startedAt = platform.now();
  const tables = run.tables ?? [];
  const [first] = tables.slice(phase.asked);
  if (first === undefined) return concluded(run, phase, context);
  if (startedAt - phase.startedAt > EXAMINE_LIMIT_MS) {
    const why = `${phase.asked} of ${tables.length} tables took more than ${EXAMINE_LIMIT_MS / 60_000} minutes.`;
    return concluded(run, { ...phase, found: [...phase.found, notExamined(why)] }, context);
  }
  const described = describable(tables.slice(phase.asked, phase.asked + phase.pace.tables));
  const columns = await columnsOf(run, described, platform);
  if (!columns.ok) return onFailure(run, phase, columns.failure, context);
  const batch = questionsOf(described, columns.value);
  if (batch.tables === 0) return ok({ run: giveUpTable(run, phase, first, TOO_LONG, startedAt) });
  const answered = await ask(run, batch.questions, platform);
  if (!answered.ok)
    return unanswered(run, phase, described.slice(0, batch.tables), answered.failure, context);
  const { hazards, counted, rowsRead } = answered.value;
  const now = platform.now();
  const asked = phase.asked + batch.tables;
  const grown: PhaseOf<"examining"> = {
    ...phase,
    asked,
    pace: afterAnswer(phase.pace, asked, batch.tables, now - startedAt),
    rowsRead: phase.rowsRead + rowsRead,
    found: withFindings(phase.found, hazards),
    counted: {
      rows: [...phase.counted.rows, ...counted.rows],
      genuine: [...phase.counted.genuine, ...counted.genuine],
    },
  };
  return ok({ run: advance(run, grown, now) });
}

const TOO_LONG = "the question about it would be longer than D1 takes.";

/** Asks for the tables' columns in one call. A table that was dropped meanwhile is missing in the answer. */
async function columnsOf(
  run: Run,
  tables: readonly string[],
  { api }: Platform,
): Promise<Result<Map<string, ExaminedTable>>> {
  if (tables.length === 0) return ok(new Map());
  const described = await api.query(run.databaseId, columnsQuestion(tables));
  if (!described.ok) return described;
  const columns = z.array(columnSchema).safeParse(described.value.rows);
  return columns.success ? ok(examinedTables(columns.data)) : failed(notUnderstood());
}

interface Answers {
  readonly hazards: Hazard[];
  readonly counted: Counted;
  readonly rowsRead: number;
}

async function ask(run: Run, questions: readonly Question[], { api }: Platform): Promise<Result<Answers>> {
  const hazards: Hazard[] = [];
  const counted: Counted = { rows: [], genuine: [] };
  let rowsRead = 0;
  if (questions.length === 0) return ok({ hazards, counted, rowsRead });
  const answered = await api.queryAll(
    run.databaseId,
    questions.map(({ sql }) => sql),
  );
  if (!answered.ok) return answered;
  for (const [index, { table }] of questions.entries()) {
    const answer = answered.value[index];
    const counts = countsSchema.safeParse(answer?.rows[0]);
    if (!counts.success) return failed(notUnderstood());
    hazards.push(...alteredHazards(table.name, counts.data));
    counted.rows.push([table.name, counts.data.total]);
    const genuine = genuineReplacements(table, counts.data);
    if (genuine !== null) counted.genuine.push(genuine);
    rowsRead += answer?.rowsRead ?? 0;
  }
  return ok({ hazards, counted, rowsRead });
}

/** These failures say nothing about the tables. */
const NO_TABLES_FAULT: readonly FailureCode[] = ["api-budget-spent", "api-rate-limited", "database-busy"];

/**
 * Fewer tables at once, so that the one that spoils the call does not take the answers of the others with it: it may be
 * too big to be read in 30 seconds, or was dropped since. That one alone is given up, by its name.
 */
function unanswered(
  run: Run,
  phase: PhaseOf<"examining">,
  tables: readonly string[],
  failure: Failure,
  context: StepContext,
): Result<StepOutcome> {
  const [first = "", ...others] = tables;
  if (NO_TABLES_FAULT.includes(failure.code)) return onFailure(run, phase, failure, context);
  const now = context.platform.now();
  if (others.length > 0) {
    const pace = afterFailure(phase.asked, tables.length);
    return ok({ run: advance(run, { ...phase, pace }, now) });
  }
  const again = failure.retryable && failure.code !== "sql-error" && run.attempt + 1 < TRIES_OF_ONE;
  return again ? failed(failure) : ok({ run: giveUpTable(run, phase, first, failureText(failure), now) });
}

/** Gives up this table, by its name, and continues with the next ones. */
function giveUpTable(run: Run, phase: PhaseOf<"examining">, table: string, why: string, now: number): Run {
  const asked = phase.asked + 1;
  const pace = afterAnswer(phase.pace, asked, 1, 0);
  const found = withFindings(phase.found, [notExamined(why, table)]);
  return advance(run, { ...phase, asked, pace, found }, now);
}

/** Asks again later if that may help and there is time; otherwise the backup continues without the answers. */
function onFailure(
  run: Run,
  phase: PhaseOf<"examining">,
  failure: Failure,
  context: StepContext,
): Result<StepOutcome> {
  if (mayPass(run, phase, failure, context.platform.now())) return failed(failure);
  return ok(copyOn(run, phase, [...phase.found, notExamined(failureText(failure))], null, context));
}

async function concluded(
  run: Run,
  phase: PhaseOf<"examining">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const bookmark = await platform.api.bookmark(run.databaseId);
  if (!bookmark.ok && mayPass(run, phase, bookmark.failure, platform.now())) return bookmark;
  if (!bookmark.ok) {
    const why = `whether the answers belong to this dump could not be told: ${failureText(bookmark.failure)}`;
    return ok(copyOn(run, phase, [...phase.found, notExamined(why)], null, context));
  }
  return ok(copyOn(run, phase, phase.found, bookmark.value, context));
}

/**
 * On to the copy, and what was found into the database's record. `bookmark` is that of after the last answer, null when
 * the answers belong to no known state.
 */
function copyOn(
  run: Run,
  phase: PhaseOf<"examining">,
  found: Hazard[],
  bookmark: string | null,
  { platform, record }: StepContext,
): StepOutcome {
  const now = platform.now();
  const { dump, copy, counted, rowsRead } = phase;
  const { exportOptions } = optionsOf(run);
  const answered = bookmark !== null;
  const same = bookmark === dump.bookmark;
  const outcome = { answered, bookmark: same ? bookmark : null, tables: run.tables ?? [], found, counted };
  const examined = { at: answered ? iso(now) : null, tables: counted.rows.length, rowsRead };
  return {
    run: advance({ ...run, examined }, { at: "copying", dump, copy, waiting: false }, now),
    record: { examination: afterExamination(record.examination, outcome, exportOptions, now) },
  };
}

/** Whether another try may help: the API budget is used up for the moment, or the failure usually resolves itself. */
function mayPass(
  run: Run,
  { startedAt }: PhaseOf<"examining">,
  { code, retryable }: Failure,
  now: number,
): boolean {
  if (now - startedAt > EXAMINE_LIMIT_MS) return false;
  return code === "api-budget-spent" || (retryable && code !== "sql-error" && run.attempt + 1 < TRIES);
}

function failureText({ detail }: Failure): string {
  return `it failed: ${detail}`;
}
