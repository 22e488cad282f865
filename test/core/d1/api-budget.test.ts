import { describe, expect, it } from "vitest";
import { pollDelayMs } from "../../../src/core/backoff.ts";
import {
  admit,
  type ApiBudget,
  apiBudgetSchema,
  type Call,
  callsInWindow,
  DEFAULT_CALLS,
  exportSlots,
  isShort,
  NOTHING_CALLED,
  pollsWithin,
  slowDown,
  WINDOW_MS,
} from "../../../src/core/d1/api-budget.ts";
import { callsLeft, readRate } from "../../../src/core/d1/rate-headers.ts";
import fc from "fast-check";

const NOW = Date.UTC(2126, 10, 21, 3, 0, 0);
const WORK: Call = { kind: "work", limit: 100, exports: 0, spare: 0 };
/** Calls at one moment until one is refused; how many were admitted, and the wait of the refused one. */
function callUntilRefused(from: ApiBudget, call: Call, now: number) {
  let budget = from;
  for (let calls = 0; ; calls++) {
    const answer = admit(budget, call, now);
    budget = answer.budget;
    if (answer.waitMs > 0) return { budget, calls, waitMs: answer.waitMs };
  }
}

/** The most calls in any window, counted one by one. */
function mostInWindow(calls: readonly number[]): number {
  const sorted = [...calls].sort((a, b) => a - b);
  let [first, most] = [0, 0];
  sorted.forEach((at, index) => {
    while ((sorted[first] ?? at) <= at - WINDOW_MS) first++;
    most = Math.max(most, index - first + 1);
  });
  return most;
}

describe("work", () => {
  it.each<[string, Partial<Call>, number]>([
    ["may use the limit, but for the readers' part", {}, 95],
    ["leaves room for the polls of an export that runs", { exports: 1 }, 95 - 77],
    ["leaves more urgent work the calls that are told", { spare: 20 }, 75],
    ["never begins when exports need all", { exports: 2 }, 0],
    ["of a reader may use a twentieth of the limit", { kind: "reader", limit: 960 }, 48],
    ["of a reader may use that while exports run", { kind: "reader", limit: 960, exports: 9 }, 48],
  ])("%s", (_, changed, admitted) => {
    const call = { ...WORK, ...changed };
    // All at one moment: windows that end almost 5 minutes later hold them, and as many polls as can come till then.
    const { calls } = callUntilRefused(NOTHING_CALLED, call, NOW);
    expect(calls).toBe(admitted);
  });

  it("is told to wait until enough has left the window, and is admitted then", () => {
    const { budget, waitMs } = callUntilRefused(NOTHING_CALLED, WORK, NOW);
    expect(waitMs).toBeGreaterThan(WINDOW_MS);
    expect(waitMs).toBeLessThan(WINDOW_MS + 6_000);
    expect(admit(budget, WORK, NOW + WINDOW_MS - 1).waitMs).toBeGreaterThan(0);
    expect(admit(budget, WORK, NOW + waitMs).waitMs).toBe(0);
  });

  it("that waits comes back one after the other, each to room for the calls of a step", () => {
    // A call a second fills the window evenly.
    let budget = NOTHING_CALLED;
    for (let second = 0; second < 300; second += 3)
      ({ budget } = admit(budget, { ...WORK, kind: "poll" }, NOW + second * 1_000));
    const now = NOW + 299_000;
    const comeBack: number[] = [];
    for (let caller = 0; caller < 20; caller++) {
      const answer = admit(budget, WORK, now);
      budget = answer.budget;
      comeBack.push(now + answer.waitMs);
    }
    expect(new Set(comeBack).size).toBe(20);
    expect(comeBack).toEqual([...comeBack].sort((a, b) => a - b));
    for (const at of comeBack)
      for (let call = 0; call < 4; call++) {
        const answer = admit(budget, WORK, at);
        expect(answer.waitMs).toBe(0);
        budget = answer.budget;
      }
  });

  it("waits for nothing that was read, however much that was", () => {
    const reader: Call = { ...WORK, kind: "reader", limit: DEFAULT_CALLS };
    const work: Call = { ...WORK, limit: DEFAULT_CALLS };
    let budget = NOTHING_CALLED;
    for (let reads = 0; reads < 1_000; reads++) ({ budget } = admit(budget, reader, NOW + reads * 5));
    const flooded = callUntilRefused(budget, work, NOW + 5_000);
    const quiet = callUntilRefused(NOTHING_CALLED, work, NOW + 5_000);
    expect(flooded.calls).toBe(quiet.calls);
    expect(flooded.waitMs).toBe(quiet.waitMs);
  });

  it("that has used up its part leaves readers theirs", () => {
    const { budget } = callUntilRefused(NOTHING_CALLED, { ...WORK, limit: DEFAULT_CALLS }, NOW);
    const reader: Call = { ...WORK, kind: "reader", limit: DEFAULT_CALLS };
    const read = callUntilRefused(budget, reader, NOW);
    expect(read.calls).toBe(48);
    expect(admit(read.budget, reader, NOW + read.waitMs - 1_000).waitMs).toBeGreaterThan(0);
    expect(admit(read.budget, reader, NOW + read.waitMs).waitMs).toBe(0);
  });

  it("is not told to wait for ever while exports need all", () => {
    const { waitMs } = admit(NOTHING_CALLED, { ...WORK, exports: 2 }, NOW);
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThanOrEqual(60_000);
  });
});

