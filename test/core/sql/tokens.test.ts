import { expect, it } from "vitest";
import { closingBracket, nameOf, piecesInBrackets, tokensOf } from "../../../src/core/sql/tokens.ts";

it.each<[string, string[]]>([
  [
    "select a.b, 'it''s' FROM t",
    ["word SELECT", "word A", "symbol .", "word B", "symbol ,", "text it's", "word FROM", "word T"],
  ],
  ['"a""b" [c d] `e``f`', ['name a"b', "name c d", "name e`f"]],
  ["1_000 -- not 2\n/* not\n3 */ 4.5e6", ["number 1_000", "number 4.5e6"]],
  ["a->>b->c-d", ["word A", "symbol ->>", "word B", "symbol ->", "word C", "symbol -", "word D"]],
  ["größe$1 /* open", ["word GRÖSSE$1"]],
])("%j is read as SQLite reads it", (sql, expected) => {
  expect(tokensOf(sql).map(({ kind, value }) => `${kind} ${value}`)).toEqual(expected);
});

it("brackets and the pieces between their commas are found", () => {
  const tokens = tokensOf("f (a, g(b, c), (d)), h()");
  expect(closingBracket(tokens, 1)).toBe(14);
  expect(piecesInBrackets(tokens, 1).map((at) => nameOf(tokens[at]))).toEqual(["a", "g", null]);
  expect(piecesInBrackets(tokens, 17)).toEqual([]);
});
