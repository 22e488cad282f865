import { Cron } from "croner";

/**
 * Cron expressions and when they run. croner is the calculator; nothing here has a clock or a timer.
 *
 * Daylight saving: an expression that names hours runs once at each of its times on the wall clock. A time in the
 * skipped hour runs when that hour would have ended; a time in the repeated hour runs the first time. An expression for
 * every hour (a * in its second field) follows elapsed time instead: the skipped hour has no runs, and the repeated
 * hour has them twice.
 */

/** In the year 9999, where croner ends. */
const LAST_DATE = 253_370_764_800_000;

/** A cron expression, ready to be calculated with. */
export interface Expression {
  /** The fields and the zone: two expressions with the same text are the same. */
  readonly text: string;
  readonly timeZone: string;
  /** The first run after a moment; null if there is none. */
  next(after: number): number | null;
  /** The latest run up to and including a moment; null if there was none. */
  latest(upTo: number): number | null;
  /** Minutes of the day at which it runs, on the days on which it runs. */
  readonly times: readonly number[];
  /** Follows elapsed time, not the wall clock. */
  readonly everyHour: boolean;
  /** Midnights (UTC) of the days on which it runs; null for all days. */
  readonly days: Cron | null;
}

/** The same for five fields, as Unix cron reads them. */
export function expressionOf(fields: readonly string[], timeZone: string): Expression | null {
  return fields.length === 5 ? compiled(`${fields.join(" ")} ${timeZone}`) : null;
}

export const compiled = remembering((text: string): Expression | null => {
  const [minute = "", hour = "", ...rest] = text.split(" ");
  const [day = "", month = "", weekday = "", timeZone = ""] = rest;
  const minutes = numbersOf(minute, 0, 59);
  const hours = numbersOf(hour, 0, 23);
  if (minutes === null || hours === null) return null;
  const everyHour = hours.length === 24;
  const date = `${day} ${month} ${weekday}`;
  // Spelt out, because croner treats any step (0-30/15) as an interval, even in a named hour.
  const cron = calculator(`${minutes.join(",")} ${everyHour ? "*" : hours.join(",")} ${date}`, timeZone);
  const days = calculator(`0 0 ${date}`, "UTC");
  if (cron === null || days === null) return null;
  const times = hours.flatMap((at) => minutes.map((past) => at * 60 + past));
  return {
    text,
    timeZone,
    next: remembering((after: number) => cron.nextRun(dateOf(after))?.getTime() ?? null),
    latest: remembering((upTo: number) => cron.previousRuns(1, dateOf(upTo + 1))[0]?.getTime() ?? null),
    times,
    everyHour,
    days: date === "* * *" ? null : days,
  };
});

/** The moments of a wrong clock may be beyond all valid dates. */
function dateOf(moment: number): Date {
  return new Date(Math.min(Math.max(moment, 0), LAST_DATE));
}

export function calculator(pattern: string, timeZone: string): Cron | null {
  try {
    return new Cron(pattern, { mode: "5-part", timezone: timeZone, fixedTimeRule: "no-wildcard" });
  } catch {
    return null;
  }
}

/**
 * The numbers that one field means, in order; null if it is invalid. Accepts what Unix cron accepts, and Cloudflare's
 * additions: ranges over the end (22-2) and steps from a number on (5/15).
 */
export function numbersOf(
  field: string,
  min: number,
  max: number,
  names: readonly string[] = [],
): number[] | null {
  const found = new Set<number>();
  const numberOf = (text: string): number => {
    const named = names.indexOf(text.toUpperCase());
    const number = named >= 0 ? named + min : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
    return number >= min && number <= max ? number : Number.NaN;
  };
  for (const item of field.split(",")) {
    const [, whole, start = "", end, step] = /^(?:([*?])|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(item) ?? [];
    const from = whole === undefined ? numberOf(start) : min;
    const upTo = end !== undefined ? numberOf(end) : whole === undefined && step === undefined ? from : max;
    const by = Number(step ?? 1);
    if (Number.isNaN(from) || Number.isNaN(upTo) || by < 1) return null;
    const last = upTo < from ? upTo + (max - min + 1) : upTo;
    for (let at = from; at <= last; at += by) found.add(at > max ? at - (max - min + 1) : at);
  }
  return [...found].sort((a, b) => a - b);
}

/** Caches the answer to each question, because ten thousand databases share few schedules. */
export function remembering<Q extends string | number, A>(workOut: (question: Q) => A): (question: Q) => A {
  const known = new Map<Q, { readonly answer: A }>();
  return (question) => {
    const before = known.get(question);
    if (before !== undefined) return before.answer;
    const answer = workOut(question);
    if (known.size >= 1_000) known.clear();
    known.set(question, { answer });
    return answer;
  };
}
