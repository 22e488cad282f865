/** Copies of the tree, in which guards are taken out and put back, so that a patch never touches the real one. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesOfTree, root } from "./tree.ts";

const folders = new Set<string>();
const running = new Set<ChildProcess>();

// However this process ends, nothing of it stays behind.
process.on("exit", () => {
  for (const child of running) endGroup(child);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
});
for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)
  process.once(signal, () => process.exit(status));

/** With everything that it has started: vitest has workerd for a child. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

export class TreeCopy {
  readonly folder = mkdtempSync(join(tmpdir(), "d1-nightly-guards-"));
  /** Where git ignores it. */
  readonly #temporary = join(this.folder, ".build", "tmp");

  constructor() {
    folders.add(this.folder);
    mkdirSync(this.#temporary, { recursive: true });
    for (const file of filesOfTree()) cpSync(join(root, file), join(this.folder, file));
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
  }

  /** Why the patch cannot be applied, or taken back; null when it was. */
  apply(patch: string, direction: "forward" | "back"): string | null {
    const applied = spawnSync("git", ["apply", ...(direction === "back" ? ["-R"] : []), patch], {
      cwd: this.folder,
      encoding: "utf8",
      env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() },
    });
    return applied.status === 0 ? null : applied.stderr.trim();
  }

  /** Runs a command in the copy to its end; false when it was not over after `limitMs`, and was ended. */
  async run(command: string, args: readonly string[], limitMs: number): Promise<boolean> {
    const child = spawn(command, args, {
      cwd: this.folder,
      // A run that is ended has no time to remove its temporary files: they go with the copy.
      env: { ...process.env, TMPDIR: this.#temporary },
      stdio: "ignore",
      detached: true,
    });
    running.add(child);
    let inTime = true;
    const timer = setTimeout(() => {
      inTime = false;
      endGroup(child);
    }, limitMs);
    try {
      await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
      return inTime;
    } finally {
      clearTimeout(timer);
      running.delete(child);
      // What it has left behind would slow down the next one.
      endGroup(child);
    }
  }
}
