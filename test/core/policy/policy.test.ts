import { describe, expect, it } from "vitest";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import {
  backupOptions,
  LEAN_ENCRYPTED_VOLUME_BYTES,
  LEAN_VOLUME_BYTES,
} from "../../../src/core/policy/backup-options.ts";
import { effectivePolicy, isIncluded } from "../../../src/core/policy/effective-policy.ts";
import {
  policySchema,
  storedDefaultPolicySchema,
  storedPolicySchema,
} from "../../../src/core/policy/policy.ts";
import { isDue } from "../../../src/core/schedule/spread.ts";
import fc from "fast-check";

const settings = { compression: "gzip", volumeBytes: 134_217_728 } as const;
const DAY_MS = 86_400_000;

describe("a policy", () => {
  it("follows the Worker's settings in what it leaves out", () => {
    expect(effectivePolicy({}, settings)).toEqual({
      schedule: "trigger",
      paused: false,
      compression: "gzip",
      volumeBytes: 134_217_728,
      lean: false,
      retention: {
        keepLast: 3,
        keepHourly: 0,
        keepDaily: 14,
        keepWeekly: 8,
        keepMonthly: 12,
        keepYearly: 3,
        keepWithinDays: 0,
      },
      freshnessMs: null,
      maxUnchangedDays: 7,
      examineDays: 7,
      exportOptions: { noData: false, noSchema: false, tables: [] },
    });
    const shared = { compression: "none", retention: { keepLast: 9, keepDaily: 1 }, lean: true } as const;
    const own = { compression: "zstd", retention: { keepLast: 5 } } as const;
    expect(effectivePolicy(own, settings, shared)).toMatchObject({
      compression: "zstd",
      lean: true,
      retention: { keepLast: 5, keepDaily: 1, keepWeekly: 8 },
    });
    expect(effectivePolicy({ compression: "zstd", examineDays: 0 }, settings)).toMatchObject({
      compression: "zstd",
      volumeBytes: 134_217_728,
      examineDays: 0,
    });
  });

  it.each<[string, unknown, string]>([
    ["a compression that is none", { compression: "brotli" }, "compression"],
    ["a volume below 1 MiB", { volumeBytes: 1024 }, "volumeBytes"],
    ["a volume above 4 GiB", { volumeBytes: 5_000_000_000 }, "volumeBytes"],
    ["half a day", { maxUnchangedDays: 0.5 }, "maxUnchangedDays"],
    ["days below zero", { examineDays: -1 }, "examineDays"],
    ["more than a year", { maxUnchangedDays: 400 }, "maxUnchangedDays"],
    ["a word for a truth", { lean: "yes" }, "lean"],
  ])("with %s is refused, and the field named", (_, policy, field) => {
    expect(policySchema.safeParse(policy).error?.issues.map(({ path }) => path.join("."))).toEqual([field]);
  });

  it("with a key that is not known is refused", () => {
    expect(policySchema.safeParse({ compresion: "gzip" }).success).toBe(false);
  });

  it("that is lean compresses nothing, and cuts small volumes", () => {
    const lean = effectivePolicy({ lean: true, compression: "zstd" }, settings);
    expect(backupOptions(lean, [])).toEqual({
      lean: true,
      compression: "none",
      volumeBytes: LEAN_VOLUME_BYTES,
      recipients: [],
      exportOptions: EVERYTHING,
    });
    // Encryption takes CPU as well.
    expect(backupOptions(lean, ["age1x"])).toMatchObject({
      lean: true,
      volumeBytes: LEAN_ENCRYPTED_VOLUME_BYTES,
      recipients: ["age1x"],
    });
  });
});

