/** The working tree as git sees it: what is tracked, and what is new and not ignored. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../..");
export const folder = join(root, "test/guards");

let listing: string[] | undefined;

/** Paths from the root; without what is deleted and not committed yet, which git lists too. */
export function filesOfTree(): readonly string[] {
  listing ??= list();
  return listing;
}

function list(): string[] {
  const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr.trim()}`);
  return listed.stdout.split("\0").filter((file) => file !== "" && existsSync(join(root, file)));
}

const read = new Map<string, string>();

/** The text of a file, read once. */
export function textOf(file: string): string {
  const text = read.get(file) ?? readFileSync(join(root, file), "utf8");
  read.set(file, text);
  return text;
}
