import { describe, expect, it } from "vitest";
import { sawTrigger, type Trigger } from "../../../src/core/schedule/cron-triggers.ts";
import { scheduleSchema } from "../../../src/core/schedule/schedule-schema.ts";
import {
  anchorAfterChange,
  dueAt,
  freshnessLimitMs,
  type Plan,
  previewSchedule,
  serve,
  soundAnchor,
  SPREAD_MS,
} from "../../../src/core/schedule/schedule.ts";
import { at, cronOf, DAY, HOUR, MINUTE, slotsOf, spec } from "./wall-clock-model.ts";
import fc from "fast-check";

const NIGHT = at("2026-11-21T03:00");
const FOLLOWS: Plan = { schedule: "trigger", paused: false };
const BERLIN: Plan = { schedule: { cron: "30 2 * * *", timeZone: "Europe/Berlin" }, paused: false };
const seen = (...fires: [string, number][]): Trigger[] =>
  fires.reduce<Trigger[]>((triggers, [cron, time]) => sawTrigger(triggers, cron, time), []);
const NIGHTLY = seen(["*/5 * * * *", NIGHT], ["0 3 * * *", NIGHT]);
const uuid = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

/** One database as whoever keeps the anchors drives it, by a heartbeat at each of these moments. */
function drive(
  id: string,
  plan: Plan,
  anchor: number,
  beats: readonly number[],
  triggers: readonly Trigger[] = [],
): { slot: number; startedAt: number }[] {
  const starts: { slot: number; startedAt: number }[] = [];
  let kept = anchor;
  for (const now of beats) {
    kept = soundAnchor(plan, triggers, kept, now);
    const due = dueAt(id, plan, triggers, kept);
    if (due === null || due > now) continue;
    const served = serve(plan, triggers, kept, now);
    if (served === null) continue;
    starts.push({ slot: served.slot, startedAt: now });
    kept = served.anchor;
  }
  return starts;
}

function heartbeats(from: number, to: number): number[] {
  return Array.from(
    { length: Math.ceil((to - from) / (5 * MINUTE)) },
    (_, index) => from + index * 5 * MINUTE,
  );
}

const some = (max: number, most: number) =>
  fc.uniqueArray(fc.integer({ min: 0, max }), { minLength: 1, maxLength: most });
/** Schedules that are allowed, from a few a week to some hundreds a day. */
const schedules = fc
  .record({
    minutes: fc.oneof(
      some(59, 2),
      fc.constantFrom([0, 30], [0, 15, 30, 45], [0, 10, 20, 30, 40, 50], FIVES()),
    ),
    hours: fc.option(some(23, 3)),
    weekdays: fc.option(some(6, 5)),
  })
  .map(spec)
  .filter((wanted) => scheduleSchema.safeParse({ cron: cronOf(wanted), timeZone: "UTC" }).success);
function FIVES(): number[] {
  return Array.from({ length: 12 }, (_, index) => index * 5);
}
const zones = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe");
/** Weeks with and without a change of clocks. */
const weeks = fc
  .constantFrom("2026-03-26", "2026-10-02", "2026-10-23", "2026-10-30", "2026-12-03")
  .map((day) => at(`${day}T00:00`));

describe("a database's anchor", () => {
  it("is the moment at which it is new: nothing fires on creation (failure mode 16)", () => {
    const now = NIGHT + 9 * HOUR;
    expect(drive(uuid(1), FOLLOWS, now, heartbeats(now, now + 12 * HOUR), NIGHTLY)).toEqual([]);
    expect(serve(FOLLOWS, NIGHTLY, now, now)).toBeNull();
    expect(dueAt(uuid(1), FOLLOWS, NIGHTLY, now)).toBeGreaterThanOrEqual(NIGHT + DAY);
  });

  it("is now when it is no longer paused: nothing fires at once (failure mode 16)", () => {
    const now = NIGHT + 5 * DAY + HOUR;
    const anchor = anchorAfterChange({ ...FOLLOWS, paused: true }, FOLLOWS, NIGHT, now);
    expect(anchor).toBe(now);
    expect(dueAt(uuid(1), FOLLOWS, NIGHTLY, anchor)).toBeGreaterThanOrEqual(NIGHT + 6 * DAY);
  });

  it.each<[string, Plan, Plan, boolean]>([
    [
      "another expression",
      BERLIN,
      { ...BERLIN, schedule: { cron: "0 1 * * *", timeZone: "Europe/Berlin" } },
      true,
    ],
    ["another zone", BERLIN, { ...BERLIN, schedule: { cron: "30 2 * * *", timeZone: "Asia/Tokyo" } }, true],
    ["the triggers instead of an expression", BERLIN, FOLLOWS, true],
    ["an expression instead of the triggers", FOLLOWS, BERLIN, true],
    [
      "the same expression",
      BERLIN,
      { ...BERLIN, schedule: { cron: "30 2 * * *", timeZone: "Europe/Berlin" } },
      false,
    ],
    ["the triggers again", FOLLOWS, { ...FOLLOWS }, false],
    ["a pause", FOLLOWS, { ...FOLLOWS, paused: true }, false],
  ])("after a change to %s", (_, before, after, moves) => {
    expect(anchorAfterChange(before, after, NIGHT, NIGHT + HOUR)).toBe(moves ? NIGHT + HOUR : NIGHT);
  });

  it("lets nothing start while it is paused", () => {
    const paused = { ...FOLLOWS, paused: true };
    expect(dueAt(uuid(1), paused, NIGHTLY, 0)).toBeNull();
    expect(serve(paused, NIGHTLY, 0, NIGHT + DAY)).toBeNull();
  });

  it("lets nothing start while no trigger is known", () => {
    expect(dueAt(uuid(1), FOLLOWS, seen(["*/5 * * * *", NIGHT]), 0)).toBeNull();
    expect(serve(FOLLOWS, [], 0, NIGHT)).toBeNull();
  });
});

