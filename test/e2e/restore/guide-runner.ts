import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathOf } from "../../kit/programs.ts";

/** What a backup is restored with, and nothing of ours. */
const TOOLS = "sh sha256sum age gunzip gzip zstd cat head tail tr wc sed awk mv rm cp sqlite3".split(" ");

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder that holds the tools of a restore only, to be the whole PATH. */
export function toolbox(folder: string, more: readonly string[] = []): string {
  mkdirSync(folder, { recursive: true });
  for (const tool of [...TOOLS, ...more]) symlinkSync(pathOf(tool), join(folder, tool));
  return folder;
}

/** The indented blocks of these steps of a folder's RESTORE.md, as one script. */
export function commandsOf(folder: string, steps: readonly number[]): string {
  const guide = readFileSync(join(folder, "RESTORE.md"), "utf8");
  const parts = guide.split(/^## /m).slice(1);
  return steps
    .flatMap((step) => {
      const part = parts.find((text) => text.startsWith(`${step}. `));
      if (part === undefined) throw new Error(`RESTORE.md has no step ${step}`);
      return part.split("\n").filter((line) => line.startsWith("    "));
    })
    .map((line) => `${line.slice(4)}\n`)
    .join("");
}

/** The indented blocks of a part without a number. */
export function commandsUnder(folder: string, title: string): string {
  const guide = readFileSync(join(folder, "RESTORE.md"), "utf8");
  const [, part] = guide.split(`\n## ${title}\n`);
  if (part === undefined) throw new Error(`RESTORE.md has no part called ${title}`);
  return (part.split("\n## ")[0] ?? "").replaceAll(/^(?! {4}).*\n?/gm, "").replaceAll(/^ {4}/gm, "");
}

/** Runs a script in a folder with `sh` and these options; it sees nothing but this environment. */
export function runScript(
  folder: string,
  script: string,
  env: Readonly<Record<string, string>>,
  options: readonly string[] = ["-e"],
): Promise<Ran> {
  writeFileSync(join(folder, "commands.sh"), script);
  return runShell(folder, [...options, "commands.sh"], env);
}

/** Runs `sh` with these arguments to its end. */
export async function runShell(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  const child = spawn("sh", args, {
    cwd: folder,
    env: { HOME: folder, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  });
  return { code, stdout, stderr };
}
