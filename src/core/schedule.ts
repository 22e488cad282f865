import { Cron } from "croner";
import { z } from "zod";

/**
 * Cron expressions and when they run. croner is the calculator; nothing here has a clock or a timer.
 *
 * Daylight saving: an expression that names hours runs at each of its times on the wall clock once. One that lies in
 * the skipped hour runs when that hour would have ended, one in the repeated hour runs the first time. An expression
 * for every hour (a * in its second field) goes by elapsed time instead: the skipped hour has no runs, and the
 * repeated one has them twice, because it really passes twice.
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const DAY_MINUTES = 24 * 60;

/** Runs that are closer together are refused. Also how often the heartbeat asks what is due. */
export const SHORTEST_GAP_MS = 5 * MINUTE_MS;

/** In the year 9999, where croner ends. */
const LAST_DATE = 253_370_764_800_000;

/** What is to come is looked at for so long: a year, with each daylight-saving change in it, and a month. */
const HORIZON_DAYS = 396;

/** An own schedule: five fields, weekdays as in Unix cron (0 or 7 is Sunday), and an IANA time zone. */
export type Schedule = "trigger" | OwnSchedule;
export interface OwnSchedule {
  readonly cron: string;
  readonly timeZone: string;
}

export const EXAMPLE_CRON = '"30 2 * * 1-5" (half past two on Mondays to Fridays)';
const EXAMPLE_ZONE = '"Europe/Berlin" or "UTC"';
const EXAMPLE = '{ "cron": "30 2 * * 1-5", "timeZone": "Europe/Berlin" }';

/** When a database is backed up: with the Worker's Cron Triggers, or by an expression of its own. */
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
    ...Object.keys(others).map((key): [string, string] => [
      key,
      `is not known here; a schedule is ${EXAMPLE}`,
    ]),
  ];
  return problems.flatMap(([field, message]) => (message === null ? [] : [[field, message] as const]));
}

function problemOfZone(zone: unknown): string | null {
  if (typeof zone !== "string" || zone.length > 64 || !isZone(zone))
    return `must be an IANA time zone, such as ${EXAMPLE_ZONE}`;
  return null;
}

/** An offset, such as +02:00, is no zone: it knows nothing of daylight saving. */
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
  // Each by itself among stars, so that the wrong one can be named.
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

/** The expression of an own schedule; null when it is none, or its zone is none that the platform knows. */
export function expressionOfSchedule(schedule: OwnSchedule): Expression | null {
  if (!isZone(schedule.timeZone)) return null;
  return expressionOf(schedule.cron.trim().split(/\s+/), schedule.timeZone);
}

/** The same of five fields, in Unix cron's way. */
export function expressionOf(fields: readonly string[], timeZone: string): Expression | null {
  return fields.length === 5 ? compiled(`${fields.join(" ")} ${timeZone}`) : null;
}

