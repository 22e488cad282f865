/**
 * Whether a test of a given name stands in a file, read from its text: running it would take minutes.
 *
 * A name is the titles of its `describe`s and of its `it`, with spaces between, and a table's values put into them.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { root, textOf } from "./tree.ts";

const LITERAL = String.raw`"(?:[^"\\\n]|\\.)*"|` + "`(?:[^`\\\\]|\\\\.)*`";
const TITLE = new RegExp(String.raw`(?:\b(?:describe|it|test)(?:\.\w+)?|\))\(\s*(${LITERAL})`, "g");
const IMPORT = /^(?:import|export)\b[^;]*?"(\.[^"]+)";/gm;
const HOLE = /%[sdifjoO]|\$\{[^}]*\}|\$[\w.]+/;

/** A title in pieces; between each two of them stands a value of a table. */
type Title = readonly string[];

function unquote(literal: string): string {
  return literal.slice(1, -1).replaceAll(/\\(.)/g, "$1");
}

/** A file may take its tests, or the values of a table, from one beside it. */
function withItsImports(file: string): string {
  const beside = [...textOf(file).matchAll(IMPORT)]
    .map((found) => join(dirname(file), found[1] ?? ""))
    .filter((path) => path.startsWith("test/") && existsSync(join(root, path)));
  return [file, ...beside].map(textOf).join("\n");
}

/** Whether `pattern`, as `vitest -t` takes it, can be found in the name of a test of `file`. */
export function namesATest(file: string, pattern: string): boolean {
  const text = withItsImports(file);
  const titles = [...text.matchAll(TITLE)].map((found) => unquote(found[1] ?? ""));
  if (titles.some((title) => new RegExp(pattern).test(title))) return true;
  const wanted = pattern.replaceAll(/\\(.)/g, "$1");
  const values = [
    ...[...text.matchAll(new RegExp(LITERAL, "g"))].map((found) => unquote(found[0])),
    ...(text.match(/\b[\d_]+\b/g) ?? []).map((digits) => digits.replaceAll("_", "")),
  ].filter((value) => value.length > 0);
  const inPieces: Title[] = titles.map((title) => title.split(HOLE));
  return inPieces.some((title) => standsIn(wanted, title, inPieces, values));
}

/** Whether `wanted` begins somewhere in the title and goes on to its own end. */
function standsIn(
  wanted: string,
  title: Title,
  titles: readonly Title[],
  values: readonly string[],
): boolean {
  const goesOn = (rest: string, index: number): boolean => {
    if (index >= title.length)
      return rest.startsWith(" ") && titles.some((next) => beginsWith(rest.slice(1), next, titles, values));
    return beginsWith(rest, title.slice(index), titles, values);
  };
  return title.some((piece, index) => {
    // from within the piece
    for (let at = 0; at < piece.length; at++)
      if (beginsWith(wanted, [piece.slice(at), ...title.slice(index + 1)], titles, values)) return true;
    // from within the value behind it
    return (
      index + 1 < title.length &&
      values.some((value) => {
        for (let at = 0; at < value.length; at++) {
          const end = value.slice(at);
          if (
            end.startsWith(wanted) ||
            (wanted.startsWith(end) && goesOn(wanted.slice(end.length), index + 1))
          )
            return true;
        }
        return false;
      })
    );
  });
}

/** Whether `wanted` begins where the title does and goes on to its own end, in the next title if need be. */
function beginsWith(
  wanted: string,
  title: Title,
  titles: readonly Title[],
  values: readonly string[],
): boolean {
  const [piece = "", ...others] = title;
  if (piece.startsWith(wanted)) return true;
  if (!wanted.startsWith(piece)) return false;
  const rest = wanted.slice(piece.length);
  if (others.length === 0)
    return rest.startsWith(" ") && titles.some((next) => beginsWith(rest.slice(1), next, titles, values));
  return values.some(
    (value) =>
      value.startsWith(rest) ||
      (rest.startsWith(value) && beginsWith(rest.slice(value.length), others, titles, values)),
  );
}
