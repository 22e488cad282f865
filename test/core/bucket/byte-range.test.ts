import { describe, expect, it } from "vitest";
import { acrossPieces, answerOf, wantedBytes } from "../../../src/core/bucket/byte-range.ts";
import fc from "fast-check";

const FILE = { etag: '"v1"', bytes: 1_000 };

const ask = (headers: Record<string, string>, method = "GET", of = FILE) =>
  wantedBytes({ method, headers: new Headers(headers) }, of);

const part = (offset: number, length: number) => ({ kind: "part", offset, length });
const whole = { kind: "whole", offset: 0, length: 1_000 };
const unsatisfiable = { kind: "unsatisfiable" };
const notModified = { kind: "not-modified" };
const failed = { kind: "precondition-failed" };

describe("Range", () => {
  it.each<[string, object]>([
    ["bytes=0-0", part(0, 1)],
    ["bytes=0-499", part(0, 500)],
    ["bytes=500-999", part(500, 500)],
    ["bytes=500-1000", part(500, 500)],
    ["bytes=500-99999999999999999999", part(500, 500)],
    ["bytes=0-", part(0, 1_000)],
    ["bytes=999-", part(999, 1)],
    ["bytes=-1", part(999, 1)],
    ["bytes=-1000", part(0, 1_000)],
    ["bytes=-99999999999999999999", part(0, 1_000)],
    ["Bytes=7-8", part(7, 2)],
    ["bytes=,7-8 ,", part(7, 2)],
    ["bytes=007-008", part(7, 2)],
    ["bytes=1000-", unsatisfiable],
    ["bytes=1000-1000", unsatisfiable],
    ["bytes=99999999999999999999-", unsatisfiable],
    ["bytes=-0", unsatisfiable],
    ["bytes=5-4", whole],
    ["bytes=1005-1004", whole],
    ["bytes=-", whole],
    ["bytes=", whole],
    ["bytes", whole],
    ["bytes=0-1,5-6", whole],
    ["bytes=0-1, bytes=5-6", whole],
    ["bytes=5000-,6000-", whole],
    ["bytes=--1", whole],
    ["bytes=1 - 2", whole],
    ["bytes=+1-2", whole],
    ["bytes=0x1-2", whole],
    ["bytes=1.5-2", whole],
    ["bytes=١-٢", whole],
    ["bytes =0-1", whole],
    ["bytes:0-1", whole],
    ["items=0-1", whole],
    ["xbytes=0-1", whole],
  ])("%s", (range, wanted) => {
    // Headers takes Latin-1 alone, and whatever else gets here must not count as a digit either
    const headers = { get: (name: string) => (name === "Range" ? range : null) };
    expect(wantedBytes({ method: "GET", headers }, FILE)).toEqual(wanted);
  });

  it.each<[string, object]>([
    ["bytes=0-", unsatisfiable],
    ["bytes=0-0", unsatisfiable],
    ["bytes=-0", unsatisfiable],
    ["bytes=-5", { kind: "whole", offset: 0, length: 0 }],
  ])("%s of an empty file", (range, wanted) => {
    expect(ask({ Range: range }, "GET", { ...FILE, bytes: 0 })).toEqual(wanted);
  });
});

