import { EXAMINE_DAYS, type Night } from "./databases.ts";
import { simulate, type Simulated } from "./simulation.ts";
import type { Limits } from "./world.ts";
import { WINDOW_MS } from "../../src/core/d1/api-budget.ts";
import { timesAsMuch } from "../harness/outcome.ts";
import { table, verdict } from "../harness/table.ts";

const CHANGED = 0.1;
const HOUR_MS = 3_600_000;
const AIM_HOURS = 4;
const AIM_GAP_MS = 10_000;

/** As the product is installed. */
const DEFAULTS: Limits = { calls: 960, exports: 6 };
/** As much as it can be given. */
const ALL: Limits = { calls: 1_200, exports: 7 };

const NIGHT: Omit<Night, "databases"> = {
  changed: CHANGED,
  examineDays: EXAMINE_DAYS,
  startsAt: Date.UTC(2026, 10, 21, 3),
  seed: 1,
};

const NIGHTS: readonly { name: string; night: Omit<Night, "databases">; limits: Limits }[] = [
  { name: "10 % changed", night: NIGHT, limits: DEFAULTS },
  { name: "examineDays 0", night: { ...NIGHT, examineDays: 0 }, limits: DEFAULTS },
  { name: `${ALL.calls} calls`, night: NIGHT, limits: ALL },
  { name: "first night", night: { ...NIGHT, changed: null }, limits: DEFAULTS },
];

/**
 * How the product copes with many databases. What the code has promised is required, and ends the bench when it is
 * broken; how long all takes is told.
 */
export async function scale(databases: number): Promise<string> {
  const nights: Simulated[] = [];
  for (const { night, limits } of NIGHTS) nights.push(await simulate({ ...night, databases }, limits));
  const row = (name: string, figure: (night: Simulated) => string): string[] => [name, ...nights.map(figure)];
  return table(
    `A night of ${databases} databases in virtual time: the product's budget, places, spread and waiting times over a D1 that ` +
      "fails now and then.\nAssumed: how many are of which size, their tables, and the speed of calls and copies. " +
      "In each night a seventh of all is examined, if it is\nbacked up, and a seventh is backed up in full, written to or not.",
    ["", ...NIGHTS.map(({ name }) => name)],
    [
      row("all done after, hours", ({ tookMs }) => hours(tookMs)),
      row(`  ≤ ${AIM_HOURS}`, ({ tookMs, unchanged }) =>
        // A first night is no ordinary one: it has no aim but to come to its end.
        unchanged === 0 ? "" : verdict(tookMs, AIM_HOURS * HOUR_MS),
      ),
      row("  were its calls all it waits for", ({ world }) =>
        hours((world.totalCalls / world.limits.calls) * WINDOW_MS),
      ),
      row("  × that", ({ tookMs, world }) =>
        timesAsMuch(tookMs, (world.totalCalls / world.limits.calls) * WINDOW_MS),
      ),
      row("half done after", ({ waits }) => hours(waits.half)),
      row("99 of 100 done after", ({ waits }) => hours(waits.most)),
      row("backed up", ({ backedUp }) => String(backedUp)),
      row("unchanged", ({ unchanged }) => String(unchanged)),
      row("failed", ({ failed }) => String(failed)),
      row("examined", ({ examined }) => String(examined)),
      row("  given up", ({ notExamined }) => String(notExamined)),
      row("calls of the API", ({ world }) => String(world.totalCalls)),
      row("  of them polls", ({ world }) => String(world.polls)),
      row("most calls in 5 minutes", ({ world }) => `${world.mostCalls} of ${world.limits.calls}`),
      row("most exports at once", ({ world }) => `${world.mostExports} of ${world.limits.exports}`),
      row("longest gap between polls, s", ({ world }) => (world.longestGapMs / 1_000).toFixed(1)),
      row(`  ≤ ${AIM_GAP_MS / 1_000}`, ({ world }) => verdict(world.longestGapMs, AIM_GAP_MS)),
      row("  between answered ones, s", ({ world }) => (world.longestUnansweredMs / 1_000).toFixed(1)),
      row("faults, lost exports", ({ world }) => `${world.faults}, ${world.lostExports}`),
      row("started late", ({ late }) => String(late)),
    ],
  );
}

function hours(ms: number): string {
  return (ms / HOUR_MS).toFixed(2);
}
