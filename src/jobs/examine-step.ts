import { z } from "zod";
import {
  alteredHazards,
  alteredQuestion,
  columnsQuestion,
  notExamined,
  ofLaterState,
} from "../core/examine.ts";
import { failed, ok, type Failure, type Result } from "../core/failure.ts";
import type { Hazard } from "../core/manifest.ts";
import { advance, iso, type PhaseOf, type Run } from "../core/run.ts";
import type { StepContext, StepOutcome } from "./step.ts";

/** The dump's address is valid for an hour: so much of it is given to the questions. */
const EXAMINE_LIMIT_MS = 10 * 60_000;

const columnSchema = z.object({ name: z.string() });
const countsSchema = z.object({ total: z.number(), text: z.number(), integers: z.number() });

/**
 * Asks the database about one table. Right after the export, so that the answers belong to the dump: the bookmark
 * tells at the end whether they do. Whatever goes wrong here costs the answers, never the backup.
 */
export async function examining(
  run: Run,
  phase: PhaseOf<"examining">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const now = platform.now();
  const table = run.tables?.[phase.asked];
  if (table === undefined) return concluded(run, phase, context);
  if (now - phase.startedAt > EXAMINE_LIMIT_MS) {
    const why = `${phase.asked} of ${run.tables?.length ?? 0} tables took more than ${EXAMINE_LIMIT_MS / 60_000} minutes.`;
    return ok(copyOn(run, phase, [...phase.found, notExamined(why)], null, context));
  }
  const asked = await ask(run, table, platform);
  if (!asked.ok && isTurnedAway(asked.failure, phase, now)) return asked;
  if (!asked.ok) return ok(copyOn(run, phase, [notExamined(failureText(asked.failure))], null, context));
  const { hazards, rows, rowsRead } = asked.value;
  const grown = {
    asked: phase.asked + 1,
    rowsRead: phase.rowsRead + rowsRead,
    found: [...phase.found, ...hazards],
    rows: [...phase.rows, ...rows],
  };
  return ok({ run: advance(run, { ...phase, ...grown }, platform.now()) });
}

async function ask(
  run: Run,
  table: string,
  platform: StepContext["platform"],
): Promise<Result<{ hazards: Hazard[]; rows: [string, number][]; rowsRead: number }>> {
  const described = await platform.api.query(run.databaseId, columnsQuestion(table));
  if (!described.ok) return described;
  const columns = z.array(columnSchema).safeParse(described.value.rows);
  if (!columns.success) return failed(notUnderstood());
  // Dropped since the preflight: nothing left to ask.
  if (columns.data.length === 0) return ok({ hazards: [], rows: [], rowsRead: 0 });
  const names = columns.data.map(({ name }) => name);
  const answered = await platform.api.query(run.databaseId, alteredQuestion(table, names));
  if (!answered.ok) return answered;
  const counts = countsSchema.safeParse(answered.value.rows[0]);
  if (!counts.success) return failed(notUnderstood());
  return ok({
    hazards: alteredHazards(table, counts.data),
    rows: [[table, counts.data.total]],
    rowsRead: answered.value.rowsRead ?? 0,
  });
}

export function notUnderstood(): Failure {
  return {
    code: "api-answer-invalid",
    detail: "D1 answered in a form that we do not know.",
    hint: "Look for a newer release of d1-nightly.",
    retryable: false,
  };
}

async function concluded(
  run: Run,
  phase: PhaseOf<"examining">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const bookmark = await platform.api.bookmark(run.databaseId);
  if (!bookmark.ok && isTurnedAway(bookmark.failure, phase, platform.now())) return bookmark;
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

/** Not asked at all: the account's calls are used up for the moment, and there is time to put the question later. */
function isTurnedAway({ code }: Failure, { startedAt }: PhaseOf<"examining">, now: number): boolean {
  return code === "api-budget-spent" && now - startedAt <= EXAMINE_LIMIT_MS;
}

function failureText({ detail }: Failure): string {
  return `it failed: ${detail}`;
}
