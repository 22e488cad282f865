import { z } from "zod";
import { MINUTE_MS } from "../time.ts";
import { calculator, type Expression, expressionOf, remembering } from "./cron-expression.ts";
import { SHORTEST_GAP_MS, shortestGapMinutes } from "./gaps.ts";

/** A database's own schedule: five fields, weekdays as in Unix cron (0 or 7 is Sunday), and an IANA time zone. */
export type Schedule = "trigger" | OwnSchedule;
export interface OwnSchedule {
  readonly cron: string;
  readonly timeZone: string;
}

export const EXAMPLE_CRON = '"30 2 * * 1-5" (half past two on Mondays to Fridays)';
const EXAMPLE_ZONE = '"Europe/Berlin" or "UTC"';
const EXAMPLE = '{ "cron": "30 2 * * 1-5", "timeZone": "Europe/Berlin" }';

/** When a database is backed up: with the Worker's Cron Triggers, or by its own expression. */
export const scheduleSchema = z.unknown().transform((value, context): Schedule => {
  const problems = problemsOf(value);
  for (const [field, message] of problems)
    context.addIssue({ code: "custom", path: field === null ? [] : [field], message });
  if (problems.length > 0) return z.NEVER;
  const own = ownSchema.safeParse(value);
  return own.success ? own.data : "trigger";
});

const ownSchema = z.strictObject({ cron: z.string(), timeZone: z.string() });

type Problem = readonly [field: string | null, message: string];

function problemsOf(value: unknown): Problem[] {
  if (value === "trigger") return [];
  const parsed = z.looseObject({}).safeParse(value);
  if (!parsed.success || Array.isArray(value))
    return [[null, `must be "trigger" or an expression of its own, such as ${EXAMPLE}`]];
  const { cron, timeZone, ...others } = parsed.data;
  const problems: [string, string | null][] = [
    ["cron", problemOfCron(cron)],
    ["timeZone", problemOfZone(timeZone)],
    ...Object.keys(others).map((key): [string, string] => [key, `is unknown; a schedule is ${EXAMPLE}`]),
  ];
  return problems.flatMap(([field, message]) => (message === null ? [] : [[field, message] as const]));
}

function problemOfZone(zone: unknown): string | null {
  if (typeof zone !== "string" || zone.length > 64 || !isZone(zone))
    return `must be an IANA time zone, such as ${EXAMPLE_ZONE}`;
  return null;
}

/** An offset, such as +02:00, is not a zone, because it has no daylight saving. */
const isZone = remembering((zone: string): boolean => {
  if (!/^[A-Za-z]/.test(zone)) return false;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: zone }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
});

function problemOfCron(cron: unknown): string | null {
  if (typeof cron !== "string" || cron.length > 200)
    return `must be a cron expression, such as ${EXAMPLE_CRON}`;
  return problemOfExpression(cron);
}

const FIELD_NAMES = ["minute", "hour", "day of the month", "month", "weekday"] as const;

const problemOfExpression = remembering((cron: string): string | null => {
  const fields = cron.trim().split(/\s+/);
  if (cron.trim() === "" || fields.length !== 5)
    return `must have five fields (minute, hour, day of the month, month, weekday), such as ${EXAMPLE_CRON}`;
  // Checks each field alone, with stars for the others, so that the error can name the wrong one.
  const wrong = fields.findIndex(
    (field, at) => calculator(FIVE_STARS.with(at, field).join(" "), "UTC") === null,
  );
  const expression = expressionOf(fields, "UTC");
  if (wrong >= 0 || expression === null)
    return `has ${FIELD_NAMES[wrong] ?? "a field"} "${fields[wrong] ?? cron}", which cron does not know; a right expression is ${EXAMPLE_CRON}`;
  if (expression.next(0) === null)
    return `never runs, because no such day comes; ${EXAMPLE_CRON} runs every week`;
  const gap = shortestGapMinutes(expression);
  if (gap * MINUTE_MS < SHORTEST_GAP_MS)
    return `has runs ${gap} ${gap === 1 ? "minute" : "minutes"} apart; 5 minutes, as in "*/5 * * * *", are the least`;
  return null;
});

const FIVE_STARS = ["*", "*", "*", "*", "*"];

/** The expression of a database's own schedule; null if it has none, or the platform does not know its zone. */
export function expressionOfSchedule(schedule: OwnSchedule): Expression | null {
  if (!isZone(schedule.timeZone)) return null;
  return expressionOf(schedule.cron.trim().split(/\s+/), schedule.timeZone);
}

const localFormat = remembering(
  (timeZone: string) =>
    new Intl.DateTimeFormat("sv-SE", {
      timeZone,
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      timeZoneName: "shortOffset",
    }),
);

/** A moment on a zone's clocks, such as "2026-11-22 03:30 GMT+1". */
export function localTime(at: number, timeZone: string): string {
  return localFormat(timeZone).format(new Date(at));
}