describe("conditions", () => {
  const range = { Range: "bytes=0-9" };

  it.each<[string, string, Record<string, string>, object]>([
    ["none", "GET", {}, whole],
    ["a range, but only of its head", "HEAD", range, whole],
    ["a range behind the end, but only of its head", "HEAD", { Range: "bytes=1000-" }, whole],

    ["If-Match, this version", "GET", { ...range, "If-Match": '"v1"' }, part(0, 10)],
    ["If-Match, this version among others", "GET", { ...range, "If-Match": '"v0", "v1"' }, part(0, 10)],
    ["If-Match, any", "GET", { ...range, "If-Match": "*" }, part(0, 10)],
    ["If-Match, another version", "GET", { ...range, "If-Match": '"v2"' }, failed],
    ["If-Match, another version whose name is longer", "GET", { "If-Match": '"v11"' }, failed],
    ["If-Match, this version weakly", "GET", { ...range, "If-Match": 'W/"v1"' }, failed],
    ["If-Match, no tag at all", "GET", { "If-Match": "v1" }, failed],
    ["If-Match, another version, only its head", "HEAD", { "If-Match": '"v2"' }, failed],

    ["If-None-Match, this version", "GET", { "If-None-Match": '"v1"' }, notModified],
    ["If-None-Match, this version weakly", "GET", { "If-None-Match": 'W/"v1"' }, notModified],
    ["If-None-Match, among others", "GET", { "If-None-Match": '"v0",W/"v1"' }, notModified],
    ["If-None-Match, any", "GET", { "If-None-Match": "*" }, notModified],
    ["If-None-Match, with a range", "GET", { ...range, "If-None-Match": '"v1"' }, notModified],
    ["If-None-Match, only its head", "HEAD", { "If-None-Match": '"v1"' }, notModified],
    ["If-None-Match, another version", "GET", { ...range, "If-None-Match": '"v2"' }, part(0, 10)],

    ["If-Match is judged first", "GET", { "If-Match": '"v2"', "If-None-Match": '"v1"' }, failed],
    ["both hold", "GET", { "If-Match": '"v1"', "If-None-Match": '"v1"' }, notModified],

    ["If-Range, this version", "GET", { ...range, "If-Range": '"v1"' }, part(0, 10)],
    ["If-Range, another version", "GET", { ...range, "If-Range": '"v2"' }, whole],
    ["If-Range, this version weakly", "GET", { ...range, "If-Range": 'W/"v1"' }, whole],
    ["If-Range, a date", "GET", { ...range, "If-Range": "Sat, 21 Nov 2026 03:00:00 GMT" }, whole],
    ["If-Range, another version, behind the end", "GET", { Range: "bytes=1000-", "If-Range": '"v2"' }, whole],
    ["If-Range without a range", "GET", { "If-Range": '"v1"' }, whole],

    ["dates", "GET", { ...range, "If-Modified-Since": "Sat, 21 Nov 2026 03:00:00 GMT" }, part(0, 10)],
  ])("%s", (_, method, headers, wanted) => {
    expect(ask(headers, method)).toEqual(wanted);
  });
});

describe("the answer", () => {
  const answer = (headers: Record<string, string>, name = "shop.sql") => answerOf(ask(headers), FILE, name);
  const always = { ETag: '"v1"', "Accept-Ranges": "bytes" };
  const named = { "Content-Disposition": "attachment; filename=shop.sql" };

  it.each<[string, Record<string, string>, number, Record<string, string>]>([
    ["whole", {}, 200, { ...always, ...named, "Content-Length": "1000" }],
    [
      "a part",
      { Range: "bytes=-200" },
      206,
      { ...always, ...named, "Content-Length": "200", "Content-Range": "bytes 800-999/1000" },
    ],
    ["no such part", { Range: "bytes=1000-" }, 416, { ...always, "Content-Range": "bytes */1000" }],
    ["not modified", { "If-None-Match": "*" }, 304, always],
    ["another version", { "If-Match": '"v2"' }, 412, always],
  ])("%s", (_, asked, status, headers) => {
    expect(answer(asked)).toEqual({ status, headers });
  });

  it.each([
    ["my shop.sql", 'filename="my shop.sql"'],
    ["größe.sql", `filename="gr??e.sql"; filename*=UTF-8''gr%C3%B6%C3%9Fe.sql`],
    [`a"b\\c;d.sql`, String.raw`filename="a\"b\\c;d.sql"`],
    ["100%25.sql", `filename=100%25.sql; filename*=UTF-8''100%2525.sql`],
    ["it's(ö).sql", `filename="it's(?).sql"; filename*=UTF-8''it%27s%28%C3%B6%29.sql`],
    ["a\r\nX-Evil: 1.sql", `filename="a??X-Evil: 1.sql"; filename*=UTF-8''a%0D%0AX-Evil%3A%201.sql`],
    ["\ud800.sql", `filename="?.sql"; filename*=UTF-8''%EF%BF%BD.sql`],
  ])("names the file %j", (name, parameters) => {
    expect(answer({}, name).headers).toMatchObject({ "Content-Disposition": `attachment; ${parameters}` });
  });
});

it("a range across pieces is those bytes of them, and touches no other piece", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 8 }), { maxLength: 8 });
  fc.assert(
    fc.property(pieces, fc.nat(64), fc.nat(64), (made, offset, length) => {
      const joined = made.flatMap((piece) => Array.from(piece));
      const taken = acrossPieces({ offset, length }, made, (piece) => piece.length);
      expect(taken.flatMap(({ piece, from, to }) => Array.from(piece.subarray(from, to)))).toEqual(
        joined.slice(offset, offset + length),
      );
      for (const { piece, from, to } of taken) {
        expect(from).toBeLessThan(to);
        expect(to).toBeLessThanOrEqual(piece.length);
      }
    }),
  );
});
