import { describe, expect, it } from "vitest";
import { indexOfNul, plainLength } from "../../../src/core/sql/sql-bytes.ts";
import {
  INFINITY_MARK,
  NUL_MARK,
  REPLACED_MARK,
  ROUNDED_MARK,
  ValueMarks,
} from "../../../src/core/sql/value-marks.ts";
import { scanStatements } from "../kit/scan-dump.ts";
import fc from "fast-check";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The marks of a row with this value, when the dump comes in pieces of every size. */
function marksOfRow(value: string): number[] {
  const row = encode(`INSERT INTO "t" ("a","b") VALUES(1,${value});`);
  const twice = new Uint8Array([...row, 10, ...row]);
  const seen = new Set<number>();
  for (const size of [...Array(50).keys(), twice.length]) {
    for (const { marks } of scanStatements(twice, [size]).statements) seen.add(marks);
  }
  return [...seen];
}

describe("a row is marked", () => {
  it.each<[string, string, number]>([
    ["an integer that is exact", "9007199254740991", 0],
    ["the first that may be rounded", "9007199254740992", ROUNDED_MARK],
    ["a negative one", "-9007199254740992", ROUNDED_MARK],
    ["a negative one that is exact", "-9007199254740991", 0],
    ["17 digits", "10000000000000000", ROUNDED_MARK],
    ["18 digits", "-999999999999999999", ROUNDED_MARK],
    ["the largest integer", "9223372036854776000", ROUNDED_MARK],
    ["the smallest integer", "-9223372036854776000", ROUNDED_MARK],
    ["more than any integer", "9223372036854776001", 0],
    ["20 digits", "10000000000000000000", 0],
    ["leading zeros", "00000000000000000000009007199254740993", ROUNDED_MARK],
    ["zeros", "000000000000000000", 0],
    ["digits before a point", "9007199254740993.5", 0],
    ["digits behind a point", "0.9007199254740993", 0],
    ["an exponent", "9007199254740993e2", 0],
    ["a part of a word", "x9007199254740993", 0],
    ["a word that begins with digits", "9007199254740993x", 0],
    ["in text", "'9007199254740993'", 0],
    ["behind white space", " 9007199254740993 ", ROUNDED_MARK],
    ["an infinity of today", "9e999", INFINITY_MARK],
    ["a negative infinity of today", "-9e999", INFINITY_MARK],
    ["an infinity of sqlite3's", "9.0e+999", INFINITY_MARK],
    ["a negative infinity of sqlite3's", "-9.0e+999", INFINITY_MARK],
    ["a bare infinity", "Infinity", INFINITY_MARK],
    ["a bare negative infinity", "-Infinity", INFINITY_MARK],
    ["an infinity in text", "'9e999 Infinity'", 0],
    ["the largest number", "1.7976931348623157e+308", 0],
    ["the smallest number", "5e-324", 0],
    ["a word like infinity", "Infinity1", 0],
    ["a function", "replace('Infinity','e',char(10))", 0],
    ["a NUL", "'a\0b'", NUL_MARK],
    ["a replacement character", "'a\uFFFDb'", REPLACED_MARK],
    ["its neighbours", "'\uFFFC\uFFFE\uEFFD，'", 0],
    [
      "all of them",
      "'\0\uFFFD',9e999,9007199254740993",
      NUL_MARK | INFINITY_MARK | ROUNDED_MARK | REPLACED_MARK,
    ],
    ["a word as long as you like", "1".repeat(200), 0],
    ["zeros as many as you like", "0".repeat(200), 0],
    ["a number behind more zeros than anybody writes", `${"0".repeat(100)}9007199254740993`, 0],
  ])("%s: %s", (_, value, marks) => {
    expect(marksOfRow(value)).toEqual([marks]);
  });

  it("unless it is no row", () => {
    const sql =
      "CREATE TABLE t (a DEFAULT 9e999, b DEFAULT 9007199254740993);\nCREATE VIEW v AS SELECT 9e999, '\0';";
    expect(scanStatements(encode(sql)).statements.map(({ marks }) => marks)).toEqual([0, 0]);
  });

  it("alone, whatever the rows around it hold", () => {
    const rows = ["1", "9e999", "2", "'\0'", "3", "9007199254740993", "4"];
    const sql = rows.map((value) => `INSERT INTO "t" ("a") VALUES(${value});`).join("\n");
    for (const size of [1, 7, 16, 33, sql.length]) {
      const { statements } = scanStatements(encode(sql), [size]);
      expect(statements.map(({ marks }) => marks)).toEqual([
        0,
        INFINITY_MARK,
        0,
        NUL_MARK,
        0,
        ROUNDED_MARK,
        0,
      ]);
    }
  });
});

it("passes words as a reader with all of the text would mark them", () => {
  const word = fc.oneof(
    fc.bigInt(-(10n ** 20n), 10n ** 20n).map(String),
    fc.double().map(String),
    fc.string({ unit: fc.constantFrom(..."0123456789.eEI+x"), maxLength: 24 }),
  );
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (words, sizes) => {
        const text = encode(`${words.join(",")},`);
        const marks = new ValueMarks();
        for (let from = 0, turn = 0; from < text.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          const chunk = text.slice(from, from + size);
          // A sign is special, and left to the caller.
          for (let at = 0; at < chunk.length; at++) at = marks.passWords(chunk, at);
          from += size;
        }
        expect(marks.take().marks).toBe(words.reduce((all, one) => all | markOf(one), 0));
      },
    ),
    { numRuns: 2_000 },
  );
});

/** The same rules, said with whole words. */
function markOf(word: string): number {
  let marks = 0;
  for (const part of word.split("-")) {
    if (/^(Infinity|\d[\d.]*[eE]\+?\d{3})$/.test(part) && Number(part) === Infinity) marks |= INFINITY_MARK;
    if (!/^\d+$/.test(part)) continue;
    const value = BigInt(part);
    if (value > 2n ** 53n - 1n && value <= 9223372036854776000n) marks |= ROUNDED_MARK;
  }
  return marks;
}

it("passes nearly all of what is plain at once", () => {
  const view = new Uint8Array(300).fill(1, 0, 200);
  expect(plainLength(view)).toBeGreaterThan(180);
  expect(plainLength(view.fill(0x80, 200))).toBeGreaterThan(180);
});

it("finds the NUL that the platform finds, and takes nothing else for plain, wherever the bytes lie in memory", () => {
  const byte = fc.oneof({ weight: 30, arbitrary: fc.constantFrom(1, 0x80, 0xff, 0x7f) }, fc.constant(0));
  const bytes = fc.array(byte, { maxLength: 300, size: "max" });
  fc.assert(
    fc.property(bytes, fc.nat(7), fc.nat(40), (content, offset, from) => {
      const memory = new Uint8Array([...Array<number>(offset).fill(0), ...content, 0, 0, 0, 0]);
      const view = memory.subarray(offset, offset + content.length);
      expect(indexOfNul(view, from)).toBe(view.indexOf(0, from));
      const plain = plainLength(view);
      const first = view.findIndex((one) => one === 0 || one > 127);
      expect(plain).toBeLessThanOrEqual(first < 0 ? view.length : first);
    }),
    { numRuns: 2_000 },
  );
});