describe("polls", () => {
  const poll: Call = { ...WORK, kind: "poll" };

  it("are counted and never refused, whatever is used up or held back", () => {
    let { budget } = callUntilRefused(NOTHING_CALLED, WORK, NOW);
    ({ budget } = callUntilRefused(budget, { ...WORK, kind: "reader" }, NOW));
    budget = slowDown(budget, 60_000, NOW);
    for (let polls = 1; polls <= 50; polls++) {
      const answer = admit(budget, poll, NOW);
      expect(answer.waitMs).toBe(0);
      budget = answer.budget;
      expect(callsInWindow(budget, NOW)).toBe(100 + polls);
    }
  });

  it("are as many as the budget expects of an export", () => {
    for (const ms of [0, 999, 1_000, 3_000, 7_000, 60_000, WINDOW_MS]) {
      const times: number[] = [];
      for (let at = pollDelayMs(0); at <= ms; at += pollDelayMs(times.length)) times.push(at);
      // From the start on, and of an export that has been polled for long.
      expect(times.length).toBeLessThanOrEqual(pollsWithin(1, ms));
      expect(1 + Math.floor(ms / pollDelayMs(10))).toBeLessThanOrEqual(pollsWithin(1, ms));
    }
    expect(pollsWithin(6, WINDOW_MS)).toBe(6 * 77);
  });
});

