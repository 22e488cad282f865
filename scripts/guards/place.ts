/** Where the old lines of a hunk stand today. */
import leven from "leven";
import { oldLines, type Hunk } from "./patch.ts";
import { filesOfTree, textOf } from "./tree.ts";

/** A line to look for, and a line that was found. */
type Alike = (old: string, found: string) => boolean;

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
    if (wanted.every((line, offset) => alike(line, lines[index + offset] ?? "")))
      places.push({ file, index });
  return places;
}

const same: Alike = (old, found) => old === found;
const sameButForIndent: Alike = (old, found) => old.trim() === found.trim();

/** The hunk with its numbers and context as they are today; or that it is to be rewritten by hand. */
export function placeHunk(hunk: Hunk, files = candidates(hunk.file)): Hunk | null {
  const wanted = oldLines(hunk);
  const stated = files.includes(hunk.file) ? placesIn(hunk.file, wanted, same) : [];
  if (stated.some(({ index }) => index === hunk.line - 1)) return hunk;
  const [moved, ...alsoThere] = files.flatMap((file) => placesIn(file, wanted, sameButForIndent));
  if (moved !== undefined && alsoThere.length === 0) return at(hunk, moved);
  // The lines stand in several files: one is the patch's own, if they stand there once.
  const [only, ...others] = stated;
  if (only !== undefined && others.length === 0) return at(hunk, only);
  return moved === undefined ? placeByRemovedLines(hunk, files) : null;
}

/** When only the lines around it have changed: by the lines that the patch takes out, if they stand in one place. */
function placeByRemovedLines(hunk: Hunk, files: readonly string[]): Hunk | null {
  const changed = hunk.lines.flatMap((line, index) => (line.startsWith(" ") ? [] : [index]));
  const first = changed[0] ?? 0;
  const last = changed.at(-1) ?? 0;
  const core = { ...hunk, lines: hunk.lines.slice(first, last + 1) };
  const wanted = oldLines(core);
  if (wanted.join("").replaceAll(/\s/g, "").length < CHARACTERS_TELL_A_PLACE) return null;
  const [place, ...others] = files.flatMap((file) => placesIn(file, wanted, sameButForIndent));
  if (place === undefined || others.length > 0) return null;
  const before = countOld(hunk.lines.slice(0, first));
  const after = countOld(hunk.lines.slice(last + 1));
  const lines = linesOf(place.file);
  const begin = Math.max(0, place.index - before);
  const end = Math.min(lines.length - 1, place.index + wanted.length + after);
  return {
    ...at(core, place),
    line: begin + 1,
    lines: [
      ...lines.slice(begin, place.index).map((line) => ` ${line}`),
      ...at(core, place).lines,
      ...lines.slice(place.index + wanted.length, end).map((line) => ` ${line}`),
    ],
  };
}

function countOld(lines: readonly string[]): number {
  return lines.filter((line) => !line.startsWith("+")).length;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

/** The hunk at a place where its old lines stand, be they indented more or less than they were. */
function at(hunk: Hunk, { file, index }: Place): Hunk {
  const found = linesOf(file);
  const first = oldLines(hunk).findIndex((line) => line.trim() !== "");
  const shift = indentOf(found[index + first] ?? "") - indentOf(oldLines(hunk)[first] ?? "");
  let next = index;
  const lines = hunk.lines.map((line) => {
    if (!line.startsWith("+")) return `${line.slice(0, 1)}${found[next++] ?? ""}`;
    const indent = Math.max(0, indentOf(line.slice(1)) + shift);
    return line.trim() === "+" ? line : `+${" ".repeat(indent)}${line.slice(1).trimStart()}`;
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
