/** npm run guards -- --check: whether each patch applies at its place, and names an existing test. Takes seconds. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { oldLines, type Guard } from "./patch.ts";
import { namesATest } from "./titles.ts";
import { folder, root, textOf } from "./tree.ts";

/** What is wrong with the patches, a line each. */
export function check(guards: readonly Guard[]): string[] {
  return guards.flatMap((guard) => {
    const wrong = troubleOf(guard);
    return wrong === null ? [] : [`${guard.name}: ${wrong}`];
  });
}

function troubleOf({ name, file, test, hunks }: Guard): string | null {
  const applied = spawnSync("git", ["apply", "--check", join(folder, name)], { cwd: root, encoding: "utf8" });
  if (applied.status !== 0) return `does not apply: ${applied.stderr.trim()}`;
  // git takes the nearest of several places, which need not be the guard.
  const ambiguous = hunks.find((hunk) => {
    const text = `\n${textOf(hunk.file)}`;
    const wanted = `\n${oldLines(hunk).join("\n")}\n`;
    const stated = text.split("\n").slice(0, hunk.line).join("\n").length;
    return !text.startsWith(wanted, stated) && text.indexOf(wanted) !== text.lastIndexOf(wanted);
  });
  if (ambiguous !== undefined)
    return `its lines occur several times in ${ambiguous.file}, but not at its line`;
  if (!existsSync(join(root, file))) return `names ${file}, which does not exist`;
  return namesATest(file, test) ? null : `names no test of ${file}: ${JSON.stringify(test)}`;
}
