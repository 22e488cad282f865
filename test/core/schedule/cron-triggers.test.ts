import { describe, expect, it } from "vitest";
import {
  giveSameSlots,
  isByHand,
  isHeartbeat,
  lastHeartbeat,
  latestTriggerSlot,
  nextTriggerSlot,
  sawTrigger,
  scheduleTriggers,
  type Trigger,
  triggersSchema,
  unixCron,
} from "../../../src/core/schedule/cron-triggers.ts";
import { at, DAY, HOUR, MINUTE } from "./wall-clock-model.ts";
import fc from "fast-check";

const NIGHTLY = "0 3 * * *";
const HEARTBEAT = "*/5 * * * *";
const NIGHT = at("2026-11-21T03:00");

/** All fires from `from` up to `to`, in order: [cron, scheduledTime]. */
function seen(...fires: [string, number][]): Trigger[] {
  return fires.reduce<Trigger[]>((triggers, [cron, time]) => sawTrigger(triggers, cron, time), []);
}

function heartbeats(triggers: readonly Trigger[], from: number, to: number): Trigger[] {
  let known = [...triggers];
  for (let time = from; time <= to; time += 5 * MINUTE) known = sawTrigger(known, HEARTBEAT, time);
  return known;
}

describe("Cloudflare's expression", () => {
  it.each([
    ["Sunday is 1", "0 3 * * 1", "0 3 * * 0"],
    ["Saturday is 7", "0 3 * * 7", "0 3 * * 6"],
    ["names stay what they are", "0 3 * * SUN", "0 3 * * 0"],
    ["in any case", "0 3 * aug fri", "0 3 * 8 5"],
    ["a range", "10 7 * * 2-6", "10 7 * * 1,2,3,4,5"],
    ["a range of names", "10 7 * * mon-fri", "10 7 * * 1,2,3,4,5"],
    ["a range over the week's end", "0 3 * * FRI-MON", "0 3 * * 0,1,5,6"],
    ["a list", "0 3 * * 1,4,SAT", "0 3 * * 0,3,6"],
    ["a step", "0 3 * * */2", "0 3 * * 0,2,4,6"],
    ["a step within a range", "0 3 * * 2-6/2", "0 3 * * 1,3,5"],
    ["a step from a day on", "0 3 * * 3/2", "0 3 * * 2,4,6"],
    ["a step from a minute on", "5/15 * * * *", "5,20,35,50 * * * *"],
    ["hours over midnight", "0 22-1 * * *", "0 0,1,22,23 * * *"],
    ["the last Friday", "0 18 * * 6L", "0 18 * * 5L"],
    ["the last Friday by name", "0 18 * * friL", "0 18 * * 5L"],
    ["the second Monday", "0 18 * * MON#2", "0 18 * * 1#2"],
    ["the week's last day", "0 18 * * L", "0 18 * * 6"],
    ["the month's last day", "0 18 L * *", "0 18 L * *"],
    ["the month's last weekday", "59 23 LW * *", "59 23 LW * *"],
    ["the weekday next to the 15th", "0 18 15W * *", "0 18 15W * *"],
  ])("%s: %s is %s in Unix cron", (_, cloudflare, unix) => {
    expect(unixCron(cloudflare)).toBe(unix);
  });

  it.each([
    "0 18 L-3 * *",
    "0 18 L-3W * *",
    "",
    "* * * *",
    "0 3 * * 0",
    "0 3 * * 8",
    "0 3 * * 6#6",
    "61 3 * * *",
  ])("%j has no form in Unix cron, and its fires are all that is known of it", (cron) => {
    expect(unixCron(cron)).toBeNull();
    const [trigger] = seen([cron, NIGHT]);
    expect(trigger).toBeDefined();
    if (trigger === undefined) return;
    expect(latestTriggerSlot(trigger, NIGHT + DAY)).toBe(NIGHT);
    expect(nextTriggerSlot(trigger, NIGHT - 1)).toBe(NIGHT);
    expect(nextTriggerSlot(trigger, NIGHT)).toBeNull();
    expect(isHeartbeat(cron)).toBe(false);
    expect(isByHand(trigger, NIGHT)).toBe(false);
  });
});

