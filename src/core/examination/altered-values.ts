import type { Affinity } from "./table-columns.ts";

/**
 * Conditions on one value, in SQL: what of it D1's dump holds otherwise. The dump goes through JavaScript, which decodes
 * text from UTF-8 and prints numbers in its own way. `value` is how a column is called in SQL.
 */

/** Text with a line break and a literal `\n`, or the same with `\r`: the dump makes line breaks of both. */
export function alteredText(value: string): string {
  const both = (code: number, literal: string): string =>
    `instr(${value},char(${code})) AND instr(${value},'${literal}')`;
  return `(${both(10, String.raw`\n`)} OR ${both(13, String.raw`\r`)})`;
}

const MAX_SAFE = Number.MAX_SAFE_INTEGER;

/** Only such an integer may be printed as another number; most values are told from it at once. */
export function isLargeInteger(value: string): string {
  return `(typeof(${value})='integer' AND ${value} NOT BETWEEN -${MAX_SAFE} AND ${MAX_SAFE})`;
}

/** Integers beyond this are nearest to 2^63 as floating-point numbers, which is printed as more than an integer can be. */
const BELOW_2_63 = "9223372036854775295";

/**
 * True exactly when a large integer is printed as another number. JavaScript prints the shortest number that is nearest
 * to the same floating-point number `d`, filled up with zeros: the multiple of 10,000 nearest to `d` if that is still
 * nearest to the same, else that of 1,000, of 100, of 10, or `d` itself. Those of larger powers are among the first.
 */
export function roundedInteger(value: string): string {
  const nearest = [10_000, 1_000, 100, 10].map((power, index) => ({
    name: `p${index}`,
    sql: `d-d%${power}+(d%${power}>=${power / 2})*${power}`,
  }));
  const cases = nearest.map(({ name }) => `WHEN CAST(${name} AS REAL)=d THEN ${name}`).join(" ");
  const powers = nearest.map(({ name, sql }) => `${sql} AS ${name}`).join(",");
  const printed = `SELECT CASE ${cases} ELSE d END FROM (SELECT d,${powers} FROM (SELECT CAST(CAST(abs(${value}) AS REAL) AS INTEGER) AS d))`;
  return `(${value} NOT BETWEEN -${BELOW_2_63} AND ${BELOW_2_63} OR abs(${value})<>(${printed}))`;
}

/** Printed without a point, and so read as an integer. Beyond int64 it is read as a REAL all the same. */
export function wholeReal(value: string): string {
  return `(abs(${value})<9223372036854775808.0 AND ${value}=CAST(${value} AS INTEGER))`;
}

/** What stands in a dump for each piece of text that is not UTF-8; it may also have been in the text all along. */
export const REPLACEMENT_CHARACTER = "\uFFFD";

export function hasReplacement(value: string): string {
  return `(typeof(${value})='text' AND instr(${value},'${REPLACEMENT_CHARACTER}'))`;
}

/** How many there are in a text. */
export function replacements(value: string): string {
  const bytes = `octet_length(${value})-octet_length(replace(${value},'${REPLACEMENT_CHARACTER}',''))`;
  return `(${bytes})/${new TextEncoder().encode(REPLACEMENT_CHARACTER).length}`;
}

/** What a column of this affinity can hold, and does not get back from a dump by itself. */
export function holdsIntegers(affinity: Affinity): boolean {
  return affinity !== "TEXT" && affinity !== "REAL";
}

export function holdsWholeReals(affinity: Affinity): boolean {
  return affinity === "BLOB";
}
