import { describe, expect, it } from "vitest";
import { policySchema } from "../../../src/core/policy/policy.ts";
import type { Expression } from "../../../src/core/schedule/cron-expression.ts";
import { longestGapMs, SHORTEST_GAP_MS } from "../../../src/core/schedule/gaps.ts";
import { expressionOfSchedule, scheduleSchema } from "../../../src/core/schedule/schedule-schema.ts";
import { at, cronOf, DAY, HOUR, longestGap, MINUTE, slotsOf, spec, type Spec } from "./wall-clock-model.ts";
import fc from "fast-check";

const ZONES = ["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata"];

function expression(cron: string, timeZone: string): Expression {
  const compiled = expressionOfSchedule({ cron, timeZone });
  if (compiled === null) throw new Error(`${cron} in ${timeZone} is none`);
  return compiled;
}

function runs(cron: string, timeZone: string, from: number, to: number): number[] {
  const { next } = expression(cron, timeZone);
  const found: number[] = [];
  for (let run = next(from - 1); run !== null && run < to; run = next(run)) found.push(run);
  return found;
}

const some = (max: number, min = 0, most = 3) =>
  fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: most });
const specs: fc.Arbitrary<Spec> = fc
  .record({
    minutes: some(59),
    hours: fc.option(some(23)),
    days: fc.option(some(28, 1), { freq: 2 }),
    months: fc.option(some(12, 1, 6), { freq: 2 }),
    weekdays: fc.option(some(6), { freq: 2 }),
  })
  .map(spec);

