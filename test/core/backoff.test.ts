import fc from "fast-check";
import { expect, it } from "vitest";
import { backoffMs, busyDelayMs, pollDelayMs } from "../../src/core/backoff.ts";

it("polls after 1 s, 2 s, then every 4 s: well inside the 15 s after which D1 cancels", () => {
  expect([0, 1, 2, 3, 1_000].map(pollDelayMs)).toEqual([1_000, 2_000, 4_000, 4_000, 4_000]);
});

it("waits 15 to 60 seconds for a busy database", () => {
  fc.assert(
    fc.property(
      fc.nat(1_000),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, random) => {
        expect(busyDelayMs(attempt, random)).toBeGreaterThanOrEqual(15_000);
        expect(busyDelayMs(attempt, random)).toBeLessThanOrEqual(60_000);
      },
    ),
  );
});

it("backs off longer each time, up to its cap, and never less than half of it", () => {
  fc.assert(
    fc.property(
      fc.nat(1_000),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, random) => {
        const ceiling = Math.min(60_000, 1_000 * 2 ** Math.min(attempt, 16));
        expect(backoffMs(attempt, random)).toBeGreaterThanOrEqual(ceiling / 2);
        expect(backoffMs(attempt, random)).toBeLessThanOrEqual(ceiling);
      },
    ),
  );
});
