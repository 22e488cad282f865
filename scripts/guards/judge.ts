/** Removes a guard in a copy of the tree, and runs its test. */
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

/** The problem with a guard, or the output of its test without it: a line for each test that went red. */
export type Verdict = { readonly wrong: string } | { readonly red: readonly string[] };

/** `npm test` shows that the test is green with the guard. */
export async function judge(guard: Guard, tree: TreeCopy): Promise<Verdict> {
  const patch = join(folder, guard.name);
  const refused = tree.apply(patch, "forward");
  if (refused !== null) return { wrong: `its patch does not apply: ${refused}` };
  const verdict = await runTest(guard, tree);
  const stuck = tree.apply(patch, "back");
  if (stuck !== null) throw new Error(`${guard.name} cannot be reverted: ${stuck}`);
  return verdict;
}

async function runTest({ project, file, test }: Guard, tree: TreeCopy): Promise<Verdict> {
  const report = join(tree.folder, "guard-report.json");
  const args = ["run", "--project", project, file, "-t", test, "--reporter=json", `--outputFile=${report}`];
  const inTime = await tree.run(join(root, "node_modules/.bin/vitest"), args, LIMIT_MS);
  if (!inTime) return { wrong: `its test had not finished after ${LIMIT_MS / 60_000} minutes` };
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