describe("a schedule", () => {
  it.each<[string, unknown]>([
    ["the Worker's triggers", "trigger"],
    ["every night in a zone", { cron: "30 2 * * *", timeZone: "Europe/Berlin" }],
    ["Sundays, as 7", { cron: "0 3 * * 7", timeZone: "UTC" }],
    ["working days by name", { cron: "0 3 * * MON-FRI", timeZone: "America/New_York" }],
    ["every five minutes", { cron: "*/5 * * * *", timeZone: "UTC" }],
    ["the last day of the month", { cron: "0 3 L * *", timeZone: "UTC" }],
    ["29 February", { cron: "0 3 29 2 *", timeZone: "UTC" }],
    ["minutes apart on days that never follow each other", { cron: "0,58 0,23 * * 1,3", timeZone: "UTC" }],
  ])("may be %s", (_, schedule) => {
    expect(scheduleSchema.safeParse(schedule).data).toEqual(schedule);
  });

  it.each<[string, unknown, string, string]>([
    ["a word", "nightly", "schedule", '"trigger"'],
    ["nothing", null, "schedule", '"trigger"'],
    ["a list", [], "schedule", '"trigger"'],
    ["no expression", { timeZone: "UTC" }, "schedule.cron", "must be a cron expression"],
    ["no zone", { cron: "0 3 * * *" }, "schedule.timeZone", '"Europe/Berlin"'],
    ["an unknown key", { cron: "0 3 * * *", timeZone: "UTC", tz: 1 }, "schedule.tz", "unknown"],
    ["prose", { cron: "every night", timeZone: "UTC" }, "schedule.cron", "five fields"],
    ["an empty expression", { cron: " ", timeZone: "UTC" }, "schedule.cron", "five fields"],
    ["a nickname", { cron: "@daily", timeZone: "UTC" }, "schedule.cron", "five fields"],
    ["seconds", { cron: "0 30 2 * * *", timeZone: "UTC" }, "schedule.cron", "five fields"],
    ["a date", { cron: "2026-11-21T03:00:00", timeZone: "UTC" }, "schedule.cron", "five fields"],
    ["minute 60", { cron: "60 2 * * *", timeZone: "UTC" }, "schedule.cron", 'minute "60"'],
    ["hour 24", { cron: "0 24 * * *", timeZone: "UTC" }, "schedule.cron", 'hour "24"'],
    ["day 0", { cron: "0 3 0 * *", timeZone: "UTC" }, "schedule.cron", 'day of the month "0"'],
    ["month 13", { cron: "0 3 1 13 *", timeZone: "UTC" }, "schedule.cron", 'month "13"'],
    ["weekday 8", { cron: "0 3 * * 8", timeZone: "UTC" }, "schedule.cron", 'weekday "8"'],
    ["a range backwards", { cron: "0 3 * * 5-1", timeZone: "UTC" }, "schedule.cron", 'weekday "5-1"'],
    ["31 February", { cron: "0 3 31 2 *", timeZone: "UTC" }, "schedule.cron", "never runs"],
    ["every minute", { cron: "* * * * *", timeZone: "UTC" }, "schedule.cron", "1 minute apart"],
    ["two minutes apart", { cron: "0,2 3 * * *", timeZone: "UTC" }, "schedule.cron", "2 minutes apart"],
    ["close over the hour", { cron: "*/7 * * * *", timeZone: "UTC" }, "schedule.cron", "4 minutes apart"],
    ["close over midnight", { cron: "0,58 0,23 * * *", timeZone: "UTC" }, "schedule.cron", "2 minutes apart"],
    ["close over New Year", { cron: "0,58 0,23 1,31 1,12 *", timeZone: "UTC" }, "schedule.cron", "2 minutes"],
    [
      "a zone that is none",
      { cron: "0 3 * * *", timeZone: "Mars/Base" },
      "schedule.timeZone",
      '"Europe/Berlin"',
    ],
    ["an offset", { cron: "0 3 * * *", timeZone: "+02:00" }, "schedule.timeZone", '"Europe/Berlin"'],
  ])("with %s is refused, the field named and a right one shown", (_, schedule, field, says) => {
    const issues = policySchema.safeParse({ schedule }).error?.issues ?? [];
    expect(issues.map(({ path }) => path.join("."))).toEqual([field]);
    expect(issues[0]?.message).toContain(says);
    expect(issues[0]?.message).toMatch(/"(?:30 2 \* \* 1-5|\*\/5 \* \* \* \*|Europe\/Berlin)"/);
  });

  it("with both fields wrong names both", () => {
    const parsed = policySchema.safeParse({ schedule: { cron: "x", timeZone: "y" } });
    expect(parsed.error?.issues.map(({ path }) => path.join("."))).toEqual([
      "schedule.cron",
      "schedule.timeZone",
    ]);
  });

  it("is refused exactly when two of its runs are less than five minutes apart", () => {
    const crowded = fc.record({ minutes: some(59), hours: some(23), weekdays: fc.option(some(6)) }).map(spec);
    const checked = { close: 0, apart: 0 };
    fc.assert(
      fc.property(crowded, (wanted) => {
        const slots = slotsOf(wanted, "UTC", at("2026-11-01T00:00"), at("2026-11-16T00:00"));
        const close = slots.some((slot, index) => slot - (slots[index - 1] ?? 0) < SHORTEST_GAP_MS);
        checked[close ? "close" : "apart"]++;
        expect(scheduleSchema.safeParse({ cron: cronOf(wanted), timeZone: "UTC" }).success).toBe(!close);
      }),
      {
        examples: [[spec({ minutes: [0, 58], hours: [0, 23] })], [spec({ minutes: [0, 56], hours: [3, 4] })]],
      },
    );
    expect(checked.close).toBeGreaterThan(1);
    expect(checked.apart).toBeGreaterThan(1);
  });
});

