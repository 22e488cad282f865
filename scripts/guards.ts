/**
 * npm run guards: takes each guard out, by a patch from test/guards/, in a copy of the tree, and requires the test
 * that watches over it to go red. A test that stays green without its guard proves nothing, and neither does one that
 * goes red for another reason: the first line of each failure is shown. Takes parts of patches' names: those alone run.
 *
 * The first lines of a patch say what it takes out, and which test must notice:
 *   # guard: volumes are read back before the commit
 *   # project: worker
 *   # file: test/worker/failures.test.ts
 *   # test: a volume is altered
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";

interface Guard {
  readonly patch: string;
  readonly guard: string;
  readonly project: string;
  readonly file: string;
  readonly test: string;
}

/** Of each guard: a table of cases fails in many lines. */
const FAILURES_SHOWN = 3;

const root = resolve(import.meta.dirname, "..");
const folder = join(root, "test/guards");

function readGuard(name: string): Guard {
  const text = readFileSync(join(folder, name), "utf8");
  const field = (key: string): string => {
    const value = new RegExp(`^# ${key}: (.+)$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`${name} lacks a line "# ${key}: …"`);
    return value;
  };
  return {
    patch: join(folder, name),
    guard: field("guard"),
    project: field("project"),
    file: field("file"),
    test: field("test"),
  };
}

/** The working tree as git sees it, so that a patch never touches the real one. */
function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), "d1-nightly-guards-"));
  const files = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  for (const file of files.stdout.split("\0"))
    // git lists what is deleted but not committed, too.
    if (file !== "" && existsSync(join(root, file))) cpSync(join(root, file), join(copy, file));
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
function judge(guard: Guard): { trouble: string } | { noticed: string[] } {
  const tree = copyTree();
  try {
    const applied = spawnSync("git", ["apply", guard.patch], {
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

const wanted = process.argv.slice(2);
const guards = readdirSync(folder)
  .filter((name) => name.endsWith(".patch"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .toSorted()
  .map(readGuard);
let wrong = guards.length === 0 ? 1 : 0;
for (const guard of guards) {
  const found = judge(guard);
  if ("trouble" in found) wrong++;
  console.log(`${"trouble" in found ? found.trouble : "red, as it must be"}: ${guard.guard}`);
  if ("noticed" in found)
    for (const line of found.noticed.slice(0, FAILURES_SHOWN)) console.log(`    ${line}`);
}
console.log(`${guards.length - wrong} of ${guards.length} guards are watched over by a test`);
process.exitCode = wrong === 0 ? 0 : 1;
