import { afterEach, describe, expect, it, vi } from "vitest";
import { SignedUrlSource } from "../../../src/cloudflare/d1/dump-source.ts";
import { LARGEST_DUMP } from "../../../src/core/d1/limits.ts";

const SIGNED = "https://r2.example/account/dump.sql?X-Amz-Signature=5ecretsign&token=in-the-query";

afterEach(() => vi.restoreAllMocks());

describe("a dump that is stated to have", () => {
  it.each<[string, string | null]>([
    ["1", null],
    [`${LARGEST_DUMP}`, null],
    [`${LARGEST_DUMP + 1}`, "dump-oversized"],
    ["9000000000000000", "dump-oversized"],
    ["9007199254740993", "dump-oversized"],
    ["9".repeat(400), "dump-oversized"],
  ])("%s bytes is refused: %s", async (bytes, code) => {
    for (const [status, name, value] of [
      [206, "Content-Range", `bytes 0-0/${bytes}`],
      [200, "Content-Length", bytes],
    ] as const) {
      const response = new Response("P", { status, headers: { [name]: value } });
      vi.spyOn(globalThis, "fetch").mockResolvedValue(response);
      const opened = await new SignedUrlSource().open(SIGNED, 0, null);
      expect(opened.ok ? null : opened.failure.code).toBe(code);
      if (opened.ok) await opened.value.cancel();
    }
  });
});

describe("a connection that breaks with an error that quotes the address", () => {
  it.each([SIGNED, "/account/dump.sql", "5ecretsign", "in-the-query"])(
    "does not repeat %s",
    async (quoted) => {
      vi.spyOn(globalThis, "fetch").mockRejectedValue(new TypeError(`no answer from ${quoted} in time`));
      const opened = await new SignedUrlSource().open(SIGNED, 0, null);
      const told = JSON.stringify(opened);
      expect(told).toContain("no answer from");
      expect(told).not.toContain(quoted);
    },
  );
});
