/** Where the old lines of a hunk stand today. */
import leven from "leven";
import { oldLines, type Hunk } from "./patch.ts";
import { inNewWords, renaming } from "./renamed.ts";
import { filesOfTree, textOf } from "./tree.ts";

/** Whether lines that were found are those that were looked for. */
type Alike = (old: readonly string[], found: readonly string[]) => boolean;

interface Place {
  readonly file: string;
  /** From 0. */
  readonly index: number;
}

export interface Nearest extends Place {
  readonly lines: readonly string[];
}

/** Shorter ones, such as a lone `return null;`, say too little about where they stood. */
const CHARACTERS_TELL_A_PLACE = 20;

const linesRead = new Map<string, readonly string[]>();

function linesOf(file: string): readonly string[] {
  const lines = linesRead.get(file) ?? textOf(file).split("\n");
  linesRead.set(file, lines);
  return lines;
}

/** Only a file of the same kind can have taken up the lines. */
function candidates(file: string): string[] {
  const kind = file.slice(file.lastIndexOf("."));
  return filesOfTree().filter((path) => path.endsWith(kind) && !path.startsWith("test/"));
}

function placesIn(file: string, wanted: readonly string[], alike: Alike): Place[] {
  const lines = linesOf(file);
  const places: Place[] = [];
  for (let index = 0; index + wanted.length <= lines.length; index++)
    if (alike(wanted, lines.slice(index, index + wanted.length))) places.push({ file, index });
  return places;
}

const same: Alike = (old, found) => old.every((line, index) => line === found[index]);
const sameButForIndent: Alike = (old, found) =>
  old.every((line, index) => line.trim() === (found[index] ?? "").trim());
const sameButForNames: Alike = (old, found) => renaming(old, found) !== null;

/** The hunk with its numbers, context and words as they are today; null when it is to be rewritten by hand. */
export function placeHunk(hunk: Hunk, files = candidates(hunk.file)): Hunk | null {
  const wanted = oldLines(hunk);
  const stated = files.includes(hunk.file) ? placesIn(hunk.file, wanted, same) : [];
  if (stated.some(({ index }) => index === hunk.line - 1)) return hunk;
  const [anywhere, ...others] = files.flatMap((file) => placesIn(file, wanted, sameButForIndent));
  if (anywhere !== undefined) {
    // Lines that stand in several files are the patch's own where they stood before.
    const place = others.length === 0 ? anywhere : stated.length === 1 ? stated[0] : undefined;
    return place === undefined ? null : at(hunk, place);
  }
  return (
    placeByRemovedLines(hunk, files, sameButForIndent) ??
    placeWhole(hunk, files, sameButForNames) ??
    placeByRemovedLines(hunk, files, sameButForNames)
  );
}

function placeWhole(hunk: Hunk, files: readonly string[], alike: Alike): Hunk | null {
  const wanted = oldLines(hunk);
  if (wanted.join("").replaceAll(/\s/g, "").length < CHARACTERS_TELL_A_PLACE) return null;
  const [place, ...others] = files.flatMap((file) => placesIn(file, wanted, alike));
  return place === undefined || others.length > 0 ? null : at(hunk, place);
}

/** By the lines alone that the patch takes out, with what stands around them now. */
function placeByRemovedLines(hunk: Hunk, files: readonly string[], alike: Alike): Hunk | null {
  const changed = hunk.lines.flatMap((line, index) => (line.startsWith(" ") ? [] : [index]));
  const first = changed[0] ?? 0;
  const last = changed.at(-1) ?? 0;
  const placed = placeWhole({ ...hunk, lines: hunk.lines.slice(first, last + 1) }, files, alike);
  if (placed === null) return null;
  const lines = linesOf(placed.file);
  const start = placed.line - 1;
  const end = start + oldLines(placed).length;
  const begin = Math.max(0, start - countOld(hunk.lines.slice(0, first)));
  // The last line is the nothing behind the last line's end.
  const stop = Math.min(lines.length - 1, end + countOld(hunk.lines.slice(last + 1)));
  const context = (from: number, to: number): string[] => lines.slice(from, to).map((line) => ` ${line}`);
  return {
    ...placed,
    line: begin + 1,
    lines: [...context(begin, start), ...placed.lines, ...context(end, stop)],
  };
}

function countOld(lines: readonly string[]): number {
  return lines.filter((line) => !line.startsWith("+")).length;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

/** The hunk at a place where its old lines stand, be they indented otherwise or in other words. */
function at(hunk: Hunk, { file, index }: Place): Hunk {
  const old = oldLines(hunk);
  const found = linesOf(file).slice(index, index + old.length);
  const renamed = renaming(old, found);
  const first = old.findIndex((line) => line.trim() !== "");
  const shift = indentOf(found[first] ?? "") - indentOf(old[first] ?? "");
  let next = 0;
  const lines = hunk.lines.map((line) => {
    if (!line.startsWith("+")) return `${line.slice(0, 1)}${found[next++] ?? ""}`;
    if (line.trim() === "+") return line;
    const text = renamed === null ? line.slice(1) : inNewWords(line.slice(1), renamed);
    return `+${" ".repeat(Math.max(0, indentOf(text) + shift))}${text.trimStart()}`;
  });
  return { ...hunk, file, line: index + 1, within: file === hunk.file ? hunk.within : "", lines };
}

function likeness(a: string, b: string): number {
  const longest = Math.max(a.length, b.length);
  if (longest === 0) return 1;
  return Math.min(a.length, b.length) * 2 < longest ? 0 : 1 - leven(a, b) / longest;
}

/** The lines that are most like a hunk's old ones, for who rewrites it by hand; null when no file has so many. */
export function nearestTo(hunk: Hunk, files = candidates(hunk.file)): Nearest | null {
  const wanted = oldLines(hunk).map((line) => line.trim());
  const longest = wanted.reduce(
    (best, line, index) => (line.length > (wanted[best] ?? "").length ? index : best),
    0,
  );
  let nearest: Nearest | null = null;
  let best = -1;
  for (const file of files) {
    const lines = linesOf(file);
    for (let index = 0; index + wanted.length <= lines.length; index++) {
      // Most windows are ruled out by their longest line alone.
      const middle = likeness(wanted[longest] ?? "", (lines[index + longest] ?? "").trim());
      if (middle < 0.3) continue;
      const window = lines.slice(index, index + wanted.length);
      const score = middle + window.reduce((sum, line, n) => sum + likeness(wanted[n] ?? "", line.trim()), 0);
      if (score > best) {
        best = score;
        nearest = { file, index, lines: window };
      }
    }
  }
  return nearest;
}
