import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
let copy = "";

/** A copy of the sources, in which the architecture can be broken. */
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "d1-nightly-architecture-"));
  for (const path of ["src", "migrations", ".oxlintrc.json", "package.json", "tsconfig.json"])
    cpSync(join(root, path), join(copy, path), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
});
afterAll(() => rmSync(copy, { recursive: true }));

/** The linter's output when one of the sources has this additional line. */
function lint(file: string, line: string): string {
  appendFileSync(join(copy, file), `${line}\n`);
  const linter = join(root, "node_modules/.bin/oxlint");
  const { stdout } = spawnSync(process.execPath, [linter, "src"], { cwd: copy, encoding: "utf8" });
  cpSync(join(root, file), join(copy, file));
  return stdout;
}

describe("the linter", () => {
  it("accepts the unchanged sources", () => {
    expect(lint("src/core/time.ts", "")).toContain("Found 0 warnings and 0 errors.");
  });

  it.each<[name: string, file: string, line: string, says: string]>([
    [
      "a cycle of type imports",
      "src/core/sql/sql-bytes.ts",
      'import type { StatementScanner } from "./statements.ts"; export type Circle = StatementScanner;',
      "import(no-cycle)",
    ],
    [
      "an import from a higher layer of core",
      "src/core/dump/hazards.ts",
      'import type { Manifest } from "../backup/manifest.ts"; export type Up = Manifest;',
      "core/dump imports only the layers below it",
    ],
    [
      "an import of a folder by a base file of core",
      "src/core/time.ts",
      'import type { Policy } from "./policy/policy.ts"; export type Up = Policy;',
      "The base files of core import none of its folders",
    ],
    [
      "an import by core from outside core",
      "src/core/run/unchanged.ts",
      'import { readJobConfig } from "../../config.ts"; export const up = readJobConfig;',
      "core is pure",
    ],
    [
      "an import of the platform by core",
      "src/core/run/unchanged.ts",
      'import { env } from "cloudflare:workers"; export const up = env;',
      "core is pure",
    ],
    [
      "an import of the platform by a job",
      "src/jobs/run/copy-step.ts",
      'import { R2Vault } from "../../cloudflare/bucket/vault.ts"; export const up = R2Vault;',
      "jobs import only core",
    ],
    [
      "an import of a job by a route",
      "src/http/routes/runs.ts",
      'import { RunStore } from "../../jobs/database/run-store.ts"; export const up = RunStore;',
      "http imports only core",
    ],
    [
      "an import of a route by the platform",
      "src/cloudflare/bucket/vault.ts",
      'import { api } from "../../http/api.ts"; export const up = api;',
      "cloudflare implements the ports of core",
    ],
    ["a clock in core", "src/core/time.ts", "export const now = Date.now();", "core has no clock"],
  ])("refuses %s", (_name, file, line, says) => {
    expect(lint(file, line)).toContain(says);
  });

  it("applies the rules to a new file in a folder of core", () => {
    writeFileSync(join(copy, "src/core/dump/added.ts"), 'export * from "../run/run.ts";\n');
    const said = lint("src/core/time.ts", "");
    rmSync(join(copy, "src/core/dump/added.ts"));
    expect(said).toContain("core/dump imports only the layers below it");
  });
});

/** Folders of code, and how many files each holds. */
function folders(path: string): [folder: string, files: number][] {
  const entries = readdirSync(join(root, path), { withFileTypes: true });
  const inside = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
  const below = inside.flatMap(({ name }) => folders(`${path}/${name}`));
  return [[path, entries.filter((entry) => entry.isFile()).length], ...below];
}

describe("the tree", () => {
  it("has no folder of more than 12 files, guards and golden backups aside", () => {
    const all = ["src", "emulator", "test"].flatMap(folders);
    const aside = /^test\/(guards|golden)(\/|$)/;
    expect(all.filter(([folder, files]) => files > 12 && !aside.test(folder))).toEqual([]);
  });
});
