import { z } from "zod";
import {
  alteredHazards,
  alteredQuestion,
  columnsQuestion,
  notExamined,
  ofLaterState,
} from "../../core/dump/examine.ts";
import type { Hazard } from "../../core/dump/hazards.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { PhaseOf, Run } from "../../core/run/run.ts";
import { advance } from "../../core/run/transitions.ts";
import { iso } from "../../core/time.ts";
import { notUnderstood, type StepContext, type StepOutcome } from "./step.ts";

/** The dump's address is valid for an hour: so much of it is given to the questions. */
const EXAMINE_LIMIT_MS = 10 * 60_000;

/** So many tables are asked about in one step, if that does not take long. */
const TABLES_A_STEP = 10;
const STEP_MS = 60_000;

/** A question that fails is put so often. */
const TRIES = 3;

const columnSchema = z.object({ table: z.string(), name: z.string() });
const countsSchema = z.object({ total: z.number(), text: z.number(), integers: z.number() });

/**
 * Asks the database about the next few tables. Right after the export, so that the answers belong to the dump: the bookmark
 * tells at the end whether they do. Whatever goes wrong here costs the answers, never the backup.
 */
export async function examining(
  run: Run,
  phase: PhaseOf<"examining">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const now = platform.now();
  const tables = (run.tables ?? []).slice(phase.asked, phase.asked + TABLES_A_STEP);
  if (tables.length === 0) return concluded(run, phase, context);
  if (now - phase.startedAt > EXAMINE_LIMIT_MS) {
    const why = `${phase.asked} of ${run.tables?.length ?? 0} tables took more than ${EXAMINE_LIMIT_MS / 60_000} minutes.`;
    return ok(copyOn(run, phase, [...phase.found, notExamined(why)], null, context));
  }
  const columns = await columnsOf(run, tables, platform);
  if (!columns.ok) return onFailure(run, phase, columns.failure, context);
  let grown = phase;
  for (const table of tables) {
    const asked = await ask(run, table, columns.value.get(table) ?? [], platform);
    if (!asked.ok) {
      // What was answered so far is not asked again.
      if (grown === phase) return onFailure(run, phase, asked.failure, context);
      break;
    }
    const { hazards, rows, rowsRead } = asked.value;
    grown = {
      ...grown,
      asked: grown.asked + 1,
      rowsRead: grown.rowsRead + rowsRead,
      found: [...grown.found, ...hazards],
      rows: [...grown.rows, ...rows],
    };
    if (platform.now() - now > STEP_MS) break;
  }
  return ok({ run: advance(run, grown, platform.now()) });
}

/** The names of the tables' columns, in one question. A table that was dropped meanwhile has none. */
async function columnsOf(
  run: Run,
  tables: readonly string[],
  { api }: Platform,
): Promise<Result<Map<string, string[]>>> {
  const described = await api.query(run.databaseId, columnsQuestion(tables));
  if (!described.ok) return described;
  const rows = z.array(columnSchema).safeParse(described.value.rows);
  if (!rows.success) return failed(notUnderstood());
  const columns = new Map<string, string[]>();
  for (const { table, name } of rows.data) columns.set(table, [...(columns.get(table) ?? []), name]);
  return ok(columns);
}

async function ask(
  run: Run,
  table: string,
  columns: readonly string[],
  { api }: Platform,
): Promise<Result<{ hazards: Hazard[]; rows: [string, number][]; rowsRead: number }>> {
  // Dropped since the preflight: nothing left to ask.
  if (columns.length === 0) return ok({ hazards: [], rows: [], rowsRead: 0 });
  const answered = await api.query(run.databaseId, alteredQuestion(table, columns));
  if (!answered.ok) return answered;
  const counts = countsSchema.safeParse(answered.value.rows[0]);
  if (!counts.success) return failed(notUnderstood());
  return ok({
    hazards: alteredHazards(table, counts.data),
    rows: [[table, counts.data.total]],
    rowsRead: answered.value.rowsRead ?? 0,
  });
}

/** The same question later, when that may help and there is time; else the backup goes on without the answers. */
function onFailure(
  run: Run,
  phase: PhaseOf<"examining">,
  failure: Failure,
  context: StepContext,
): Result<StepOutcome> {
  if (mayPass(run, phase, failure, context.platform.now())) return failed(failure);
  return ok(copyOn(run, phase, [notExamined(failureText(failure))], null, context));
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
    return ok(copyOn(run, phase, [notExamined(why)], null, context));
  }
  const same = bookmark.value === phase.dump.bookmark;
  const found = same ? phase.found : ofLaterState(phase.found);
  const rows = same ? phase.rows : [];
  return ok(copyOn(run, { ...phase, rows }, found, iso(platform.now()), context));
}

/** On to the copy, with what was found. Tried counts as done: a table too big to ask is not read every night. */
function copyOn(
  run: Run,
  phase: PhaseOf<"examining">,
  found: Hazard[],
  at: string | null,
  { platform }: StepContext,
): StepOutcome {
  const now = platform.now();
  const { dump, copy, asked, rowsRead } = phase;
  // Answers that were not tied to the dump's state prove nothing about its rows.
  const rows = at === null ? [] : phase.rows;
  const known: Run = { ...run, examined: { at, tables: asked, rowsRead, found, rows } };
  return {
    run: advance(known, { at: "copying", dump, copy, waiting: false }, now),
    record: { examinedAt: now },
  };
}

/** Worth another try: the account's calls are used up for the moment, or what went wrong usually passes. */
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
