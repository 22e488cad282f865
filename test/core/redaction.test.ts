import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeException } from "../../src/core/failure.ts";
import { redacted } from "../../src/core/redaction.ts";

const TOKEN = "pa55-w0rd-of-ours";
const SIGNED = "https://bucket.r2.example/dump.sql?X-Amz-Signature=0f3c5a1e";

describe("what stays of a text from outside", () => {
  it.each([
    "D1_ERROR: UNIQUE constraint failed: orders_of_2024.customer_id: SQLITE_CONSTRAINT",
    "no such table: main.parent",
    "D1 Export error: cannot export databases with Virtual Tables (fts5)",
    "Currently processing a long-running export. Cannot start a new export until that completes or times out.",
    "put: The object is locked by the bucket policy. (10069)",
    "Database 0f3c5a1e-3f43-4b8e-9d5e-1a2b3c4d5e6f has no time travel",
    "customer_orders_2024_archived_by_month_and_country has no column named total",
    "TypeError: Cannot read properties of undefined (reading 'foo')",
    "Uploaded part 2",
  ])("%s", (text) => {
    expect(redacted(text)).toBe(text);
  });
});

describe("what does not stay", () => {
  it.each<[string, string, string]>([
    [
      "an address with its query",
      `could not read ${SIGNED} in time`,
      "could not read (address withheld) in time",
    ],
    [
      "an address of another scheme",
      "open wss://a/b, s3://c/d and data:text/plain,row",
      "open (address withheld) (address withheld) and (address withheld)",
    ],
    ["an address without a scheme", "GET //host/x?sig=1 failed", "GET (address withheld) failed"],
    [
      "an address escaped as in JSON",
      String.raw`{"url":"https:\/\/host\/x?sig=1"} failed`,
      '{"url":"(withheld)"} failed',
    ],
    ["a path with a query", "GET /dump.sql?sig=abc&t=1 failed", "GET /dump.sql?(withheld) failed"],
    ["a name and a password", "login postgres:pass@host failed", "login (address withheld) failed"],
    [
      "a bearer token",
      "sent Authorization: Bearer abc123 twice",
      "sent Authorization: Bearer (withheld) twice",
    ],
    ["a token by its shape", "token v1.0-2f6a91bc77d04e9ab3c1 is wrong", "token v1.(withheld) is wrong"],
    [
      "a longer token by its shape",
      "the token A9xK2mQ8rT4vW7yZ1bC3dE5fG6hJ0kL_nP2q-SuV is wrong",
      "the token (withheld) is wrong",
    ],
    ["a token by its name", "token=abc and password:xyz", "token=(withheld) and password:(withheld)"],
    ["a secret of the configuration, whatever it looks like", `got ${TOKEN}!`, "got (withheld)!"],
    [
      "a row in a syntax error",
      'near "alice": syntax error at offset 7',
      'near "(withheld)": syntax error at offset 7',
    ],
    ["a row in a parse error", `unrecognized token: "'it''s me`, 'unrecognized token: "(withheld)"'],
    ["a quoted value", "value 'ann o''hara, 12 High St' is too long", "value '(withheld)' is too long"],
    ["an address of a person", "ann@example.com is taken", "(address withheld) is taken"],
    ["a statement with its rows", "failed: INSERT INTO t VALUES (1, 'ann')", "failed: (statement withheld)"],
    [
      "a statement in small letters",
      "failed: insert into t values (1, 4711)",
      "failed: (statement withheld)",
    ],
    ["line breaks, and what steers a terminal", "one\r\n\u001b[31mtwo\u202e", "one [31mtwo"],
  ])("%s", (_, text, told) => {
    expect(redacted(text, [TOKEN])).toBe(told);
  });

  it("a secret in other forms: in an address, and in JSON", () => {
    const secret = 'a b"c/d&e';
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret)])
      expect(redacted(`said ${form} of it`, [secret])).not.toMatch(/a b|c\/d|%26e|&e/);
  });

  it("a secret that the end of what is read cuts in two", () => {
    for (let before = 3_970; before < 4_010; before++) {
      const text = `${"x ".repeat(before / 2)}${TOKEN}${" y".repeat(1_000)}`;
      expect(redacted(text, [TOKEN], 10_000)).not.toMatch(/pa55|w0rd/);
    }
  });

  it("a secret, wherever it stands in whatever text", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.constantFrom(TOKEN, SIGNED), (before, after, secret) => {
        expect(redacted(before + secret + after, [TOKEN, SIGNED])).not.toContain(secret);
      }),
    );
  });
});

describe("how much", () => {
  it("is told: up to the limit", () => {
    expect(redacted("word ".repeat(10_000)).length).toBe(500);
    expect(redacted("word ".repeat(10_000), [], 200).length).toBe(200);
  });

  it.each([
    ["letters", "a"],
    ["an address that never comes", "a:"],
    ["spaces", " "],
    ["quotes", "'"],
    ["opened quotes", ' "'],
    ["queries", "?="],
    ["addresses of persons", "a@"],
    ["statements", "select a "],
    ["names of secrets", "token"],
  ])("is read: ten megabytes of %s in no time", (_, unit) => {
    const text = unit.repeat(10_000_000 / unit.length);
    const began = performance.now();
    expect(redacted(text, [TOKEN]).length).toBeLessThanOrEqual(500);
    expect(describeException(new Error(text), [TOKEN]).length).toBeLessThanOrEqual(500);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe("an exception", () => {
  it.each<[string, unknown, string]>([
    ["an error", new TypeError(`fetch failed: ${SIGNED}`), "TypeError: fetch failed: (address withheld)"],
    ["a text", "out of memory", "out of memory"],
    ["nothing", undefined, "undefined"],
    ["an object that has no text", Object.create(null), "object"],
  ])("is told: %s", (_, thrown, told) => {
    expect(describeException(thrown)).toBe(told);
  });
});
