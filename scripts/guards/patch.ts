/** A patch of test/guards/: the lines about it, and what it changes where. */

/** The lines of one place that a patch changes. */
export interface Hunk {
  readonly file: string;
  /** Of its first old line, from 1. */
  readonly line: number;
  /** What git writes behind the numbers: a name to be found by. */
  readonly within: string;
  /** Each begins with " ", "-" or "+", as in the patch. */
  readonly lines: readonly string[];
}

export interface Guard {
  readonly name: string;
  /** What the patch takes out, in words. */
  readonly guard: string;
  readonly project: string;
  readonly file: string;
  /** A pattern for the names of the tests that must notice, as `vitest -t` takes it. */
  readonly test: string;
  readonly hunks: readonly Hunk[];
}

const HUNK_HEADER = /^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@(.*)$/;
const HEADERS_OF_GIT = /^(?:diff --git|index|---) /;

/** Throws for a patch that lacks a line about itself, or that holds what these patches do not need. */
export function readGuard(name: string, text: string): Guard {
  const field = (key: string): string => {
    const value = new RegExp(`^# ${key}: (.+)$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`${name} lacks a line "# ${key}: …"`);
    return value;
  };
  return {
    name,
    guard: field("guard"),
    project: field("project"),
    file: field("file"),
    test: field("test"),
    hunks: readHunks(name, text),
  };
}

function readHunks(name: string, text: string): Hunk[] {
  const hunks: { file: string; line: number; within: string; lines: string[] }[] = [];
  let file = "";
  for (const line of text.split("\n")) {
    const header = HUNK_HEADER.exec(line);
    if (line.startsWith("+++ b/")) file = line.slice("+++ b/".length);
    else if (header) hunks.push({ file, line: Number(header[1]), within: header[2] ?? "", lines: [] });
    else if (/^[-+ ]/.test(line) && !line.startsWith("--- ")) {
      const hunk = hunks.at(-1);
      if (hunk === undefined) throw new Error(`${name} changes lines before it says where`);
      hunk.lines.push(line);
    } else if (line !== "" && !line.startsWith("# ") && !HEADERS_OF_GIT.test(line))
      throw new Error(`${name} has a line that no guard's patch needs: ${line}`);
  }
  if (hunks.length === 0) throw new Error(`${name} changes nothing`);
  return hunks;
}

/** The lines that stand in the tree, which the patch is found by. */
export function oldLines(hunk: Hunk): string[] {
  return hunk.lines.filter((line) => !line.startsWith("+")).map((line) => line.slice(1));
}

/** The text of a patch; the numbers of lines are worked out anew. */
export function writeGuard({ guard, project, file, test, hunks }: Guard): string {
  const written = [`# guard: ${guard}`, `# project: ${project}`, `# file: ${file}`, `# test: ${test}`];
  for (const path of new Set(hunks.map((hunk) => hunk.file))) {
    written.push(`diff --git a/${path} b/${path}`, `--- a/${path}`, `+++ b/${path}`);
    let added = 0;
    for (const hunk of hunks.filter((one) => one.file === path).toSorted((a, b) => a.line - b.line)) {
      const before = oldLines(hunk).length;
      const after = hunk.lines.filter((line) => !line.startsWith("-")).length;
      written.push(
        `@@ -${hunk.line},${before} +${hunk.line + added},${after} @@${hunk.within}`,
        ...hunk.lines,
      );
      added += after - before;
    }
  }
  return `${written.join("\n")}\n`;
}
