/** Takes a guard out, in a copy of the tree, and runs the test that watches over it. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { Guard } from "./patch.ts";
import { filesOfTree, folder, root } from "./tree.ts";

/** A copy of the tree, so that a patch never touches the real one. */
function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), "d1-nightly-guards-"));
  for (const file of filesOfTree()) cpSync(join(root, file), join(copy, file));
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

const reportSchema = z.object({
  numPassedTests: z.number(),
  testResults: z.array(
    z.object({
      assertionResults: z.array(z.object({ title: z.string(), failureMessages: z.array(z.string()) })),
    }),
  ),
});

/** What the tests that went red say, a line each; or why none did. */
function runTest(tree: string, { project, file, test }: Guard): string[] | "green" | "did not run" {
  const report = join(tree, "guard-report.json");
  const args = ["run", "--project", project, file, "-t", test, "--reporter=json", `--outputFile=${report}`];
  spawnSync(join(root, "node_modules/.bin/vitest"), args, { cwd: tree, stdio: "ignore", timeout: 300_000 });
  if (!existsSync(report)) return "did not run";
  const { numPassedTests, testResults } = reportSchema.parse(JSON.parse(readFileSync(report, "utf8")));
  rmSync(report);
  const failures = testResults.flatMap(({ assertionResults }) =>
    assertionResults.flatMap(({ title, failureMessages }) =>
      failureMessages.slice(0, 1).map((message) => `${title}: ${message.split("\n", 1).join("")}`),
    ),
  );
  return failures.length > 0 ? failures : numPassedTests > 0 ? "green" : "did not run";
}

/** What is wrong with a guard, or how its test noticed. That it is green with the guard is what `npm test` shows. */
export function judge(guard: Guard): { trouble: string } | { noticed: string[] } {
  const tree = copyTree();
  try {
    const applied = spawnSync("git", ["apply", join(folder, guard.name)], {
      cwd: tree,
      encoding: "utf8",
      env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() },
    });
    if (applied.status !== 0) return { trouble: `the patch does not apply: ${applied.stderr.trim()}` };
    const outcome = runTest(tree, guard);
    if (outcome === "green") return { trouble: "STAYS GREEN without the guard" };
    if (outcome === "did not run") return { trouble: "its test did not run" };
    return { noticed: outcome };
  } finally {
    rmSync(tree, { recursive: true });
  }
}
