import { HOUR_MS, DAY_MS } from "../time.ts";
import type { Expression } from "./cron-expression.ts";
import {
  expressionOfTrigger,
  isByHand,
  latestTriggerSlot,
  nextTriggerSlot,
  scheduleTriggers,
  type Trigger,
  UNKNOWN_GAP_MS,
} from "./cron-triggers.ts";
import { longestGapMs } from "./gaps.ts";
import { expressionOfSchedule, localTime, type Schedule } from "./schedule-schema.ts";
import { positionOf } from "./spread.ts";

/**
 * When a database should be backed up. Levels, not edges: a slot is a moment at which the schedule wants a backup, and
 * the question is whether a slot has passed unserved. So a missed fire, heartbeat or hour loses nothing, and a double
 * one does nothing twice.
 *
 * Only one number is kept for a database, its anchor: every slot up to that moment is served. The caller
 *
 *  1. starts a new database with `anchor = now`, and uses `anchorAfterChange` when a policy has changed, so that
 *     creating a database, ending a pause or changing a schedule fires nothing;
 *  2. starts a database when `dueAt` has come, with a request whose key contains the slot from `serve`, and stores the
 *     anchor from `serve` once the start was accepted (if we die in between, the key or the running run prevents a
 *     second start);
 *  3. calls `dueAt` again only when the anchor, the plan or the triggers' slots (`giveSameSlots`) have changed, because
 *     its answer does not depend on the clock;
 *  4. corrects with `soundAnchor` an anchor more than a day ahead of the clock: a jump of the clock must not silence a
 *     schedule.
 *
 * A manual backup serves no slot and needs no anchor.
 */

/** Databases that are due at the same moment start within this window. */
export const SPREAD_MS = 10 * 60_000;

/** The window ends this long (one heartbeat) before the next slot, so that a slot starts before the next one comes. */
const ROOM_MS = 5 * 60_000;

/** How late a backup may be, because it waits for a lease and then takes time. */
const GRACE_MS = 2 * HOUR_MS;

/** The part of a database's policy that says when it is backed up. */
export interface Plan {
  readonly schedule: Schedule;
  readonly paused: boolean;
}

/**
 * When the database next starts: at its first slot after the anchor, plus its own offset in the window, which is always
 * the same. Null if it never starts: it is paused, or no trigger is known.
 */
export function dueAt(
  databaseId: string,
  plan: Plan,
  triggers: readonly Trigger[],
  anchor: number,
  spreadMs: number = SPREAD_MS,
): number | null {
  const slot = nextSlot(plan, triggers, anchor);
  if (slot === null) return null;
  if (plan.schedule === "trigger" && triggers.some((trigger) => isByHand(trigger, slot))) return slot;
  const following = nextSlot(plan, triggers, slot);
  const room = following === null ? spreadMs : following - slot - ROOM_MS;
  const window = Math.max(0, Math.min(spreadMs, room));
  return slot + Math.floor((positionOf(databaseId, PLACES) / PLACES) * window);
}

/** The number of places in a window of any length, so that the order is the same in each. */
const PLACES = 1_000_000;

/**
 * The slot that a start at `now` serves, and the anchor after it: the latest slot, because one backup serves all missed
 * slots. Null if there is none to serve.
 */
export function serve(
  plan: Plan,
  triggers: readonly Trigger[],
  anchor: number,
  now: number,
): { slot: number; anchor: number } | null {
  const slot = latestSlot(plan, triggers, now);
  return slot === null || slot <= anchor ? null : { slot, anchor: slot };
}

/** The anchor after a policy change: a new schedule, or one that is no longer paused, starts now. */
export function anchorAfterChange(before: Plan, after: Plan, anchor: number, now: number): number {
  const resumed = before.paused && !after.paused;
  return resumed || !sameSchedule(before.schedule, after.schedule) ? Math.max(anchor, now) : anchor;
}

function sameSchedule(a: Schedule, b: Schedule): boolean {
  if (a === "trigger" || b === "trigger") return a === b;
  return a.cron === b.cron && a.timeZone === b.timeZone;
}

