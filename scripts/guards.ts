/**
 * npm run guards: takes each guard out, by a patch from test/guards/, in a copy of the tree, and requires the test
 * that watches over it to go red. A test that stays green without its guard proves nothing, and neither does one that
 * goes red for another reason: the first line of each failure is shown.
 *
 *   npm run guards                 all of them, which takes long
 *   npm run guards -- NAME…        those alone whose patches have one of these parts in their names
 *   npm run guards -- --check      only whether each patch applies and names a test that there is; takes a second
 *   npm run guards -- --refresh    lets each patch say again where its lines and its test stand, and lists what has
 *                                  to be rewritten by hand
 *
 * The first lines of a patch say what it takes out, and which test must notice:
 *   # guard: volumes are read back before the commit
 *   # project: worker
 *   # file: test/worker/run/failures.test.ts
 *   # test: a volume is altered
 */
import { parseArgs } from "node:util";
import { check } from "./guards/check.ts";
import { judge } from "./guards/judge.ts";
import { readGuards, refresh } from "./guards/refresh.ts";

/** Of each guard: a table of cases fails in many lines. */
const FAILURES_SHOWN = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: "boolean" }, refresh: { type: "boolean" } },
});
const guards = readGuards().filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);

/** How many guards are not watched over. */
function takeOutEach(): number {
  let wrong = 0;
  for (const guard of guards) {
    const found = judge(guard);
    if ("trouble" in found) wrong++;
    console.log(`${"trouble" in found ? found.trouble : "red, as it must be"}: ${guard.guard}`);
    if ("noticed" in found)
      for (const line of found.noticed.slice(0, FAILURES_SHOWN)) console.log(`    ${line}`);
  }
  console.log(`${guards.length - wrong} of ${guards.length} guards are watched over by a test`);
  return wrong;
}

function listed(wrong: readonly string[], all: string): number {
  for (const line of wrong) console.log(line);
  console.log(wrong.length === 0 ? all : `${wrong.length} to be mended`);
  return wrong.length;
}

function main(): number {
  if (values.refresh === true)
    return listed(refresh(guards), `${guards.length} patches say where their lines and their tests stand`);
  if (values.check === true)
    return listed(check(guards), `${guards.length} patches apply, and name a test that there is`);
  return takeOutEach();
}

process.exitCode = guards.length === 0 || main() > 0 ? 1 : 0;
