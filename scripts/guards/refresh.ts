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
    const file = testFileOf(guard, guards);
    const fresh = {
      ...guard,
      hunks: placed,
      file: file ?? guard.file,
      project: projectOf(file) ?? guard.project,
    };
    if (JSON.stringify(fresh) !== JSON.stringify(guard)) {
      writeFileSync(join(folder, guard.name), writeGuard(fresh));
      const renamed = newLines(guard.hunks) === newLines(placed) ? "" : "; CHECK IT: names were changed";
      console.log(
        `rewritten: ${guard.name} (${[...new Set(placed.map((hunk) => hunk.file))].join(", ")})${renamed}`,
      );
    }
    return [
      ...guard.hunks.filter((_, index) => hunks[index] === null).map((hunk) => byHand(guard, hunk)),
      ...(file === null
        ? [`${guard.name}: no test file has a test named ${JSON.stringify(guard.test)}`]
        : []),
    ];
  });
}

/** What the patch puts into the tree. */
function newLines(hunks: readonly Hunk[]): string {
  return hunks
    .flatMap(({ lines }) => lines.filter((line) => line.startsWith("+")).map((line) => line.slice(1).trim()))
    .join("\n");
}

function byHand({ name }: Guard, hunk: Hunk): string {
  const nearest = nearestTo(hunk);
  const indented = (lines: readonly string[]): string => lines.map((line) => `      ${line}`).join("\n");
  return [
    `${name}: its lines of ${hunk.file}:${hunk.line} were not found in exactly one place`,
    `    its lines:\n${indented(hunk.lines)}`,
    nearest === null
      ? "    no similar lines were found"
      : `    the most similar lines, at ${nearest.file}:${nearest.index + 1}:\n${indented(nearest.lines)}`,
  ].join("\n");
}

/**
 * Where the guard's test stands: in its file; else in the only one of that file's name with such a test; else in the
 * only one that has all tests that the guards name of that file.
 */
function testFileOf({ file, test }: Guard, guards: readonly Guard[]): string | null {
  const tests = filesOfTree().filter((path) => path.startsWith("test/") && path.endsWith(".test.ts"));
  const together = guards.filter((other) => other.file === file).map((other) => other.test);
  const onlyOne = (paths: readonly string[], named: readonly string[]): string | undefined => {
    const [only, ...others] = paths.filter((path) => named.every((name) => namesATest(path, name)));
    return others.length === 0 ? only : undefined;
  };
  const ofThatName = tests.filter((path) => basename(path) === basename(file));
  return (
    onlyOne(
      tests.filter((path) => path === file),
      [test],
    ) ??
    onlyOne(ofThatName, [test]) ??
    onlyOne(tests, together) ??
    onlyOne(tests, [test]) ??
    null
  );
}

/** The projects of vitest.config.ts are named like the folders of their tests. */
function projectOf(file: string | null): string | null {
  return file?.split("/")[1] ?? null;
}
