import type { Retention } from "../../../src/core/backup/retention.ts";
import { DAY, HOUR, longestGap, MINUTE, slotsOf, type Spec } from "./wall-clock-model.ts";

/**
 * What a year of backups should come to, by brute force and from the rules alone: shares no code with what it judges.
 */
const SPREAD = 10 * MINUTE;
const BEAT = 5 * MINUTE;
const GRACE = 2 * HOUR;
const UNKNOWN_LIMIT = 26 * HOUR;

/** An expression of the model's, in a zone; both exist under one name in the scenario. */
export interface ModelSchedule {
  readonly spec: Spec;
  readonly timeZone: string;
}

/** A trigger of Cloudflare's, as long as it is to be remembered: from its first fire until it is forgotten. */
export interface ModelTrigger {
  readonly spec: Spec;
  readonly from: number;
  readonly until: number;
}

/** For so long a database had one schedule, and was neither paused nor gone. */
export interface Stretch {
  readonly from: number;
  readonly until: number;
  readonly schedule: "trigger" | ModelSchedule;
}

export interface Start {
  readonly slot: number;
  readonly startedAt: number;
}

export interface ModelBackup {
  readonly id: string;
  readonly startedAt: number;
  readonly pinned: boolean;
}

export class YearModel {
  readonly #triggers: readonly ModelTrigger[];
  readonly #begin: number;
  readonly #end: number;
  readonly #slots = new Map<string, readonly number[]>();
  readonly #gaps = new Map<string, number>();

  constructor(triggers: readonly ModelTrigger[], begin: number, end: number) {
    this.#triggers = triggers;
    this.#begin = begin;
    this.#end = end;
  }

  /** How old a backup may be under this schedule, at that moment. */
  limit(schedule: "trigger" | ModelSchedule, now: number): number {
    const schedules: ModelSchedule[] =
      schedule === "trigger"
        ? this.#triggers
            .filter(({ from, until }) => from <= now && now < until)
            .map((trigger) => ({ spec: trigger.spec, timeZone: "UTC" }))
        : [schedule];
    if (schedules.length === 0) return UNKNOWN_LIMIT;
    const key = JSON.stringify(schedules);
    const gap = this.#gaps.get(key) ?? longestGap(inOrder(schedules.flatMap((one) => this.#runs(one))));
    this.#gaps.set(key, gap);
    return gap + GRACE;
  }

  /** What is wrong with the starts of one database, and how many of its slots could have gone either way. */
  judge(
    stretch: Stretch,
    starts: readonly Start[],
    beats: readonly number[],
  ): { wrong: string[]; open: number } {
    const slots = this.#slotsOf(stretch);
    const wrong: string[] = [];
    let open = 0;
    const served = new Map<number, Start[]>();
    for (const start of starts) served.set(start.slot, [...(served.get(start.slot) ?? []), start]);
    const known = new Set(slots);
    for (const slot of served.keys()) if (!known.has(slot)) wrong.push(`${iso(slot)} is no slot`);
    for (const [index, slot] of slots.entries()) {
      const next = slots[index + 1] ?? Number.POSITIVE_INFINITY;
      const closes = Math.min(next, stretch.until);
      const window = Math.max(0, Math.min(SPREAD, next - slot - BEAT));
      const first = beatFrom(beats, slot);
      const sure = beatFrom(beats, slot + window);
      const found = served.get(slot) ?? [];
      if (found.length > 1) wrong.push(`${iso(slot)} is served ${found.length} times`);
      if (first >= closes && found.length > 0)
        wrong.push(`${iso(slot)} is served after the slot that follows it`);
      if (sure < closes && found.length === 0) wrong.push(`${iso(slot)} is lost`);
      if (first < closes && sure >= closes) open++;
      for (const { startedAt } of found)
        if (startedAt < first || startedAt > sure) wrong.push(`${iso(slot)} is served at ${iso(startedAt)}`);
    }
    return { wrong, open };
  }

  /** Slots of a stretch: later than its beginning, which is where everything counts as served. */
  #slotsOf({ schedule, from, until }: Stretch): number[] {
    const slots =
      schedule === "trigger"
        ? this.#triggers.flatMap((trigger) =>
            this.#runs({ spec: trigger.spec, timeZone: "UTC" }).filter(
              (slot) => slot >= trigger.from && slot < trigger.until,
            ),
          )
        : this.#runs(schedule);
    return inOrder(slots.filter((slot) => slot > from && slot < until));
  }

  #runs({ spec, timeZone }: ModelSchedule): readonly number[] {
    const key = JSON.stringify([spec, timeZone]);
    const slots = this.#slots.get(key) ?? slotsOf(spec, timeZone, this.#begin, this.#end);
    this.#slots.set(key, slots);
    return slots;
  }
}

/** The first of these moments that is not before another. */
function beatFrom(beats: readonly number[], moment: number): number {
  let [low, high] = [0, beats.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((beats[middle] ?? 0) < moment) low = middle + 1;
    else high = middle;
  }
  return beats[low] ?? Number.POSITIVE_INFINITY;
}

function inOrder(moments: readonly number[]): number[] {
  return [...new Set(moments)].sort((a, b) => a - b);
}

function iso(moment: number): string {
  return new Date(moment).toISOString();
}

/** What is kept of all the backups that a database ever had, under one policy. */
export function keptOf(all: readonly ModelBackup[], policy: Retention): Set<string> {
  const newest = Math.max(...all.map(({ startedAt }) => startedAt));
  const anything = Object.values(policy).some((count) => count > 0);
  const rules: [number, (at: number) => string][] = [
    [policy.keepLast, iso],
    [policy.keepHourly, (moment) => iso(moment).slice(0, 13)],
    [policy.keepDaily, (moment) => iso(moment).slice(0, 10)],
    [policy.keepWeekly, mondayOf],
    [policy.keepMonthly, (moment) => iso(moment).slice(0, 7)],
    [policy.keepYearly, (moment) => iso(moment).slice(0, 4)],
  ];
  const kept = new Set(
    all
      .filter(
        ({ startedAt, pinned }) =>
          pinned || !anything || startedAt === newest || newest - startedAt <= policy.keepWithinDays * DAY,
      )
      .map(({ id }) => id),
  );
  for (const [count, periodOf] of rules) {
    const newestOf = new Map<string, ModelBackup>();
    for (const backup of all) {
      const period = periodOf(backup.startedAt);
      if (backup.startedAt >= (newestOf.get(period)?.startedAt ?? 0)) newestOf.set(period, backup);
    }
    // Names of periods are in the order of time.
    const latest = [...newestOf.keys()].sort().toReversed().slice(0, count);
    for (const period of latest) kept.add(newestOf.get(period)?.id ?? "");
  }
  return kept;
}

/** The week, by its Monday. */
function mondayOf(moment: number): string {
  const sinceMonday = (new Date(moment).getUTCDay() + 6) % 7;
  return iso(moment - sinceMonday * DAY).slice(0, 10);
}
