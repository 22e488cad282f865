import type { Cron } from "croner";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../time.ts";
import { compiled, type Expression, remembering } from "./cron-expression.ts";

const DAY_MINUTES = 24 * 60;

/** Schedules with runs closer together are refused. Also how often the heartbeat asks what is due. */
export const SHORTEST_GAP_MS = 5 * MINUTE_MS;

/** How far ahead gaps are searched: a year, with each daylight-saving change in it, and a month. */
const HORIZON_DAYS = 396;

/** The shortest gap between two runs on the clock, ignoring daylight saving. */
export function shortestGapMinutes({ times, days }: Expression): number {
  const within = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  const overnight = (times[0] ?? 0) + DAY_MINUTES - (times.at(-1) ?? 0);
  const shortest = Math.min(...within, DAY_MINUTES);
  if (overnight >= shortest || overnight * MINUTE_MS >= SHORTEST_GAP_MS) return Math.min(overnight, shortest);
  return days === null || twoDaysRunning(days) ? overnight : shortest;
}

/** Whether it ever runs on two consecutive days. The calendar repeats after 28 years, with three exceptions in 400. */
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
 * The longest time without a run of any of these expressions in the coming 13 months: from the run before `now` to the
 * first run after them. Null if none of them ever runs. All must have one time zone. The result is never too short,
 * and too long by at most twice the largest clock change: it is calculated on the wall clock, because croner would take
 * too long for a year of runs every five minutes.
 */
export function longestGapMs(expressions: readonly Expression[], now: number): number | null {
  if (expressions.length === 0) return null;
  const texts = [...new Set(expressions.map(({ text }) => text))].sort();
  return longestGapAbout([Math.floor(now / DAY_MS), ...texts].join("\n"));
}

const longestGapAbout = remembering((question: string): number | null => {
  const [today, ...texts] = question.split("\n");
  // No zone has an earlier day than this.
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
  // An hourly schedule does not notice a change of the clock by an hour.
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

/** The largest change of the zone's clocks in any week of the coming 13 months. */
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