/**
 * The anchor, or `now` if the anchor is further ahead than a clock that went back a day can explain: more than a day
 * plus the schedule's longest gap. Within that the anchor stays, so that nothing is done twice.
 */
export function soundAnchor(plan: Plan, triggers: readonly Trigger[], anchor: number, now: number): number {
  if (anchor <= now + DAY_MS) return anchor;
  return anchor <= now + DAY_MS + (longestGap(plan.schedule, triggers, now) ?? 0) ? anchor : now;
}

/**
 * How old the latest backup may be: the policy's limit, otherwise two hours plus the longest gap between slots in the
 * coming 13 months, or plus a month for a trigger that cannot be read (`0 3 L * *`). Without any trigger, 26 hours.
 */
export function freshnessLimitMs(
  policy: { readonly schedule: Schedule; readonly freshnessMs: number | null },
  triggers: readonly Trigger[],
  now: number,
): number {
  if (policy.freshnessMs !== null) return policy.freshnessMs;
  const gap = longestGap(policy.schedule, triggers, now);
  if (gap !== null) return gap + GRACE_MS;
  const isUnread = policy.schedule === "trigger" && scheduleTriggers(triggers).length > 0;
  return (isUnread ? UNKNOWN_GAP_MS : DAY_MS) + GRACE_MS;
}

export interface SchedulePreview {
  /** The next five, `local` in the schedule's own time zone. */
  readonly runs: readonly { readonly at: string; readonly local: string }[];
  readonly timeZone: string;
  /** The freshness limit for this schedule. */
  readonly freshnessMs: number;
  /** Why there are no runs. */
  readonly note: string | null;
}

/** Shows what a schedule would do, before it is saved. */
export function previewSchedule(
  schedule: Schedule,
  triggers: readonly Trigger[],
  now: number,
): SchedulePreview {
  const timeZone = schedule === "trigger" ? "UTC" : schedule.timeZone;
  const runs: { at: string; local: string }[] = [];
  let slot = nextSlot({ schedule, paused: false }, triggers, now);
  while (slot !== null && runs.length < 5) {
    runs.push({ at: new Date(slot).toISOString(), local: localTime(slot, timeZone) });
    slot = nextSlot({ schedule, paused: false }, triggers, slot);
  }
  const freshnessMs = freshnessLimitMs({ schedule, freshnessMs: null }, triggers, now);
  return { runs, timeZone, freshnessMs, note: runs.length === 0 ? NO_TRIGGER_YET : null };
}

const NO_TRIGGER_YET =
  "No nightly trigger of the Worker has fired yet, or recently. A Worker learns about its triggers when they fire.";

function nextSlot({ schedule, paused }: Plan, triggers: readonly Trigger[], after: number): number | null {
  if (paused) return null;
  if (schedule !== "trigger") return expressionOfSchedule(schedule)?.next(after) ?? null;
  const slots = known(scheduleTriggers(triggers).map((trigger) => nextTriggerSlot(trigger, after)));
  return slots.length === 0 ? null : Math.min(...slots);
}

function latestSlot({ schedule, paused }: Plan, triggers: readonly Trigger[], upTo: number): number | null {
  if (paused) return null;
  if (schedule !== "trigger") return expressionOfSchedule(schedule)?.latest(upTo) ?? null;
  const slots = known(scheduleTriggers(triggers).map((trigger) => latestTriggerSlot(trigger, upTo)));
  return slots.length === 0 ? null : Math.max(...slots);
}

function longestGap(schedule: Schedule, triggers: readonly Trigger[], now: number): number | null {
  const expressions: (Expression | null)[] =
    schedule === "trigger"
      ? scheduleTriggers(triggers).map(({ cron }) => expressionOfTrigger(cron))
      : [expressionOfSchedule(schedule)];
  return longestGapMs(known(expressions), now);
}

function known<T>(values: readonly (T | null)[]): T[] {
  return values.filter((value): value is T => value !== null);
}
