import { MINUTE_MS, DAY_MS } from "../time.ts";
import { z } from "zod";
import { type Expression, expressionOf, numbersOf, remembering } from "./cron-expression.ts";
import { longestGapMs } from "./gaps.ts";

/**
 * The Worker's Cron Triggers. A Worker cannot ask which ones it has, and somebody may edit them in Cloudflare's
 * dashboard. So each is remembered when it first fires, and is a schedule in UTC like any other from then on.
 *
 * A trigger that fires at least every 15 minutes is a heartbeat: it asks what is due, and is no schedule itself. The
 * slots of every other trigger are the runs of its expression since its first fire, and each fire that was seen. So a
 * fire that Cloudflare missed is caught up on, and a fire that our reading of the expression did not predict counts.
 */

const HEARTBEAT_GAP_MS = 15 * MINUTE_MS;

/** An expression that we cannot read has no known period: it is assumed to fire once a month. */
export const UNKNOWN_GAP_MS = 31 * DAY_MS;

export const triggerSchema = z.object({
  /** As Cloudflare passes it. */
  cron: z.string(),
  /** Milliseconds since the epoch, of the fire's own scheduled time. */
  firstSeenAt: z.number().int(),
  seenAt: z.number().int(),
  /** For how long the Worker has been woken by other triggers since then. */
  silentMs: z.number().int().nonnegative(),
});
export type Trigger = z.infer<typeof triggerSchema>;

export const triggersSchema = z.array(triggerSchema);

const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/**
 * Cloudflare's expression in the form of Unix cron: Sunday is 0 instead of 1; ranges over the end and steps from a
 * number on are spelt out. Null if there is no such form: for days counted from the month's end (L-3), or without an
 * expression, as in a simulated fire.
 */
export function unixCron(cron: string): string | null {
  const [minute = "", hour = "", day = "", month = "", weekday = "", ...more] = cron.trim().split(/\s+/);
  const fields = [
    listed(numbersOf(minute, 0, 59), minute),
    listed(numbersOf(hour, 0, 23), hour),
    /^(?:LW?|\d{1,2}W)$/i.test(day) ? day.toUpperCase() : listed(numbersOf(day, 1, 31), day),
    listed(numbersOf(month, 1, 12, MONTHS), month),
    unixWeekday(weekday),
  ];
  return more.length > 0 || fields.includes(null) ? null : fields.join(" ");
}