it("any text at all can be a trigger", () => {
  const words = [
    "*",
    "/",
    "-",
    ",",
    "L",
    "W",
    "#",
    "?",
    "+",
    " ",
    "0",
    "5",
    "7",
    "31",
    "60",
    "MON",
    "JAN",
    "H",
  ];
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom(...words), maxLength: 30 }),
    fc
      .array(fc.string({ unit: fc.constantFrom(...words), maxLength: 4 }), { minLength: 5, maxLength: 5 })
      .map((fields) => fields.join(" ")),
  );
  fc.assert(
    fc.property(text, (cron) => {
      const [trigger] = sawTrigger([], cron, NIGHT);
      if (trigger === undefined) throw new Error("not remembered");
      isHeartbeat(cron);
      expect(latestTriggerSlot(trigger, NIGHT)).toBe(NIGHT);
      expect(nextTriggerSlot(trigger, NIGHT - 1)).toBe(NIGHT);
      expect(nextTriggerSlot(trigger, NIGHT) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(NIGHT);
    }),
    { numRuns: 2_000 },
  );
});

describe("a heartbeat", () => {
  it.each<[string, boolean]>([
    ["* * * * *", true],
    ["*/5 * * * *", true],
    ["*/15 * * * *", true],
    ["7/15 * * * *", true],
    ["0,15,30,45 * * * *", true],
    ["*/20 * * * *", false],
    ["0,10,20,30 * * * *", false],
    ["*/5 8-18 * * *", false],
    ["*/5 * * * 2-6", false],
    ["0 3 * * *", false],
    ["*/5 * 31 2 *", false],
  ])("%s is one: %s", (cron, is) => {
    expect(isHeartbeat(cron)).toBe(is);
  });

  it("is remembered for health and gives no slots", () => {
    const triggers = seen([HEARTBEAT, NIGHT - 5 * MINUTE], [NIGHTLY, NIGHT], [HEARTBEAT, NIGHT]);
    expect(lastHeartbeat(triggers)).toBe(NIGHT);
    expect(scheduleTriggers(triggers).map(({ cron }) => cron)).toEqual([NIGHTLY]);
    expect(lastHeartbeat(seen([NIGHTLY, NIGHT]))).toBeNull();
  });
});