describe("the limit", () => {
  it("is kept in every window, whoever calls and whenever", () => {
    const actions = fc.array(
      fc.record({
        after: fc.nat(9_000),
        kind: fc.constantFrom("start", "work", "work", "reader", "end"),
        calls: fc.nat(40),
      }),
      { minLength: 20, maxLength: 200 },
    );
    fc.assert(
      fc.property(actions, fc.integer({ min: 200, max: 1_200 }), (steps, limit) => {
        const places = exportSlots(50, limit);
        const made: number[] = [];
        const exporting: { nextPoll: number; polls: number }[] = [];
        let budget = NOTHING_CALLED;
        const call = (kind: Call["kind"], exports: number, now: number): boolean => {
          const answer = admit(budget, { kind, limit, exports, spare: 0 }, now);
          budget = answer.budget;
          if (answer.waitMs === 0) made.push(now);
          return answer.waitMs === 0;
        };
        const pollUpTo = (until: number): void => {
          for (;;) {
            const [next] = exporting.sort((a, b) => a.nextPoll - b.nextPoll);
            if (next === undefined || next.nextPoll > until) return;
            expect(call("poll", exporting.length, next.nextPoll)).toBe(true);
            next.polls += 1;
            next.nextPoll += pollDelayMs(next.polls);
          }
        };
        let now = NOW;
        for (const { after, kind, calls } of steps) {
          now += after;
          pollUpTo(now);
          if (kind === "end") exporting.pop();
          else if (kind === "start") {
            if (exporting.length < places && call("work", exporting.length + 1, now))
              exporting.push({ nextPoll: now + pollDelayMs(0), polls: 0 });
          } else
            for (let each = 0; each < calls; each++)
              call(kind === "reader" ? "reader" : "work", exporting.length, now);
        }
        // No calls but polls any more: the windows to come are still kept.
        pollUpTo(now + WINDOW_MS);
        expect(mostInWindow(made)).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 150 },
    );
  });

  it("counts a call for 5 minutes at least, wherever in its bucket of 5 s it was made", () => {
    for (const offset of [0, 2_500, 4_999]) {
      const { budget } = admit(NOTHING_CALLED, WORK, NOW + offset);
      expect(callsInWindow(budget, NOW + offset + WINDOW_MS - 1)).toBe(1);
      expect(callsInWindow(budget, NOW + offset + WINDOW_MS + 5_000)).toBe(0);
    }
  });

  it("can be used up while exports run all the time: each export's polls are not counted twice", () => {
    const limit = DEFAULT_CALLS;
    let budget = NOTHING_CALLED;
    let worked = 0;
    for (let second = 0; second < 1_200; second++) {
      const now = NOW + second * 1_000;
      if (second % 4 === 0)
        for (let poll = 0; poll < 6; poll++)
          ({ budget } = admit(budget, { kind: "poll", limit, exports: 6, spare: 0 }, now));
      for (let each = 0; each < 2; each++) {
        const answer = admit(budget, { kind: "work", limit, exports: 6, spare: 0 }, now);
        budget = answer.budget;
        if (answer.waitMs === 0 && second >= 900) worked += 1;
      }
    }
    expect(worked).toBeGreaterThan((limit * 0.95 - 6 * 75) * 0.95);
  });

  it.each([
    [6, 960, 6],
    [50, 960, 9],
    [50, 1_200, 11],
    [6, 300, 2],
    [6, 100, 1],
    [1, 1_200, 1],
  ])("of places: of %i wished for, %i calls let %i exports run", (wished, limit, places) => {
    expect(exportSlots(wished, limit)).toBe(places);
    expect(callUntilRefused(NOTHING_CALLED, { ...WORK, limit, exports: places }, NOW).calls).toBeGreaterThan(
      15,
    );
  });
});

describe("what Cloudflare asks for", () => {
  it.each(["work", "reader"] as const)("holds %s back for so long, and no longer", (kind) => {
    const budget = slowDown(NOTHING_CALLED, 30_000, NOW);
    const { waitMs } = admit(budget, { ...WORK, kind }, NOW + 10_000);
    expect(waitMs).toBeGreaterThanOrEqual(20_000);
    expect(waitMs).toBeLessThan(21_000);
    expect(admit(budget, { ...WORK, kind }, NOW + 30_000).waitMs).toBe(0);
  });

  it("is not undone by a shorter wait that is asked for later", () => {
    const budget = slowDown(slowDown(NOTHING_CALLED, 60_000, NOW), 1_000, NOW);
    expect(admit(budget, WORK, NOW + 30_000).waitMs).toBeGreaterThan(0);
  });

  it.each<[string, string | null, string | null, ReturnType<typeof readRate>]>([
    [
      "as it is sent",
      '"default";r=50;t=30',
      '"default";q=1200;w=300',
      { remaining: 50, resetMs: 30_000, quota: 1_200 },
    ],
    [
      "of several items the tightest",
      '"default";r=900;t=200, "burst";r=3;t=1',
      '"burst";q=100;w=10, "default";q=1200;w=300',
      { remaining: 3, resetMs: 1_000, quota: 100 },
    ],
    [
      "with spaces, another order, and more",
      "default; t=7;  pk=:YWJj:; r=5",
      null,
      { remaining: 5, resetMs: 7_000, quota: 1_200 },
    ],
    [
      "with a comma in a name",
      '"a, b";r=1;t=2',
      '"a, b";q=10;w=1',
      { remaining: 1, resetMs: 2_000, quota: 10 },
    ],
    ["at most ten minutes", '"default";r=0;t=999999', null, { remaining: 0, resetMs: 600_000, quota: 1_200 }],
    ["without the count", '"default";t=30', '"default";q=1200;w=300', null],
    ["without the time", '"default";r=30', null, null],
    ["with a count that is none", '"default";r=-1;t=30', null, null],
    ["with a count that is not whole", '"default";r=1.5;t=30', null, null],
    ["without a name", '("a" "b");r=1;t=2, 7;r=1;t=2', null, null],
    ["malformed in any place", '"default";r=1;t=2, "burst";r=', null, null],
    ["nonsense", ";;;,,=r=5;t", "r=", null],
    ["empty", "", "", null],
    ["none", null, null, null],
  ])("is read %s", (_, rateLimit, policy, seen) => {
    expect(readRate(rateLimit, policy)).toEqual(seen);
  });

  it("is never an exception, whatever the headers hold", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (rateLimit, policy) => {
        const seen = readRate(rateLimit, policy);
        expect(seen === null || seen.remaining >= 0).toBe(true);
      }),
    );
  });

  it.each([
    [600, 300_000, 6, false],
    [581, 300_000, 6, true],
    [581, 300_000, 5, false],
    [130, 30_000, 2, true],
    [140, 30_000, 2, false],
    [119, 10_000, 0, true],
  ])(
    "%i calls left for %i ms are too few for %i exports and a tenth for others: %s",
    (remaining, resetMs, exports, short) => {
      expect(isShort(callsLeft({ remaining, resetMs, quota: 1_200 }), resetMs, exports)).toBe(short);
    },
  );
});

describe("what is stored", () => {
  it("goes through JSON, and stays small", () => {
    let budget = NOTHING_CALLED;
    for (let second = 0; second < 2_000; second++)
      for (const kind of ["work", "reader"] as const)
        ({ budget } = admit(budget, { ...WORK, kind, exports: 1 }, NOW + second * 1_000));
    budget = slowDown(budget, 10_000, NOW + 2_000_000);
    const text = JSON.stringify(budget);
    expect(text.length).toBeLessThan(6_000);
    expect(apiBudgetSchema.parse(JSON.parse(text))).toEqual(budget);
  });

  it("by a clock that has gone back a day since counts as what was called just now", () => {
    const { budget } = callUntilRefused(slowDown(NOTHING_CALLED, 0, NOW), WORK, NOW);
    const held = slowDown(budget, 600_000, NOW);
    const dayBefore = NOW - 24 * 3_600_000;
    expect(callsInWindow(held, dayBefore)).toBe(95);
    const { waitMs } = admit(held, WORK, dayBefore);
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThan(11 * 60_000);
    expect(admit(held, WORK, NOW + 24 * 3_600_000).waitMs).toBe(0);
  });
});
