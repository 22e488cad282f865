import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "d1-nightly-guards-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const GUARDED = `export function keep(backups: string[], pinned: Set<string>) {
  const newest = backups.at(-1);
  if (newest !== undefined && pinned.has(newest)) return backups;
  return backups.slice(1);
}
`;
const TESTS = `describe("retention", () => {
  it.each([["none", 0]])("keeps what is pinned when %s is asked for", () => {});
});
`;
const PATCH = `# guard: what is pinned is kept
# project: core
# file: test/core/keep.test.ts
# test: retention keeps what is pinned when none
diff --git a/src/keep.ts b/src/keep.ts
--- a/src/keep.ts
+++ b/src/keep.ts
@@ -2,3 +2,3 @@
   const newest = backups.at(-1);
-  if (newest !== undefined && pinned.has(newest)) return backups;
+  if (newest === "" && pinned.has(newest)) return backups;
   return backups.slice(1);
`;

type Files = Readonly<Record<string, string>>;
const TREE: Files = { "src/keep.ts": GUARDED, "test/core/keep.test.ts": TESTS };

let trees = 0;

/** A project of its own, with one guard, and what the command says of it. */
function project(files: Files, patch = PATCH) {
  const tree = join(folder, String(++trees));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  };
  for (const [path, text] of Object.entries(files)) write(path, text);
  write("test/guards/pinned.patch", patch);
  write(".gitignore", "node_modules\n");
  for (const path of ["scripts/guards.ts", "scripts/guards", "package.json"])
    cpSync(join(root, path), join(tree, path), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  spawnSync("git", ["init", "-q"], { cwd: tree });
  const run = (option: string) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/guards.ts", option], {
      cwd: tree,
      encoding: "utf8",
    });
    return { status, output: stdout + stderr };
  };
  return { tree, run, patch: () => readFileSync(join(tree, "test/guards/pinned.patch"), "utf8") };
}

/** The lines of a patch that change something, and where. */
function changes(patch: string): string[] {
  return patch.split("\n").filter((line) => /^(\+|-(?!-)|@@)/.test(line) || line.startsWith("# file"));
}

const ANCHOR = ["# file: test/core/keep.test.ts", "+++ b/src/keep.ts", "@@ -2,3 +2,3 @@"];
const OUT = "-  if (newest !== undefined && pinned.has(newest)) return backups;";
const IN = '+  if (newest === "" && pinned.has(newest)) return backups;';

describe("a patch whose guard", () => {
  it.each<[string, Files, string[]]>([
    ["stands where it stood stays as it is", TREE, [...ANCHOR, OUT, IN]],
    [
      "stands further down has its line",
      { ...TREE, "src/keep.ts": `// Kept.\n${GUARDED}` },
      [...ANCHOR.slice(0, 2), "@@ -3,3 +3,3 @@", OUT, IN],
    ],
    [
      "stands in another file follows it",
      { "test/core/keep.test.ts": TESTS, "src/core/backup/retention.ts": GUARDED },
      ["# file: test/core/keep.test.ts", "+++ b/src/core/backup/retention.ts", "@@ -2,3 +2,3 @@", OUT, IN],
    ],
    [
      "is indented otherwise is indented alike",
      { ...TREE, "src/keep.ts": GUARDED.replaceAll(/^/gm, "  ") },
      [...ANCHOR, OUT.replace("-", "-  "), IN.replace("+", "+  ")],
    ],
    [
      "has other lines around it takes those",
      { ...TREE, "src/keep.ts": GUARDED.replace("backups.slice(1)", "[]") },
      [...ANCHOR, OUT, IN],
    ],
    [
      "has its words renamed has them too",
      { ...TREE, "src/keep.ts": GUARDED.replaceAll("pinned", "held") },
      [...ANCHOR, OUT.replace("pinned", "held"), IN.replace("pinned", "held")],
    ],
    [
      "is tested in a file of another name names that",
      { "src/keep.ts": GUARDED, "test/core/backup/retention.test.ts": TESTS },
      ["# file: test/core/backup/retention.test.ts", ...ANCHOR.slice(1), OUT, IN],
    ],
  ])("%s", (_, files, expected) => {
    const { run, patch } = project(files);
    expect(run("--refresh").status).toBe(0);
    expect(changes(patch())).toEqual(expected);
    expect(run("--check")).toEqual({ status: 0, output: "1 patches apply, and name an existing test\n" });
  });

  it.each<[string, Files, RegExp]>([
    [
      "is gone",
      { ...TREE, "src/keep.ts": "export const keep = (backups: string[]) => backups;\n" },
      /not found/,
    ],
    [
      "stands in two files, and not in its own",
      { "test/core/keep.test.ts": TESTS, "src/a.ts": GUARDED, "src/b.ts": GUARDED },
      /not found in exactly one place[^]*at src\/a.ts:2/,
    ],
    [
      "has no test of that name any more",
      { ...TREE, "test/core/keep.test.ts": TESTS.replace("pinned", "held") },
      /no test/,
    ],
  ])("%s is left to be rewritten by hand", (_, files, said) => {
    const { run, patch } = project(files);
    const { status, output } = run("--refresh");
    expect(status).toBe(1);
    expect(output).toMatch(said);
    expect(patch()).toBe(PATCH);
    expect(run("--check").status).toBe(1);
  });

  it("stands twice in its file, and nowhere at its line, is refused, though git would apply the patch", () => {
    const { run } = project({ ...TREE, "src/keep.ts": `// Twice.\n${GUARDED}${GUARDED}` });
    expect(run("--check")).toMatchObject({ status: 1, output: expect.stringContaining("several times") });
  });
});