describe("slots", () => {
  it("are each served once, in time, while the heartbeat runs", () => {
    fc.assert(
      fc.property(schedules, zones, weeks, fc.uuid(), (wanted, timeZone, from, id) => {
        const to = from + 5 * DAY;
        const plan: Plan = { schedule: { cron: cronOf(wanted), timeZone }, paused: false };
        const slots = slotsOf(wanted, timeZone, from, to);
        const starts = drive(id, plan, from - 1, heartbeats(from, to + HOUR));
        expect(starts.map(({ slot }) => slot).filter((slot) => slot < to)).toEqual(slots);
        for (const { slot, startedAt } of starts) {
          expect(startedAt).toBeGreaterThanOrEqual(slot);
          expect(startedAt).toBeLessThan(slot + SPREAD_MS + 5 * MINUTE);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("that were missed in an outage are made up for by one start (failure mode 17)", () => {
    const outages = fc.record({
      begins: fc.integer({ min: 0, max: 1440 }),
      lasts: fc.integer({ min: 1, max: 2880 }),
    });
    let madeUpFor = 0;
    fc.assert(
      fc.property(
        schedules,
        zones,
        weeks,
        fc.uuid(),
        outages,
        (wanted, timeZone, from, id, { begins, lasts }) => {
          const down = from + begins * MINUTE;
          const up = down + lasts * MINUTE;
          const plan: Plan = { schedule: { cron: cronOf(wanted), timeZone }, paused: false };
          const starts = drive(id, plan, from - 1, [
            ...heartbeats(from, down),
            ...heartbeats(up, up + 2 * DAY),
          ]);
          const slots = slotsOf(wanted, timeZone, from, up + 2 * DAY);
          // What was to start in the window that the outage cut off is missed as well.
          const before = starts.filter(({ startedAt }) => startedAt < down).map(({ slot }) => slot);
          const missed = slots.filter((slot) => slot < up && !before.includes(slot));
          const after = slots.filter((slot) => slot >= up + 15 * MINUTE && slot < up + 2 * DAY - 15 * MINUTE);
          const served = starts.filter(({ startedAt }) => startedAt >= up);
          for (const slot of after) expect(served.filter((start) => start.slot === slot)).toHaveLength(1);
          const catchUps = served.filter(({ slot }) => slot < up);
          // A slot that comes while the one start waits for its place in the window is that start's, too.
          const merged = served.some(({ slot }) => slot >= up && slot < up + 15 * MINUTE);
          if (missed.length > 0) {
            madeUpFor++;
            expect(catchUps.length === 1 || (catchUps.length === 0 && merged)).toBe(true);
            expect((catchUps[0] ?? served[0])?.startedAt).toBeLessThan(up + SPREAD_MS + 10 * MINUTE);
            if (catchUps[0] !== undefined) expect(catchUps[0].slot).toBe(missed.at(-1));
          } else expect(catchUps).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
    expect(madeUpFor).toBeGreaterThan(20);
  });

  it("of a nightly trigger whose fire Cloudflare missed are served by the heartbeat (failure mode 17)", () => {
    const starts = drive(
      uuid(1),
      FOLLOWS,
      NIGHT,
      heartbeats(NIGHT + DAY - HOUR, NIGHT + DAY + HOUR),
      NIGHTLY,
    );
    expect(starts.map(({ slot }) => slot)).toEqual([NIGHT + DAY]);
  });

  it("of a trigger begin with its first fire, for databases that were there before it", () => {
    expect(serve(FOLLOWS, NIGHTLY, NIGHT - HOUR, NIGHT)).toEqual({ slot: NIGHT, anchor: NIGHT });
    expect(serve(FOLLOWS, NIGHTLY, NIGHT - 30 * DAY, NIGHT - 1)).toBeNull();
  });

  it("of a fire by hand start at once", () => {
    const byHand = seen(["0 3 * * *", NIGHT + 7 * HOUR]);
    expect(dueAt(uuid(1), FOLLOWS, byHand, NIGHT)).toBe(NIGHT + 7 * HOUR);
    expect(serve(FOLLOWS, byHand, NIGHT, NIGHT + 7 * HOUR)?.slot).toBe(NIGHT + 7 * HOUR);
  });

  it("of several triggers are those of all of them", () => {
    const two = seen(
      ["0 3 * * *", NIGHT],
      ["0 15 * * *", NIGHT + 12 * HOUR],
      ["*/5 * * * *", NIGHT + 12 * HOUR],
    );
    const starts = drive(uuid(1), FOLLOWS, NIGHT, heartbeats(NIGHT, NIGHT + 2 * DAY), two);
    expect(starts.map(({ slot }) => slot - NIGHT)).toEqual([12 * HOUR, DAY, DAY + 12 * HOUR]);
  });
});

describe("a clock that jumps", () => {
  it("a day forward starts one backup for what it jumped over", () => {
    const jump = [
      ...heartbeats(NIGHT, NIGHT + HOUR),
      ...heartbeats(NIGHT + DAY + HOUR, NIGHT + DAY + 2 * HOUR),
    ];
    const starts = drive(uuid(1), FOLLOWS, NIGHT, jump, NIGHTLY);
    expect(starts.map(({ slot }) => slot)).toEqual([NIGHT + DAY]);
  });

  it("a day back starts nothing twice, and nothing is lost for ever", () => {
    fc.assert(
      fc.property(
        schedules,
        zones,
        weeks,
        fc.uuid(),
        fc.integer({ min: 1, max: 1440 }),
        (wanted, timeZone, from, id, back) => {
          const plan: Plan = { schedule: { cron: cronOf(wanted), timeZone }, paused: false };
          const turn = from + 2 * DAY;
          const again = turn - back * MINUTE;
          const starts = drive(id, plan, from - 1, [
            ...heartbeats(from, turn),
            ...heartbeats(again, turn + 2 * DAY),
          ]);
          const slots = starts.map(({ slot }) => slot);
          expect(new Set(slots).size).toBe(slots.length);
          const due = slotsOf(wanted, timeZone, from, turn + 2 * DAY - 15 * MINUTE);
          expect(slots.filter((slot) => slot < turn + 2 * DAY - 15 * MINUTE)).toEqual(due);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each<[string, number, boolean]>([
    ["in the past", NIGHT - 3 * DAY, false],
    ["a day ahead", NIGHT + DAY, false],
    ["a day and a period ahead", NIGHT + 2 * DAY, false],
    ["further ahead than that", NIGHT + 2 * DAY + 1, true],
    ["a century ahead", NIGHT + 36_500 * DAY, true],
    ["beyond all dates", 9e15, true],
  ])("leaves an anchor %s: brought back %s", (_, anchor, broughtBack) => {
    expect(soundAnchor(FOLLOWS, NIGHTLY, anchor, NIGHT)).toBe(broughtBack ? NIGHT : anchor);
    expect(() => dueAt(uuid(1), BERLIN, NIGHTLY, anchor)).not.toThrow();
  });

  it("for a century does not silence a schedule", () => {
    const starts = drive(uuid(1), FOLLOWS, NIGHT + 36_500 * DAY, heartbeats(NIGHT, NIGHT + 2 * DAY), NIGHTLY);
    expect(starts.map(({ slot }) => slot)).toEqual([NIGHT + DAY]);
  });
});

describe("databases that are due at the same moment", () => {
  const ids = Array.from({ length: 1_000 }, (_, number) => uuid(number));
  const offsets = (plan: Plan, anchor: number, spreadMs?: number): number[] => {
    const slot = dueAt(uuid(0), plan, NIGHTLY, anchor, 0) ?? 0;
    return ids.map((id) => (dueAt(id, plan, NIGHTLY, anchor, spreadMs) ?? 0) - slot);
  };

  it("start spread over ten minutes (failure mode 19)", () => {
    const found = offsets(FOLLOWS, NIGHT);
    const perMinute = Array.from(
      { length: 10 },
      (_, minute) => found.filter((ms) => Math.floor(ms / MINUTE) === minute).length,
    );
    expect(perMinute.reduce((sum, count) => sum + count)).toBe(1_000);
    for (const count of perMinute) expect(count).toBeGreaterThan(60);
    for (const count of perMinute) expect(count).toBeLessThan(140);
  });

  it("start in the same order each time, whatever the window", () => {
    const order = (found: readonly number[]): string[] =>
      ids.toSorted((a, b) => (found[ids.indexOf(a)] ?? 0) - (found[ids.indexOf(b)] ?? 0) || (a < b ? -1 : 1));
    const tonight = offsets(FOLLOWS, NIGHT);
    expect(offsets(FOLLOWS, NIGHT + DAY)).toEqual(tonight);
    expect(order(offsets(FOLLOWS, NIGHT, HOUR))).toEqual(order(tonight));
  });

  it.each<[string, number]>([
    ["*/5 * * * *", 0],
    ["*/10 * * * *", 5 * MINUTE],
    ["*/30 * * * *", SPREAD_MS],
    ["0 3 * * *", SPREAD_MS],
  ])("on %s start within a window that leaves a heartbeat's time before the next slot", (cron, window) => {
    const found = offsets({ schedule: { cron, timeZone: "UTC" }, paused: false }, NIGHT);
    expect(Math.max(...found)).toBeLessThanOrEqual(window);
    expect(Math.max(...found)).toBeGreaterThanOrEqual(window * 0.95);
  });
});

describe("the freshness limit", () => {
  const limit = (
    schedule: Plan["schedule"],
    triggers: readonly Trigger[],
    freshnessMs: number | null = null,
  ) => freshnessLimitMs({ schedule, freshnessMs }, triggers, NIGHT + HOUR);
  it.each<[string, number, number]>([
    ["what the policy says", limit("trigger", NIGHTLY, 5 * HOUR), 5 * HOUR],
    ["a night and two hours", limit("trigger", NIGHTLY), 26 * HOUR],
    ["an hour more where clocks change", limit(BERLIN.schedule, []), 27 * HOUR],
    ["over a weekend", limit({ cron: "0 3 * * 1-5", timeZone: "UTC" }, []), 74 * HOUR],
    ["26 hours when no trigger is known", limit("trigger", []), 26 * HOUR],
    ["26 hours when only a heartbeat is", limit("trigger", seen(["*/5 * * * *", NIGHT])), 26 * HOUR],
    [
      "a month and two hours when no one can say when a trigger fires",
      limit("trigger", seen(["0 3 L-3 * *", NIGHT])),
      (31 * 24 + 2) * HOUR,
    ],
    [
      "between two triggers",
      limit("trigger", seen(["0 3 * * 2", NIGHT], ["0 3 * * 5", NIGHT])),
      4 * DAY + 2 * HOUR,
    ],
  ])("is %s", (_, found, expected) => {
    expect(found).toBe(expected);
  });
});

describe("the preview", () => {
  it("shows the next five runs in both zones, over a change of the clocks", () => {
    expect(
      previewSchedule({ cron: "30 2 * * *", timeZone: "Europe/Berlin" }, [], at("2026-10-23T12:00")),
    ).toEqual({
      runs: [
        { at: "2026-10-24T00:30:00.000Z", local: "2026-10-24 02:30 GMT+2" },
        { at: "2026-10-25T00:30:00.000Z", local: "2026-10-25 02:30 GMT+2" },
        { at: "2026-10-26T01:30:00.000Z", local: "2026-10-26 02:30 GMT+1" },
        { at: "2026-10-27T01:30:00.000Z", local: "2026-10-27 02:30 GMT+1" },
        { at: "2026-10-28T01:30:00.000Z", local: "2026-10-28 02:30 GMT+1" },
      ],
      timeZone: "Europe/Berlin",
      freshnessMs: 27 * HOUR,
      note: null,
    });
  });

  it("shows those of the triggers, in UTC", () => {
    const { runs, timeZone } = previewSchedule("trigger", NIGHTLY, NIGHT + HOUR);
    expect(timeZone).toBe("UTC");
    expect(runs.map((run) => run.at.slice(5, 16))).toEqual([
      "11-22T03:00",
      "11-23T03:00",
      "11-24T03:00",
      "11-25T03:00",
      "11-26T03:00",
    ]);
  });

  it("shows none when no trigger is known", () => {
    expect(previewSchedule("trigger", [], NIGHT)).toEqual({
      runs: [],
      timeZone: "UTC",
      freshnessMs: 26 * HOUR,
      note: expect.stringContaining("No nightly trigger"),
    });
  });
});
