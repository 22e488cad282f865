import { describe, expect, it } from "vitest";
import {
  DEFAULT_RETENTION,
  retain,
  type RetainedBackup,
  type Retention,
  retentionSchema,
} from "../../../src/core/backup/retention.ts";
import fc from "fast-check";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NONE: Retention = {
  keepLast: 0,
  keepHourly: 0,
  keepDaily: 0,
  keepWeekly: 0,
  keepMonthly: 0,
  keepYearly: 0,
  keepWithinDays: 0,
};
const NOW = Date.parse("2026-11-21T03:00:30Z");

/** Backups by their times, the id being the time; a `!` in front pins one. */
function backups(...times: string[]): RetainedBackup[] {
  return times.map((text) => {
    const id = text.replace("!", "");
    return { id, startedAt: Date.parse(id), pinned: text !== id };
  });
}

/** Nights at 03:00 UTC, the newest first. */
function nights(count: number, newest = "2026-11-21T03:00:00.000Z"): string[] {
  return Array.from({ length: count }, (_, night) =>
    new Date(Date.parse(newest) - night * DAY_MS).toISOString(),
  );
}

function kept(given: readonly RetainedBackup[], rules: Partial<Retention>, now = NOW): string[] {
  return retain(given, { ...NONE, ...rules }, now).keep.map(({ backupId }) => backupId);
}

function reasons(given: readonly RetainedBackup[], rules: Partial<Retention>): Record<string, unknown> {
  const { keep } = retain(given, { ...NONE, ...rules }, NOW);
  return Object.fromEntries(keep.map((backup) => [backup.backupId, backup.reasons]));
}