describe("daylight saving", () => {
  const day = (cron: string, timeZone: string, date: string): string[] =>
    runs(cron, timeZone, at(`${date}T00:00`) - 3 * HOUR, at(`${date}T00:00`) + 21 * HOUR).map((run) =>
      new Date(run).toISOString().slice(5, 16),
    );
  const SKIPPED = "2026-03-29";
  const REPEATED = "2026-10-25";

  it.each<[string, string, string, string, string[]]>([
    [
      "a time in the skipped hour runs once, at its end",
      "30 2 * * *",
      "Europe/Berlin",
      SKIPPED,
      ["03-29T01:00"],
    ],
    [
      "a time in the repeated hour runs once, the first time",
      "30 2 * * *",
      "Europe/Berlin",
      REPEATED,
      ["10-25T00:30"],
    ],
    ["two skipped times are made up for by one", "0,30 2 * * *", "Europe/Berlin", SKIPPED, ["03-29T01:00"]],
    ["a step within a named hour is no interval", "*/30 2 * * *", "Europe/Berlin", SKIPPED, ["03-29T01:00"]],
    [
      "nor twice in the repeated one",
      "*/30 2 * * *",
      "Europe/Berlin",
      REPEATED,
      ["10-25T00:00", "10-25T00:30"],
    ],
    [
      "one of several hours is skipped",
      "30 2,14 * * *",
      "Europe/Berlin",
      SKIPPED,
      ["03-29T01:00", "03-29T12:30"],
    ],
    ["midnight itself is skipped", "0 0 * * *", "America/Santiago", "2026-09-06", ["09-06T04:00"]],
    ["half an hour is skipped", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03", ["10-03T15:30"]],
  ])("%s (failure mode 18)", (_, cron, timeZone, date, expected) => {
    expect(day(cron, timeZone, date)).toEqual(expected);
  });

  it("leaves what runs every half hour half an hour apart", () => {
    for (const date of [SKIPPED, REPEATED]) {
      const found = runs("*/30 * * * *", "Europe/Berlin", at(`${date}T00:00`), at(`${date}T06:00`));
      expect(found).toHaveLength(12);
      expect(longestGap(found)).toBe(30 * MINUTE);
    }
  });
});

describe("runs", () => {
  it("are those of the clock on the wall, for any expression, zone and season", () => {
    const start = fc.constantFrom(
      "2026-03-20",
      "2026-04-01",
      "2026-09-01",
      "2026-10-01",
      "2026-10-20",
      "2026-12-20",
    );
    fc.assert(
      fc.property(specs, fc.constantFrom(...ZONES), start, (wanted, timeZone, date) => {
        const from = at(`${date}T00:00`);
        const slots = slotsOf(wanted, timeZone, from, from + 12 * DAY);
        expect(runs(cronOf(wanted), timeZone, from, from + 12 * DAY)).toEqual(slots);
        const { latest } = expression(cronOf(wanted), timeZone);
        for (const slot of slots.slice(0, 20)) {
          expect(latest(slot)).toBe(slot);
          expect(latest(slot + 1)).toBe(slot);
        }
        for (const [index, slot] of slots.slice(1, 20).entries()) expect(latest(slot - 1)).toBe(slots[index]);
      }),
      { numRuns: 150 },
    );
  });
});

describe("the longest gap", () => {
  const NOW = at("2026-11-21T12:00");
  it.each<[string, string, string, number]>([
    ["every night", "0 3 * * *", "UTC", DAY],
    ["every night where clocks change", "0 3 * * *", "Europe/Berlin", DAY + HOUR],
    ["every five minutes", "*/5 * * * *", "Europe/Berlin", 5 * MINUTE],
    ["working hours", "*/30 9-17 * * *", "UTC", 15.5 * HOUR],
    ["working days", "0 3 * * 1-5", "UTC", 3 * DAY],
    ["months", "0 3 1 * *", "UTC", 31 * DAY],
    ["the last day of a month that has 31", "0 3 31 * *", "UTC", 61 * DAY],
    ["leap days", "0 3 29 2 *", "UTC", 1461 * DAY],
  ])("of %s", (_, cron, timeZone, gap) => {
    expect(longestGapMs([expression(cron, timeZone)], NOW)).toBe(gap);
  });

  it("of two expressions is that of both together", () => {
    const both = [expression("0 3 * * 1", "UTC"), expression("0 3 * * 4", "UTC")];
    expect(longestGapMs(both, NOW)).toBe(4 * DAY);
  });

  it(
    "is never shorter than a year's runs have, and longer only by what clocks change",
    { timeout: 60_000 },
    () => {
      fc.assert(
        fc.property(specs, fc.constantFrom(...ZONES), (wanted, timeZone) => {
          const slots = slotsOf(wanted, timeZone, NOW - 400 * DAY, NOW + 800 * DAY);
          const first = slots.findLastIndex((slot) => slot <= NOW);
          const last = slots.findIndex((slot) => slot > NOW + 390 * DAY);
          fc.pre(first >= 0 && last > first);
          const brute = longestGap(slots.slice(first, last + 1));
          const gap = longestGapMs([expression(cronOf(wanted), timeZone)], NOW) ?? 0;
          expect(gap).toBeGreaterThanOrEqual(brute);
          // Whole days are looked at, so a few more than these 13 months: some runs from before, some from after.
          const clocks = timeZone === "UTC" || timeZone === "Asia/Kolkata" ? 0 : 2 * HOUR;
          expect(gap).toBeLessThanOrEqual(longestGap(slots) + clocks);
        }),
        { numRuns: 12 },
      );
    },
  );

  it("is worked out in milliseconds, and for ten thousand databases once", () => {
    const began = performance.now();
    for (let database = 0; database < 10_000; database++)
      longestGapMs([expression("*/5 * * * *", "America/New_York")], NOW + (database % 60) * MINUTE);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