function unixWeekday(field: string): string | null {
  // Alone, L is the week's last day; after a day, it is that day's last occurrence in the month.
  if (/^L$/i.test(field)) return "6";
  const [, name = "", which] = /^(\w+?)(L|#[1-5])$/i.exec(field) ?? [];
  const numbers = numbersOf(which === undefined ? field : name, 1, 7, DAYS);
  if (numbers === null || (which !== undefined && numbers.length !== 1)) return null;
  const shifted = numbers.map((number) => number - 1);
  return which === undefined ? listed(shifted, field) : `${shifted.join(",")}${which.toUpperCase()}`;
}

/** Keeps a star: croner, like Cloudflare, runs if either of two given fields of days matches. */
function listed(numbers: readonly number[] | null, field: string): string | null {
  if (numbers === null) return null;
  return field === "*" ? "*" : numbers.join(",");
}

/** The runs of a trigger's expression; null if the expression cannot be read. */
export const expressionOfTrigger = remembering((cron: string): Expression | null => {
  const unix = unixCron(cron);
  return unix === null ? null : expressionOf(unix.split(" "), "UTC");
});

/** Fires at least every 15 minutes, all the time. */
export function isHeartbeat(cron: string): boolean {
  const gap = periodMs(cron);
  return gap !== null && gap <= HEARTBEAT_GAP_MS;
}

/** The longest time between two fires, in any year; null if the expression cannot be read. */
const periodMs = remembering((cron: string): number | null => {
  const expression = expressionOfTrigger(cron);
  return expression === null ? null : longestGapMs([expression], 0);
});

/**
 * Remembers a fire, which may be reported twice or late. Forgets triggers that have not fired for two of their periods,
 * because they were removed. Only time in which others fired counts against them. So after days without any fire, due
 * to Cloudflare or because the Worker was gone, the missed triggers are still known and caught up on.
 */
export function sawTrigger(triggers: readonly Trigger[], cron: string, scheduledTime: number): Trigger[] {
  const fires = triggers.map(({ seenAt }) => seenAt).filter((seenAt) => seenAt <= scheduledTime);
  const since = fires.length === 0 ? 0 : scheduledTime - Math.max(...fires);
  // At most this trigger's own period can have passed while the Worker was awake without any fire.
  const awakeMs = Math.min(since, periodMs(cron) ?? 0);
  const others = triggers
    .filter((trigger) => trigger.cron !== cron)
    .map((trigger) => ({ ...trigger, silentMs: trigger.silentMs + awakeMs }))
    .filter((trigger) => trigger.silentMs < 2 * (periodMs(trigger.cron) ?? UNKNOWN_GAP_MS));
  const before = triggers.find((trigger) => trigger.cron === cron);
  // A fire more than a day ahead was reported while the clock was wrong.
  const known =
    before !== undefined && before.seenAt <= scheduledTime + DAY_MS ? before.seenAt : scheduledTime;
  const seen = {
    cron,
    firstSeenAt: Math.min(before?.firstSeenAt ?? scheduledTime, scheduledTime),
    seenAt: Math.max(known, scheduledTime),
    silentMs: 0,
  };
  return [...others, seen].sort((a, b) => a.firstSeenAt - b.firstSeenAt || (a.cron < b.cron ? -1 : 1));
}

/** The triggers that databases follow. */
export function scheduleTriggers(triggers: readonly Trigger[]): Trigger[] {
  return triggers.filter(({ cron }) => !isHeartbeat(cron));
}

/**
 * Whether databases that follow the triggers have the same slots before and after a fire. True for heartbeats and for
 * predicted fires, so that thousands of databases need not be checked each time.
 */
export function giveSameSlots(before: readonly Trigger[], after: readonly Trigger[]): boolean {
  return slotsText(before) === slotsText(after);
}

function slotsText(triggers: readonly Trigger[]): string {
  const slots = scheduleTriggers(triggers).map((trigger) => {
    const { cron, firstSeenAt, seenAt } = trigger;
    const isForeseen = expressionOfTrigger(cron) !== null && !isByHand(trigger, seenAt);
    return [cron, firstSeenAt, isForeseen ? null : seenAt];
  });
  return JSON.stringify(slots);
}

/** When the last heartbeat fired, for health; null if none is known. */
export function lastHeartbeat(triggers: readonly Trigger[]): number | null {
  const seen = triggers.filter(({ cron }) => isHeartbeat(cron)).map(({ seenAt }) => seenAt);
  return seen.length === 0 ? null : Math.max(...seen);
}

/** The trigger's latest slot up to and including a moment; null if there was none. */
export function latestTriggerSlot(trigger: Trigger, upTo: number): number | null {
  const expression = expressionOfTrigger(trigger.cron);
  const run = expression === null ? null : expression.latest(upTo);
  const slots = [run, trigger.seenAt].filter(
    (slot): slot is number => slot !== null && slot >= trigger.firstSeenAt && slot <= upTo,
  );
  return slots.length === 0 ? null : Math.max(...slots);
}

/** The trigger's first slot after a moment; null if none is known. */
export function nextTriggerSlot(trigger: Trigger, after: number): number | null {
  const expression = expressionOfTrigger(trigger.cron);
  const run = expression === null ? null : expression.next(Math.max(after, trigger.firstSeenAt - 1));
  const slots = [run, trigger.seenAt].filter((slot): slot is number => slot !== null && slot > after);
  return slots.length === 0 ? null : Math.min(...slots);
}

/**
 * Whether its readable expression does not predict this fire, which somebody must have simulated.
 */
export function isByHand(trigger: Trigger, slot: number): boolean {
  const expression = expressionOfTrigger(trigger.cron);
  return expression !== null && slot === trigger.seenAt && expression.latest(slot) !== slot;
}
