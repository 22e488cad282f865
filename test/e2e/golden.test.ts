import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checksumHolds, readManifest } from "../../src/core/backup/manifest.ts";
import type { Digest } from "../../src/core/bucket/codecs.ts";
import { type Ran, runShell, toolbox } from "./restore/guide-runner.ts";

// Backups that earlier releases have made, and that every release must be able to read. Never change them;
// scripts/golden.ts makes those of a new format version.

const golden = resolve("test/golden");
const backups = readdirSync(golden, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name: version }) => readdirSync(join(golden, version)).map((name) => `${version}/${name}`));

const root = mkdtempSync(join(tmpdir(), "d1-nightly-golden-"));
let tools: string;

beforeAll(() => {
  tools = toolbox(join(root, "tools"), ["mktemp"]);
});

afterAll(() => rmSync(root, { recursive: true }));

function restore(folder: string): Promise<Ran> {
  return runShell(root, [join(golden, "restore.sh"), folder], { PATH: tools, TMPDIR: root });
}

function digest(): Digest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}

function sha256(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

it("there are golden backups of each compression, with and without encryption", () => {
  expect(backups).toEqual(
    expect.arrayContaining(
      ["none", "gzip", "zstd", "gzip-age", "zstd-age", "partial-age", "lean"].map((name) => `v1/${name}`),
    ),
  );
});

describe.each(backups)("%s", (name) => {
  const folder = join(golden, name);

  it("is restored with the tools that its RESTORE.md names, and is what was backed up", async () => {
    const ran = await restore(folder);
    expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout).toContain("is what was backed up.");
  });

  it("is told from what was backed up when a row is another one", async () => {
    const copy = join(root, name.replace("/", "-"));
    cpSync(folder, copy, { recursive: true });
    const expected = readFileSync(join(copy, "expected.txt"), "utf8");
    writeFileSync(join(copy, "expected.txt"), expected.replace(/\d(?=\D*$)/, "x"));
    const ran = await restore(copy);
    expect(ran.stderr).toContain("is not what was backed up");
    expect(ran.code).toBe(1);
  });

  it("has a manifest that this release reads, and that tells of every file as it is", () => {
    const text = readFileSync(join(folder, "manifest.json"), "utf8");
    const reading = readManifest(text);
    if (reading.kind !== "manifest") throw new Error(JSON.stringify(reading));
    const { manifest } = reading;
    expect(checksumHolds(text, manifest, { digest })).toBe(true);
    for (const file of [...manifest.volumes, ...manifest.files]) {
      expect(sha256(join(folder, file.name)), file.name).toBe(file.sha256);
    }
    const ours = ["manifest.json", ...[...manifest.volumes, ...manifest.files].map((file) => file.name)];
    const ofTheTest = ["content.sql", "expected.txt", ...(manifest.encryption === null ? [] : ["key.txt"])];
    expect(readdirSync(folder).sort()).toEqual([...ours, ...ofTheTest].sort());
  });
});