const compiled = remembering((text: string): Expression | null => {
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

function calculator(pattern: string, timeZone: string): Cron | null {
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

/** Of two runs on the clock, without what daylight saving does to it. */
function shortestGapMinutes({ times, days }: Expression): number {
  const within = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  const overnight = (times[0] ?? 0) + DAY_MINUTES - (times.at(-1) ?? 0);
  const shortest = Math.min(...within, DAY_MINUTES);
  if (overnight >= shortest || overnight * MINUTE_MS >= SHORTEST_GAP_MS) return Math.min(overnight, shortest);
  return days === null || twoDaysRunning(days) ? overnight : shortest;
}

/** Whether it ever runs on two days running: the calendar repeats itself after 28 years, but for three in 400. */
function twoDaysRunning(days: Cron): boolean {
  let before = Number.NEGATIVE_INFINITY;
  for (const day of days.enumerate(new Date(0))) {
    if (day.getTime() - before <= DAY_MS) return true;
    if (day.getTime() > 28 * 366 * DAY_MS) return false;
    before = day.getTime();
  }
  return false;
}

/**
 * The longest time without a run of any of these expressions, over the coming 13 months: from the run before `now` on,
 * up to the first run after them. Null when none of them ever runs. They must be of one time zone. Never too short, and
 * too long by twice what clocks change at most: worked out on the wall clock, because a year of runs every five minutes
 * is too much to ask croner for.
 */
export function longestGapMs(expressions: readonly Expression[], now: number): number | null {
  if (expressions.length === 0) return null;
  const texts = [...new Set(expressions.map(({ text }) => text))].sort();
  return longestGapAbout([Math.floor(now / DAY_MS), ...texts].join("\n"));
}

const longestGapAbout = remembering((question: string): number | null => {
  const [today, ...texts] = question.split("\n");
  // In no zone it is an earlier day than this.
  const first = Number(today) - 1;
  const calendars = texts.flatMap((text) => {
    const expression = compiled(text);
    const days = expression === null ? [] : daysAround(expression, first, first + HORIZON_DAYS);
    return expression === null || days.length < 2 ? [] : [{ expression, days }];
  });
  const [some] = calendars;
  if (some === undefined) return null;
  const begin = Math.max(...calendars.map(({ days }) => days[0] ?? first));
  const end = Math.min(...calendars.map(({ days }) => days.at(-1) ?? first));
  let longest = 0;
  let before: number | null = null;
  for (const [day, times] of timesByDay(calendars, begin, end))
    for (const time of times) {
      const at = day * DAY_MINUTES + time;
      if (before !== null) longest = Math.max(longest, at - before);
      before = at;
    }
  const gap = longest * MINUTE_MS;
  const shift = largestShiftMs(some.expression.timeZone, first);
  // An hour more or less on the clock is none to what runs every hour.
  const unmoved = calendars.some(({ expression }) => expression.everyHour) && gap <= HOUR_MS;
  return unmoved && shift % HOUR_MS === 0 ? gap : gap + shift;
});

/** Days (since 1970) on which it runs: the last one before `first`, all up to `last`, and the one after that. */
function daysAround({ days }: Expression, first: number, last: number): number[] {
  if (days === null) return Array.from({ length: last - first + 3 }, (_, index) => first - 1 + index);
  const found = days.previousRuns(1, new Date(first * DAY_MS)).map((day) => day.getTime() / DAY_MS);
  for (const midnight of days.enumerate(new Date(first * DAY_MS - 1))) {
    const day = midnight.getTime() / DAY_MS;
    found.push(day);
    if (day > last) break;
  }
  return found;
}

/** The minutes of each day on which any of them runs, days and minutes in order. */
function timesByDay(
  calendars: readonly { expression: Expression; days: readonly number[] }[],
  begin: number,
  end: number,
): [number, readonly number[]][] {
  const times = new Map<number, readonly number[]>();
  for (const { expression, days } of calendars)
    for (const day of days) {
      if (day < begin || day > end) continue;
      const others = times.get(day);
      times.set(day, others === undefined ? expression.times : [...others, ...expression.times]);
    }
  return [...times]
    .map(([day, all]): [number, readonly number[]] => [day, [...all].sort((a, b) => a - b)])
    .sort(([a], [b]) => a - b);
}

/** By how much the zone's clocks are moved at most, some week of the coming 13 months. */
function largestShiftMs(timeZone: string, firstDay: number): number {
  if (timeZone === "UTC") return 0;
  let largest = 0;
  let before = offsetMs(timeZone, firstDay * DAY_MS);
  for (let day = firstDay + 7; day < firstDay + HORIZON_DAYS + 7; day += 7) {
    const offset = offsetMs(timeZone, day * DAY_MS);
    largest = Math.max(largest, Math.abs(offset - before));
    before = offset;
  }
  return largest;
}

const offsetFormat = remembering(
  (timeZone: string) => new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" }),
);

function offsetMs(timeZone: string, at: number): number {
  const [, sign, hours = "0", minutes = "0"] =
    /GMT([+-])(\d\d):(\d\d)/.exec(offsetFormat(timeZone).format(new Date(at))) ?? [];
  return (sign === "-" ? -1 : 1) * (Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS);
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
