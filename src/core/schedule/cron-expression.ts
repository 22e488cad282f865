import { Cron } from "croner";

/**
 * Cron expressions and when they run. croner is the calculator; nothing here has a clock or a timer.
 *
 * Daylight saving: an expression that names hours runs at each of its times on the wall clock once. One that lies in
 * the skipped hour runs when that hour would have ended, one in the repeated hour runs the first time. An expression
 * for every hour (a * in its second field) goes by elapsed time instead: the skipped hour has no runs, and the
 * repeated one has them twice, because it really passes twice.
 */

/** In the year 9999, where croner ends. */
const LAST_DATE = 253_370_764_800_000;

/** A cron expression, ready to be calculated with. */
export interface Expression {
  /** Its fields and its zone: two of the same text are the same. */
  readonly text: string;
  readonly timeZone: string;
  /** The first run after a moment; null when none is to come. */
  next(after: number): number | null;
  /** The latest run up to a moment, that moment included; null when there was none. */
  latest(upTo: number): number | null;
  /** Minutes of the day at which it runs, on the days on which it runs. */
  readonly times: readonly number[];
  /** Goes by elapsed time, not by the wall clock. */
  readonly everyHour: boolean;
  /** Midnights (UTC) of the days on which it runs; null when that is all of them. */
  readonly days: Cron | null;
}

/** The same of five fields, in Unix cron's way. */
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
  // Spelt out, because croner takes any step (0-30/15) for an interval, even in an hour that is named.
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

/** What a wrong clock tells may lie beyond the dates that there are. */
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
 * The numbers that one field stands for, in order; null when it cannot be read. Takes what Unix cron takes, and what
 * Cloudflare takes beyond that: ranges over the end (22-2) and steps from a number on (5/15).
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

/** The same answer to the same question, worked out once: ten thousand databases share few schedules. */
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