describe("a guard that is taken out", () => {
  const CONFIG = `export default { test: { projects: [{ test: { name: "core", include: ["test/core/**"] } }] } };\n`;
  const projectWith = (body: string) => {
    const test = `import { expect, it } from "vitest";\nimport { keep } from "../../src/keep.ts";\n`;
    const named = `it("retention keeps what is pinned when none", async () => { ${body} });\n`;
    const made = project({ ...TREE, "vitest.config.ts": CONFIG, "test/core/keep.test.ts": test + named });
    const TMPDIR = `${made.tree}-copies`;
    mkdirSync(TMPDIR);
    const options = { cwd: made.tree, env: { ...process.env, TMPDIR }, encoding: "utf8" } as const;
    return { options, args: ["scripts/guards.ts", "pinned"], left: () => readdirSync(TMPDIR) };
  };

  it.each([
    [
      "turns its test red",
      `expect(keep(["a", "b"], new Set("b"))).toEqual(["a", "b"]);`,
      0,
      /\[1\/1\] red without it: what is pinned is kept\n {4}retention keeps what is pinned when none: AssertionError: expected \[ 'b' \]/,
    ],
    [
      "is missed by a test that stays green",
      `expect(keep([], new Set())).toEqual([]);`,
      1,
      /WRONG: .*\n.*stays green/,
    ],
    ["is missed by a test that does not run", `expect(keep([]`, 1, /WRONG: .*\n.*did not run/],
  ])("%s", (_, body, status, said) => {
    const { options, args, left } = projectWith(body);
    const ended = spawnSync(process.execPath, args, options);
    expect(ended.stdout).toMatch(said);
    expect(ended.status).toBe(status);
    expect(left()).toEqual([]);
  });

  it("leaves nothing behind when it is interrupted", async () => {
    const { options, args, left } = projectWith(
      `(await import("node:fs")).writeFileSync("began", ""); await new Promise(() => keep);`,
    );
    const child = spawn(process.execPath, args, { ...options, stdio: "ignore" });
    const over = new Promise((ended) => child.once("exit", ended));
    const began = () => left().some((copy) => readdirSync(join(options.env.TMPDIR, copy)).includes("began"));
    await expect.poll(began, { timeout: 30_000 }).toBe(true);
    child.kill("SIGINT");
    expect(await over).toBe(130);
    expect(left()).toEqual([]);
  });
});