describe("a trigger", () => {
  it("is remembered from its first fire on, which is a slot itself", () => {
    const triggers = seen([NIGHTLY, NIGHT], [NIGHTLY, NIGHT + DAY]);
    expect(triggers).toEqual([{ cron: NIGHTLY, firstSeenAt: NIGHT, seenAt: NIGHT + DAY, silentMs: 0 }]);
    expect(triggersSchema.parse(triggers)).toEqual(triggers);
    const [trigger] = triggers;
    if (trigger === undefined) return;
    expect(latestTriggerSlot(trigger, NIGHT - 1)).toBeNull();
    expect(latestTriggerSlot(trigger, NIGHT)).toBe(NIGHT);
    expect(latestTriggerSlot(trigger, NIGHT + 3 * DAY + HOUR)).toBe(NIGHT + 3 * DAY);
    expect(nextTriggerSlot(trigger, 0)).toBe(NIGHT);
    expect(nextTriggerSlot(trigger, NIGHT)).toBe(NIGHT + DAY);
  });

  it("told twice, late or out of order is the same trigger", () => {
    const once = seen([NIGHTLY, NIGHT], [HEARTBEAT, NIGHT], [NIGHTLY, NIGHT + DAY], [HEARTBEAT, NIGHT + DAY]);
    const twice = seen(
      [NIGHTLY, NIGHT],
      [NIGHTLY, NIGHT],
      [HEARTBEAT, NIGHT],
      [NIGHTLY, NIGHT + DAY],
      [HEARTBEAT, NIGHT + DAY],
      [NIGHTLY, NIGHT],
    );
    expect(twice.map(({ cron, firstSeenAt, seenAt }) => [cron, firstSeenAt, seenAt])).toEqual(
      once.map(({ cron, firstSeenAt, seenAt }) => [cron, firstSeenAt, seenAt]),
    );
  });

  it("is forgotten when it has not fired for two of its periods, and no sooner", () => {
    const known = seen([HEARTBEAT, NIGHT], [NIGHTLY, NIGHT]);
    const almost = heartbeats(known, NIGHT + 5 * MINUTE, NIGHT + 2 * DAY - 5 * MINUTE);
    expect(scheduleTriggers(almost)).toHaveLength(1);
    expect(scheduleTriggers(heartbeats(almost, NIGHT + 2 * DAY, NIGHT + 2 * DAY))).toEqual([]);
  });

  it("that fires again begins anew to be patient with", () => {
    let known = seen([HEARTBEAT, NIGHT], [NIGHTLY, NIGHT]);
    for (let night = 1; night < 6; night++) {
      known = heartbeats(known, NIGHT + (night - 1) * DAY + 5 * MINUTE, NIGHT + night * DAY);
      // every other fire is lost
      if (night % 2 === 0) known = sawTrigger(known, NIGHTLY, NIGHT + night * DAY);
      expect(scheduleTriggers(known)).toHaveLength(1);
    }
  });

  it("outlives a week in which nothing fired at all, so that its slots are made up for (failure mode 17)", () => {
    const known = heartbeats(seen([HEARTBEAT, NIGHT], [NIGHTLY, NIGHT]), NIGHT, NIGHT + HOUR);
    const back = NIGHT + 7 * DAY + 12 * HOUR;
    const [trigger] = scheduleTriggers(heartbeats(known, back, back + HOUR));
    expect(trigger && latestTriggerSlot(trigger, back + HOUR)).toBe(NIGHT + 7 * DAY);
  });

  it("without a heartbeat is measured by the fires of another one", () => {
    const another = "30 4 * * *";
    let known = seen([NIGHTLY, NIGHT]);
    for (let night = 0; night < 4; night++)
      known = sawTrigger(known, another, NIGHT + 90 * MINUTE + night * DAY);
    expect(known.map(({ cron }) => cron)).toEqual([another]);
  });

  it("first seen while the clock was a year ahead counts from its next fire on", () => {
    const [trigger] = seen([NIGHTLY, NIGHT + 365 * DAY], [NIGHTLY, NIGHT]);
    expect(trigger).toEqual({ cron: NIGHTLY, firstSeenAt: NIGHT, seenAt: NIGHT, silentMs: 0 });
  });

  it("known only from a clock that was a year ahead is forgotten like any other", () => {
    const known = heartbeats(seen([NIGHTLY, NIGHT + 365 * DAY]), NIGHT, NIGHT + 2 * DAY + HOUR);
    expect(scheduleTriggers(known)).toEqual([]);
  });

  it("of a rare expression is remembered for as long as that takes", () => {
    const monthly = at("2026-11-01T03:00");
    const known = heartbeats(seen([HEARTBEAT, monthly], ["0 3 1 * *", monthly]), monthly, monthly + 61 * DAY);
    expect(scheduleTriggers(known)).toHaveLength(1);
  });

  it.each<[string, boolean, [string, number]]>([
    ["a heartbeat", true, [HEARTBEAT, NIGHT + 5 * MINUTE]],
    ["a fire that was foreseen", true, [NIGHTLY, NIGHT + DAY]],
    ["the same fire again", true, [NIGHTLY, NIGHT]],
    ["a trigger that is new", false, ["0 4 * * *", NIGHT + HOUR]],
    ["a fire by hand", false, [NIGHTLY, NIGHT + HOUR]],
    ["a fire of what only fires tell", false, ["0 3 L-3 * *", NIGHT + DAY]],
    ["an older fire that is told late", false, [NIGHTLY, NIGHT - DAY]],
  ])("gives the same slots after %s: %s", (_, same, fire) => {
    const before = seen([HEARTBEAT, NIGHT], ["0 3 L-3 * *", NIGHT], [NIGHTLY, NIGHT]);
    expect(giveSameSlots(before, sawTrigger(before, ...fire))).toBe(same);
  });

  it("that is forgotten gives no slots any more", () => {
    const before = seen([HEARTBEAT, NIGHT], [NIGHTLY, NIGHT]);
    const after = heartbeats(before, NIGHT + 5 * MINUTE, NIGHT + 2 * DAY);
    expect(giveSameSlots(before, after)).toBe(false);
  });

  it("simulated at a time that is none of its own is a slot all the same, made by hand", () => {
    const [trigger] = seen([NIGHTLY, NIGHT + 7 * HOUR]);
    if (trigger === undefined) throw new Error("not remembered");
    expect(latestTriggerSlot(trigger, NIGHT + 8 * HOUR)).toBe(NIGHT + 7 * HOUR);
    expect(isByHand(trigger, NIGHT + 7 * HOUR)).toBe(true);
    expect(isByHand(trigger, NIGHT + DAY)).toBe(false);
    expect(nextTriggerSlot(trigger, NIGHT + 7 * HOUR)).toBe(NIGHT + DAY);
  });
});
