/**
 * npm run guards: in a copy of the tree, removes each guard with a patch from test/guards/, and requires the guard's
 * test to go red. A test that stays green without its guard proves nothing, and neither does one that goes red for
 * another reason, so the first line of each failure is shown.
 *
 *   npm run guards                 all of them, two at a time
 *   npm run guards -- NAME…        only patches with one of these parts in their names
 *   npm run guards -- --at-once 1  one at a time instead of two
 *   npm run guards -- --check      only checks that each patch applies and names an existing test; takes a second
 *   npm run guards -- --refresh    updates the places of lines and tests in each patch, and lists what has to be
 *                                  rewritten by hand
 *
 * The first lines of a patch say what it removes, and which test must notice:
 *   # guard: volumes are read back before the commit
 *   # project: worker
 *   # file: test/worker/run/failures.test.ts
 *   # test: a volume is altered
 */
import { parseArgs } from "node:util";
import { check } from "./guards/check.ts";
import { TreeCopy } from "./guards/copy.ts";
import { judge, type Verdict } from "./guards/judge.ts";
import type { Guard } from "./guards/patch.ts";
import { readGuards, refresh } from "./guards/refresh.ts";

/** Of each guard: a table of cases fails in many lines. */
const FAILURES_SHOWN = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: "boolean" },
    refresh: { type: "boolean" },
    "at-once": { type: "string", default: "2" },
  },
});
const guards = readGuards().filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);

/** Each with all of its output, so that lines of two never mix. */
function show(guard: Guard, verdict: Verdict, done: number): void {
  const count = `[${done}/${guards.length}]`;
  if ("wrong" in verdict) {
    console.log(`${count} WRONG: ${guard.guard}\n    ${guard.name}: ${verdict.wrong}`);
    return;
  }
  console.log(`${count} red without it: ${guard.guard}`);
  for (const line of verdict.red.slice(0, FAILURES_SHOWN)) console.log(`    ${line}`);
  const more = verdict.red.length - FAILURES_SHOWN;
  if (more > 0) console.log(`    and ${more} more`);
}

/** How many guards no test watches over. Each has a process of its own; so many run at a time, in a copy each. */
async function takeOutEach(atOnce: number): Promise<number> {
  const startedAt = performance.now();
  const waiting = guards.values();
  const wrong: Guard[] = [];
  let done = 0;
  const lane = async (): Promise<void> => {
    const tree = new TreeCopy();
    for (const guard of waiting) {
      const verdict = await judge(guard, tree);
      if ("wrong" in verdict) wrong.push(guard);
      show(guard, verdict, ++done);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, guards.length) }, lane));
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  console.log(
    wrong.length === 0
      ? `A test goes red without each of ${guards.length} guards (${seconds} s).`
      : `${wrong.length} of ${guards.length} guards are wrong (${seconds} s): ${wrong.map(({ name }) => name).join(", ")}`,
  );
  return wrong.length;
}

function listed(wrong: readonly string[], all: string): number {
  for (const line of wrong) console.log(line);
  console.log(wrong.length === 0 ? all : `${wrong.length} to be fixed`);
  return wrong.length;
}

async function main(): Promise<number> {
  if (values.refresh === true)
    return listed(refresh(guards), `${guards.length} patches have the right places of their lines and tests`);
  if (values.check === true)
    return listed(check(guards), `${guards.length} patches apply, and name an existing test`);
  const atOnce = Number(values["at-once"]);
  if (!Number.isInteger(atOnce) || atOnce < 1) throw new Error("--at-once takes a whole number, such as 2");
  return takeOutEach(atOnce);
}

process.exitCode = guards.length === 0 || (await main()) > 0 ? 1 : 0;
