/**
 * When a schedule runs, by brute force: looks at every minute of the time asked for, knows no cron and no croner.
 */
export interface Spec {
  readonly minutes: readonly number[];
  /** Null: every hour. */
  readonly hours: readonly number[] | null;
  /** Of the month, from 1. Null stands for all of them. */
  readonly days: readonly number[] | null;
  readonly months: readonly number[] | null;
  /** 0 is Sunday. */
  readonly weekdays: readonly number[] | null;
}

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export function at(text: string): number {
  return Date.parse(text.endsWith("Z") ? text : `${text}Z`);
}

export function spec(parts: Partial<Spec>): Spec {
  return { minutes: [0], hours: null, days: null, months: null, weekdays: null, ...parts };
}

export function cronOf({ minutes, hours, days, months, weekdays }: Spec): string {
  return [minutes, hours, days, months, weekdays].map((field) => field?.join(",") ?? "*").join(" ");
}

/** The moments in [from, to) at which it runs. */
export function slotsOf(wanted: Spec, timeZone: string, from: number, to: number): number[] {
  const clock = wallClock(timeZone);
  const slots: number[] = [];
  // What the clock on the wall has shown so far, from a day earlier on, so that a repeated hour is known.
  let shown = clock(from - DAY) - 1;
  for (let moment = from - DAY; moment < to; moment += MINUTE) {
    const wall = clock(moment);
    let runs = wanted.hours === null && matches(wanted, wall);
    // Named hours: what it shows for the first time, minutes that it skips included.
    if (wanted.hours !== null)
      for (let minute = shown + 1; minute <= wall; minute++) runs ||= matches(wanted, minute);
    if (runs && moment >= from) slots.push(moment);
    shown = Math.max(shown, wall);
  }
  return slots;
}

function matches({ minutes, hours, days, months, weekdays }: Spec, wall: number): boolean {
  if (!minutes.includes(wall % 60)) return false;
  if (hours !== null && !hours.includes(Math.floor(wall / 60) % 24)) return false;
  const date = new Date(wall * MINUTE);
  if (months !== null && !months.includes(date.getUTCMonth() + 1)) return false;
  const onDay = days?.includes(date.getUTCDate());
  const onWeekday = weekdays?.includes(date.getUTCDay());
  // Cron's oldest oddity: when both are given, either is enough.
  return onDay === undefined || onWeekday === undefined ? (onDay ?? onWeekday ?? true) : onDay || onWeekday;
}

/** Minutes since 1970 as the clocks of a zone show them. They change at a quarter of an hour, if ever. */
function wallClock(timeZone: string): (moment: number) => number {
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "short" });
  let quarter = Number.NaN;
  let ahead = 0;
  return (moment) => {
    const began = Math.floor(moment / (15 * MINUTE)) * 15 * MINUTE;
    if (began !== quarter) {
      quarter = began;
      ahead = at(format.format(began).replace(" ", "T")) - began;
    }
    return Math.floor((moment + ahead) / MINUTE);
  };
}

/** The longest time between two of these moments. */
export function longestGap(moments: readonly number[]): number {
  return moments.reduce(
    (longest, moment, index) => Math.max(longest, moment - (moments[index - 1] ?? moment)),
    0,
  );
}