describe("what is to happen every so many days", () => {
  const nights = (id: string, every: number, count: number, from: number): number[] => {
    const done: number[] = [];
    for (let night = 0; night < count; night++) {
      // minutes earlier or later from night to night
      const now = from + night * DAY_MS + ((night * 7) % 20) * 60_000;
      if (isDue(id, every, done.at(-1) ?? null, now)) done.push(now);
    }
    return done;
  };

  it("happens in each period, for any database, period and beginning", () => {
    const start = fc.integer({ min: 0, max: 40_000 }).map((day) => day * DAY_MS + 3 * 3_600_000);
    fc.assert(
      fc.property(fc.uuid(), fc.integer({ min: 1, max: 40 }), start, (id, every, from) => {
        const done = nights(id, every, every * 4 + 1, from);
        const gaps = [from - DAY_MS, ...done].map((at, index, all) => (all[index + 1] ?? at) - at);
        expect(done.length).toBeGreaterThanOrEqual(4);
        // a night's shift of minutes is allowed for
        for (const gap of gaps) expect(gap).toBeLessThanOrEqual(every * DAY_MS + 3_600_000);
      }),
    );
  });

  it("falls on another night for another database", () => {
    const counts = Array.from({ length: 7 }, () => 0);
    for (let i = 0; i < 7_000; i++) {
      const id = `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`;
      const night = [0, 1, 2, 3, 4, 5, 6].find((day) => isDue(id, 7, null, day * DAY_MS)) ?? -1;
      counts[night] = (counts[night] ?? 0) + 1;
    }
    for (const count of counts) expect(count).toBeGreaterThan(800);
  });

  it("never happens when that is 0", () => {
    expect(isDue("d", 0, null, 0)).toBe(false);
    expect(isDue("d", 0, 0, 400 * DAY_MS)).toBe(false);
  });
});

describe("a pattern on names", () => {
  /** Tried at each place, as nobody would do it for long names. */
  function matchesSlowly(name: string, pattern: string): boolean {
    if (pattern === "") return name === "";
    if (pattern[0] !== "*") return name[0] === pattern[0] && matchesSlowly(name.slice(1), pattern.slice(1));
    return Array.from({ length: name.length + 1 }, (_, at) => at).some((at) =>
      matchesSlowly(name.slice(at), pattern.slice(1)),
    );
  }

  it("matches what its letters and stars say", () => {
    const text = (most: number) => fc.string({ unit: fc.constantFrom("a", "b", "-", "*"), maxLength: most });
    fc.assert(
      fc.property(text(7), text(6), (name, pattern) => {
        expect(isIncluded(name, { include: [pattern] })).toBe(matchesSlowly(name, pattern));
      }),
      { numRuns: 2_000 },
    );
  });

  it("of many stars takes no time at all", () => {
    const startedAt = performance.now();
    expect(isIncluded("customer-orders-production-eu", { include: [`${"*a".repeat(49)}*z`] })).toBe(false);
    expect(isIncluded("a".repeat(5_000), { include: [`${"*".repeat(60)}z`, `${"a*".repeat(49)}z`] })).toBe(
      false,
    );
    // Exponential, it would be years.
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe("a policy that another release has stored", () => {
  it("is read as far as it is understood", () => {
    const schedule = { cron: "0 3 * * *", timeZone: "Mars/Base" };
    const stored = { compression: "zstd", paused: true, colour: "blue", schedule, exportOptions: 7 };
    expect(storedPolicySchema.parse(stored)).toEqual({ compression: "zstd", paused: true });
    expect(storedDefaultPolicySchema.parse({ exclude: ["tmp-*"], include: 7 })).toEqual({
      exclude: ["tmp-*"],
    });
    expect(storedPolicySchema.parse(null)).toEqual({});
  });

  it("deletes nothing by rules of retention that are not all understood", () => {
    const zeros = {
      keepLast: 0,
      keepHourly: 0,
      keepDaily: 0,
      keepWeekly: 0,
      keepMonthly: 0,
      keepYearly: 0,
      keepWithinDays: 0,
    };
    const stored = { retention: { keepLast: 1, keepDecades: 3 } };
    expect(storedPolicySchema.parse(stored)).toEqual({ retention: zeros });
  });
});
