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
 * When a database is to be backed up. By level, not by edge: a slot is a moment at which its schedule wants a backup,
 * and what is asked is whether a slot has passed that was not served. So a fire, a heartbeat or an hour that was missed
 * loses nothing, and one that comes twice does nothing twice.
 *
 * All that is kept of a database is its anchor: every slot up to that moment is served. Whoever keeps it
 *
 *  1. begins a new database with `anchor = now`, and takes `anchorAfterChange` when a policy has changed, so that
 *     nothing fires on creation, on un-pausing or on a new schedule;
 *  2. starts a database when `dueAt` has come, by a request whose key is made of the slot that `serve` names, and keeps
 *     the anchor that it gives once the start was taken (died in between: the key, or the run that is under way, keeps
 *     it from starting twice);
 *  3. asks `dueAt` anew when the anchor, the plan or the triggers' slots (`giveSameSlots`) have changed, and needs to
 *     at no other time: its answer does not depend on the clock;
 *  4. puts right with `soundAnchor` what lies more than a day ahead of the clock: a jump of the clock must not silence
 *     a schedule.
 *
 * A backup that somebody asks for serves no slot and needs no anchor.
 */

/** Databases that are due at the same moment start within this window. */
export const SPREAD_MS = 10 * 60_000;

/** A slot must be started before the next one comes: the window ends so long before that, which is a heartbeat's time. */
const ROOM_MS = 5 * 60_000;

/** How late a backup may be: it waits for its turn, and takes its time. */
const GRACE_MS = 2 * HOUR_MS;

/** The part of a database's policy that says when it is backed up. */
export interface Plan {
  readonly schedule: Schedule;
  readonly paused: boolean;
}

/**
 * When the database next starts: at its first slot after the anchor and its own place in the window, the same each time
 * and in the same order for all. Null when nothing is to come: paused, or no trigger is known.
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

/** Places in a window, whatever its length, so that the order in each of them is the same. */
const PLACES = 1_000_000;

/**
 * The slot that a start at `now` serves, and the anchor after it: the latest slot, because one backup makes up for all
 * that were missed. Null when there is none to serve.
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

/** The anchor under a changed policy: another schedule, or one that is no longer paused, begins from now on. */
export function anchorAfterChange(before: Plan, after: Plan, anchor: number, now: number): number {
  const resumed = before.paused && !after.paused;
  return resumed || !sameSchedule(before.schedule, after.schedule) ? Math.max(anchor, now) : anchor;
}

function sameSchedule(a: Schedule, b: Schedule): boolean {
  if (a === "trigger" || b === "trigger") return a === b;
  return a.cron === b.cron && a.timeZone === b.timeZone;
}

/**
 * The anchor, or now in its place when it lies further ahead than a clock that went back a day explains: by more than
 * a day and the schedule's longest gap. Within that it stays, so that nothing is done twice.
 */
export function soundAnchor(plan: Plan, triggers: readonly Trigger[], anchor: number, now: number): number {
  if (anchor <= now + DAY_MS) return anchor;
  return anchor <= now + DAY_MS + (longestGap(plan.schedule, triggers, now) ?? 0) ? anchor : now;
}

/**
 * How old the latest backup may be: what the policy says, else the longest gap between the slots of the coming 13
 * months and two hours. Of a
 * trigger that cannot be read, such as `0 3 L * *`, a month and two hours; with no trigger at all 26 hours.
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
  /** The freshness limit that goes with it. */
  readonly freshnessMs: number;
  /** Why there are none. */
  readonly note: string | null;
}

/** What a schedule would do, before it is saved. */
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
  "No nightly trigger of the Worker has fired yet, or lately: a Worker learns of its triggers when they fire.";

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