describe("retention", () => {
  it("gives what is kept with its reasons and what is removed, both newest first", () => {
    const given = backups(...nights(3).toReversed());
    expect(retain(given, { ...NONE, keepLast: 1, keepDaily: 2 }, NOW)).toEqual({
      keep: [
        {
          backupId: "2026-11-21T03:00:00.000Z",
          startedAt: "2026-11-21T03:00:00.000Z",
          reasons: ["the newest", "last 1 of 1", "daily 2026-11-21"],
        },
        {
          backupId: "2026-11-20T03:00:00.000Z",
          startedAt: "2026-11-20T03:00:00.000Z",
          reasons: ["daily 2026-11-20"],
        },
      ],
      remove: [{ backupId: "2026-11-19T03:00:00.000Z", startedAt: "2026-11-19T03:00:00.000Z" }],
    });
  });

  it.each<[string, Partial<Retention>, string[], Record<string, string[]>]>([
    [
      "hours",
      { keepHourly: 2 },
      ["2026-11-20T03:10:00Z", "2026-11-20T03:50:00Z", "2026-11-20T01:59:59Z", "2026-11-19T03:00:00Z"],
      { "2026-11-20T03:50:00Z": ["hourly 2026-11-20T03"], "2026-11-20T01:59:59Z": ["hourly 2026-11-20T01"] },
    ],
    [
      "days, in UTC",
      { keepDaily: 2 },
      ["2026-11-20T23:59:59Z", "2026-11-20T00:00:00Z", "2026-11-18T12:00:00Z", "2026-11-17T12:00:00Z"],
      { "2026-11-20T23:59:59Z": ["daily 2026-11-20"], "2026-11-18T12:00:00Z": ["daily 2026-11-18"] },
    ],
    [
      "ISO weeks, from Monday to Sunday",
      { keepWeekly: 3 },
      ["2026-11-16T00:00:00Z", "2026-11-15T23:59:59Z", "2021-01-03T12:00:00Z", "2020-12-28T12:00:00Z"],
      {
        "2026-11-16T00:00:00Z": ["weekly 2026-W47"],
        "2026-11-15T23:59:59Z": ["weekly 2026-W46"],
        "2021-01-03T12:00:00Z": ["weekly 2020-W53"],
      },
    ],
    [
      "months",
      { keepMonthly: 2 },
      ["2026-11-01T00:00:00Z", "2026-10-31T23:59:59Z", "2026-10-01T00:00:00Z", "2026-09-30T00:00:00Z"],
      { "2026-11-01T00:00:00Z": ["monthly 2026-11"], "2026-10-31T23:59:59Z": ["monthly 2026-10"] },
    ],
    [
      "years",
      { keepYearly: 2 },
      ["2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2025-01-01T00:00:00Z", "2024-12-31T00:00:00Z"],
      { "2026-01-01T00:00:00Z": ["yearly 2026"], "2025-12-31T23:59:59Z": ["yearly 2025"] },
    ],
  ])("keeps the newest of each of the latest %s that have one", (_, rules, times, wanted) => {
    const told = reasons(backups(...times), rules);
    const newest = Object.keys(wanted)[0] ?? "";
    expect(told).toEqual({ ...wanted, [newest]: ["the newest", ...(wanted[newest] ?? [])] });
  });

  it("keeps what lies within so many days of the newest backup", () => {
    const given = backups(...nights(10));
    expect(kept(given, { keepWithinDays: 7 })).toEqual(nights(8));
    expect(reasons(given, { keepWithinDays: 1 })["2026-11-20T03:00:00.000Z"]).toContain("within 1 day");
  });

  it("removes nothing by age while there are no new backups (failure mode 21)", () => {
    const given = backups(...nights(5, "2026-01-05T03:00:00.000Z"));
    expect(kept(given, { keepWithinDays: 7 })).toHaveLength(5);
  });

  it("does not remove all but one by age when backups begin again after a gap (failure mode 21)", () => {
    const before = nights(5, "2026-01-05T03:00:00.000Z");
    const given = backups(...nights(1), ...before);
    expect(kept(given, { keepWithinDays: 7 })).toEqual([...nights(1), ...before.slice(0, 2)]);
    // Another rule keeps enough by itself: then age means age.
    expect(kept(given, { keepWithinDays: 7, keepLast: 1 })).toEqual(nights(1));
  });

  it("does not count nights without a backup: after an outage as many are left as before it", () => {
    const before = nights(20, "2026-03-01T03:00:00.000Z");
    expect(kept(backups(...nights(1), ...before), { keepDaily: 14 })).toEqual([
      ...nights(1),
      ...before.slice(0, 13),
    ]);
  });

  it("keeps everything when it asks for nothing", () => {
    const given = backups(...nights(40));
    expect(retain(given, NONE, NOW).remove).toEqual([]);
    expect(Object.values(reasons(given, {}))).toEqual(Array.from({ length: 40 }, () => ["no rule"]));
  });

  it.each<[string, Partial<Retention>]>([
    ["below zero", { keepDaily: -1 }],
    ["below zero beside a sound one", { keepLast: 1, keepWithinDays: -30 }],
    ["a half", { keepLast: 1, keepWeekly: 0.5 }],
    ["none", { keepLast: Number.NaN }],
  ])("keeps everything when one of its numbers is %s (failure mode 22)", (_, rules) => {
    expect(kept(backups(...nights(9)), rules)).toHaveLength(9);
  });

  it.each<[string, unknown, string]>([
    ["a number below zero", { keepDaily: -1 }, "keepDaily"],
    ["half a backup", { keepLast: 0.5 }, "keepLast"],
    ["a word", { keepLast: "all" }, "keepLast"],
    ["nothing", { keepLast: null }, "keepLast"],
    ["a misspelt key", { keepDayly: 7 }, "keepDayly"],
  ])("with %s is refused, and the field named (failure mode 22)", (_, policy, field) => {
    const issues = retentionSchema.safeParse(policy).error?.issues ?? [];
    const named = issues.map((issue) =>
      issue.code === "unrecognized_keys" ? issue.keys.join() : issue.path.join("."),
    );
    expect(named).toEqual([field]);
  });

  it("keeps what is pinned, which takes its place in the rules all the same", () => {
    const [first = "", second = "", third = "", fourth = ""] = nights(4);
    const given = backups(`!${first}`, second, third, `!${fourth}`);
    expect(reasons(given, { keepLast: 2 })).toEqual({
      [first]: ["pinned", "the newest", "last 1 of 2"],
      [second]: ["last 2 of 2"],
      [fourth]: ["pinned"],
    });
  });

  it("goes by time, not by name (failure mode 24)", () => {
    const given = [
      { id: "shop.z", startedAt: Date.parse("2026-11-19T03:00:00Z"), pinned: false },
      { id: "shop.a", startedAt: Date.parse("2026-11-20T03:00:00Z"), pinned: false },
    ];
    expect(kept(given, { keepLast: 1 })).toEqual(["shop.a"]);
  });

  it("keeps what is dated later than now, and counts it for no rule (failure mode 29)", () => {
    const future = "2027-11-21T03:00:00.000Z";
    const given = backups(future, ...nights(3));
    expect(reasons(given, { keepLast: 2, keepYearly: 1, keepWithinDays: 1 })).toEqual({
      [future]: ["future-dated"],
      [nights(2)[0] ?? ""]: ["the newest", "last 1 of 2", "yearly 2026", "within 1 day"],
      [nights(2)[1] ?? ""]: ["last 2 of 2", "within 1 day"],
    });
    expect(kept(backups(...nights(3)), { keepLast: 1 }, 0)).toHaveLength(3);
  });

  it("keeps by default the last 3, 14 days, 8 weeks, 12 months and 3 years", () => {
    const given = backups(...nights(4 * 365));
    const weeks = ["2026-11-01", "2026-10-25", "2026-10-18", "2026-10-11", "2026-10-04"];
    const months = ["10-31", "09-30", "08-31", "07-31", "06-30", "05-31", "04-30", "03-31", "02-28", "01-31"];
    const wanted = [
      ...nights(14).map((time) => time.slice(0, 10)),
      ...weeks,
      ...months.map((day) => `2026-${day}`),
      "2025-12-31",
      "2024-12-31",
    ];
    const days = kept(given, DEFAULT_RETENTION).map((time) => time.slice(0, 10));
    expect(days).toEqual([...new Set(wanted)].toSorted().toReversed());
  });
});

