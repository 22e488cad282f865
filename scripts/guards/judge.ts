/** Takes a guard out, in a copy of the tree, and runs the test that watches over it. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { TreeCopy } from "./copy.ts";
import type { Guard } from "./patch.ts";
import { folder, root } from "./tree.ts";

const LIMIT_MS = 300_000;

const reportSchema = z.object({
  numPassedTests: z.number(),
  testResults: z.array(
    z.object({
      assertionResults: z.array(z.object({ title: z.string(), failureMessages: z.array(z.string()) })),
    }),
  ),
});

/** What is wrong with a guard, or what its test said without it: a line for each test that went red. */
export type Verdict = { readonly wrong: string } | { readonly red: readonly string[] };

/** That the test is green with the guard is what `npm test` shows. */
export async function judge(guard: Guard, tree: TreeCopy): Promise<Verdict> {
  const patch = join(folder, guard.name);
  const refused = tree.apply(patch, "forward");
  if (refused !== null) return { wrong: `its patch does not apply: ${refused}` };
  const verdict = await runTest(guard, tree);
  const stuck = tree.apply(patch, "back");
  if (stuck !== null) throw new Error(`${guard.name} cannot be taken back: ${stuck}`);
  return verdict;
}

async function runTest({ project, file, test }: Guard, tree: TreeCopy): Promise<Verdict> {
  const report = join(tree.folder, "guard-report.json");
  const args = ["run", "--project", project, file, "-t", test, "--reporter=json", `--outputFile=${report}`];
  const inTime = await tree.run(join(root, "node_modules/.bin/vitest"), args, LIMIT_MS);
  if (!inTime) return { wrong: `its test was not over after ${LIMIT_MS / 60_000} minutes` };
  if (!existsSync(report)) return { wrong: "its test did not run" };
  const { numPassedTests, testResults } = reportSchema.parse(JSON.parse(readFileSync(report, "utf8")));
  rmSync(report);
  const red = testResults.flatMap(({ assertionResults }) =>
    assertionResults.flatMap(({ title, failureMessages }) =>
      failureMessages.slice(0, 1).map((message) => `${title}: ${message.split("\n", 1).join("")}`),
    ),
  );
  if (red.length > 0) return { red };
  return { wrong: numPassedTests > 0 ? "its test stays green without it" : "its test did not run" };
}
