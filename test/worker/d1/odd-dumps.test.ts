import { afterEach, describe, expect, it, vi } from "vitest";
import { SignedUrlSource } from "../../../src/cloudflare/d1/dump-source.ts";

afterEach(() => vi.restoreAllMocks());

const DUMP = "PRAGMA defer_foreign_keys=TRUE;";

/** What is read of the dump, or the code of what is wrong with it. */
async function read(status: number, headers: Record<string, string>, body = DUMP): Promise<string> {
  vi.spyOn(globalThis, "fetch").mockImplementation(
    async () => new Response(new TextEncoder().encode(body), { status, headers }),
  );
  const opened = await new SignedUrlSource().open("https://d1.example/x.sql", 0, null);
  if (!opened.ok) return opened.failure.code;
  let text = "";
  for (;;) {
    const piece = await opened.value.read();
    if (!piece.ok) return piece.failure.code;
    if (piece.value === null) return text;
    text += new TextDecoder().decode(piece.value);
  }
}

describe("the dump behind a signed address", () => {
  it.each<[string, number, Record<string, string>, string, string?]>([
    ["whole", 200, { "Content-Length": "31" }, DUMP],
    ["as a range", 206, { "Content-Range": "bytes 0-30/31" }, DUMP],
    ["not encoded, in so many words", 200, { "Content-Length": "31", "Content-Encoding": "identity" }, DUMP],
    [
      "compressed on the way",
      200,
      { "Content-Length": "31", "Content-Encoding": "gzip" },
      "dump-size-unknown",
    ],
    [
      "compressed on the way, as a range",
      206,
      { "Content-Range": "bytes 0-30/31", "Content-Encoding": "br" },
      "dump-size-unknown",
    ],
    ["of no stated size", 200, {}, "dump-size-unknown"],
    ["of no stated size, as a range", 206, { "Content-Range": "bytes 0-30/*" }, "dump-size-unknown"],
    ["in several ranges", 206, { "Content-Type": "multipart/byteranges; boundary=x" }, "dump-unreachable"],
    ["as another range", 206, { "Content-Range": "bytes 1-31/32" }, "dump-unreachable"],
    ["as a shorter range than it is", 206, { "Content-Range": "bytes 0-30/99" }, "dump-truncated"],
    ["longer than was stated", 206, { "Content-Range": "bytes 0-30/31" }, "dump-changed", `${DUMP}\nmore`],
    ["expired", 403, { "Content-Type": "application/xml" }, "dump-url-expired", "<Error/>"],
    ["in a storage that is overloaded", 503, {}, "dump-unreachable", "<Error><Code>SlowDown</Code></Error>"],
    ["elsewhere", 302, { Location: "https://evil.example/" }, "dump-unreachable"],
  ])("%s", async (_, status, headers, outcome, body) => {
    expect(await read(status, headers, body)).toBe(outcome);
  });
});