describe("retention, whatever there is", () => {
  const rule = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 6 }));
  const anyRules = fc.record<Retention>({
    keepLast: rule,
    keepHourly: rule,
    keepDaily: rule,
    keepWeekly: rule,
    keepMonthly: rule,
    keepYearly: rule,
    keepWithinDays: fc.oneof(rule, fc.integer({ min: 1, max: 400 })),
  });
  const moment = fc.oneof(
    fc.integer({ min: NOW - 3 * DAY_MS, max: NOW + DAY_MS }),
    fc.integer({ min: NOW - 40 * DAY_MS, max: NOW }),
    fc.integer({ min: NOW - 1_500 * DAY_MS, max: NOW + 40 * DAY_MS }),
    // some of the very same time
    fc.integer({ min: 0, max: 3 }).map((day) => NOW - day * DAY_MS),
  );
  const anyBackups = fc
    .array(fc.record({ startedAt: moment, pinned: fc.boolean(), name: fc.string({ maxLength: 2 }) }), {
      maxLength: 30,
    })
    .map((all) =>
      all.map(({ startedAt, pinned, name }, index): RetainedBackup => {
        return { id: `${name}.${index}`, startedAt, pinned: pinned && index % 4 === 0 };
      }),
    );

  it("is what a model says that asks of each backup alone whether some rule keeps it", () => {
    fc.assert(
      fc.property(anyBackups, anyRules, (given, rules) => {
        const wanted = given.filter((backup) => modelKeeps(backup, given, rules));
        expect(kept(given, rules).toSorted()).toEqual(wanted.map(({ id }) => id).toSorted());
      }),
      { numRuns: 2_000 },
    );
  });

  it("is the same in whatever order they are given", () => {
    fc.assert(
      fc.property(anyBackups, anyRules, (given, rules) => {
        expect(retain(given.toReversed(), rules, NOW)).toEqual(retain(given, rules, NOW));
      }),
    );
  });

  it("keeps or removes each one, tells why it keeps it, and keeps the newest", () => {
    fc.assert(
      fc.property(anyBackups, anyRules, (given, rules) => {
        const { keep, remove } = retain(given, rules, NOW);
        const all = [...keep, ...remove].map(({ backupId }) => backupId);
        expect(all.toSorted()).toEqual(given.map(({ id }) => id).toSorted());
        expect(keep.every((backup) => backup.reasons.length > 0)).toBe(true);
        expect(keep.length > 0).toBe(given.length > 0);
        const past = given.filter(({ startedAt }) => startedAt <= NOW);
        const newest = Math.max(...past.map(({ startedAt }) => startedAt));
        if (past.length > 0) expect(keep.map(({ startedAt }) => Date.parse(startedAt))).toContain(newest);
      }),
    );
  });

  it("never removes a kept backup because an older one is added", () => {
    fc.assert(
      fc.property(anyBackups, anyRules, moment, (given, rules, startedAt) => {
        const before = kept(given, rules);
        const newer = given.filter((one) => one.startedAt > startedAt && before.includes(one.id));
        const after = kept([...given, { id: "added", startedAt, pinned: false }], rules);
        expect(newer.filter(({ id }) => !after.includes(id))).toEqual([]);
      }),
    );
  });

  it("removes nothing more of what it has kept", () => {
    fc.assert(
      fc.property(anyBackups, anyRules, (given, rules) => {
        const once = kept(given, rules);
        const left = given.filter(({ id }) => once.includes(id));
        expect(retain(left, rules, NOW).remove).toEqual([]);
      }),
    );
  });
});

