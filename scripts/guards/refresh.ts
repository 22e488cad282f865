/**
 * npm run guards -- --refresh: after files were moved, or lines around a guard have changed, lets each patch say again
 * where its lines stand. What it cannot find in exactly one place is to be rewritten by hand, and is listed.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { nearestTo, placeHunk } from "./place.ts";
import { readGuard, writeGuard, type Guard, type Hunk } from "./patch.ts";
import { namesATest } from "./titles.ts";
import { filesOfTree, folder } from "./tree.ts";

export function readGuards(): Guard[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".patch"))
    .toSorted()
    .map((name) => readGuard(name, readFileSync(join(folder, name), "utf8")));
}

/** What is to be done by hand, a line each; none when all patches are in order now. */
export function refresh(guards: readonly Guard[]): string[] {
  return guards.flatMap((guard) => {
    const hunks = guard.hunks.map((hunk) => placeHunk(hunk));
    const placed = guard.hunks.map((hunk, index) => hunks[index] ?? hunk);
    const file = testFileOf(guard);
    const fresh = {
      ...guard,
      hunks: placed,
      file: file ?? guard.file,
      project: projectOf(file) ?? guard.project,
    };
    if (JSON.stringify(fresh) !== JSON.stringify(guard)) {
      writeFileSync(join(folder, guard.name), writeGuard(fresh));
      console.log(`rewritten: ${guard.name} (${[...new Set(placed.map((hunk) => hunk.file))].join(", ")})`);
    }
    return [
      ...guard.hunks.filter((_, index) => hunks[index] === null).map((hunk) => byHand(guard, hunk)),
      ...(file === null
        ? [`${guard.name}: no test file has a test named ${JSON.stringify(guard.test)}`]
        : []),
    ];
  });
}

function byHand({ name }: Guard, hunk: Hunk): string {
  const nearest = nearestTo(hunk);
  const indented = (lines: readonly string[]): string => lines.map((line) => `      ${line}`).join("\n");
  return [
    `${name}: what it changes in ${hunk.file}:${hunk.line} is not found in exactly one place`,
    `    it wants:\n${indented(hunk.lines)}`,
    nearest === null
      ? "    nothing in the tree is like that"
      : `    the nearest is ${nearest.file}:${nearest.index + 1}:\n${indented(nearest.lines)}`,
  ].join("\n");
}

/** Where the guard's test stands: in its file; in the one of that name; else in the only one with such a test. */
function testFileOf({ file, test }: Guard): string | null {
  const tests = filesOfTree().filter((path) => path.startsWith("test/") && path.endsWith(".test.ts"));
  for (const some of [
    tests.filter((path) => path === file),
    tests.filter((path) => basename(path) === basename(file)),
    tests,
  ]) {
    const [only, ...others] = some.filter((path) => namesATest(path, test));
    if (only !== undefined && others.length === 0) return only;
  }
  return null;
}

/** The projects of vitest.config.ts are named like the folders of their tests. */
function projectOf(file: string | null): string | null {
  return file?.split("/")[1] ?? null;
}