/** Whether a backup is kept, by counting what is newer than it. */
function modelKeeps(backup: RetainedBackup, all: readonly RetainedBackup[], rules: Retention): boolean {
  if (backup.pinned || backup.startedAt > NOW) return true;
  const values = Object.values(rules);
  if (values.every((value) => value === 0)) return true;
  const isNewer = (a: RetainedBackup, b: RetainedBackup): boolean =>
    a.startedAt > b.startedAt || (a.startedAt === b.startedAt && a.id > b.id);
  const past = all.filter(({ startedAt }) => startedAt <= NOW);
  const newer = past.filter((other) => isNewer(other, backup));
  if (newer.length < rules.keepLast) return true;
  const periods: [number, (at: number) => number][] = [
    [rules.keepHourly, (at) => Math.floor(at / HOUR_MS)],
    [rules.keepDaily, (at) => Math.floor(at / DAY_MS)],
    // 5 January 1970 was a Monday
    [rules.keepWeekly, (at) => Math.floor((at - 4 * DAY_MS) / (7 * DAY_MS))],
    [rules.keepMonthly, (at) => new Date(at).getUTCFullYear() * 12 + new Date(at).getUTCMonth()],
    [rules.keepYearly, (at) => new Date(at).getUTCFullYear()],
  ];
  for (const [count, periodOf] of periods) {
    const own = periodOf(backup.startedAt);
    const periodsAbove = new Set(newer.map(({ startedAt }) => periodOf(startedAt)));
    if (!periodsAbove.has(own) && periodsAbove.size < count) return true;
  }
  if (rules.keepWithinDays === 0) return false;
  const newest = Math.max(...past.map(({ startedAt }) => startedAt));
  if (newest - backup.startedAt <= rules.keepWithinDays * DAY_MS) return true;
  const byAgeAlone = values.filter((value) => value > 0).length === 1;
  return byAgeAlone && newer.length < 3;
}
