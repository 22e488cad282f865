import { describe, expect, it } from "vitest";
import { D1Rest } from "../../../src/cloudflare/d1/d1-rest.ts";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import { createDatabase } from "../kit/emulated-account.ts";

const BASE = "http://emulator.test/client/v4";

describe("what Cloudflare's refusals mean", () => {
  it.each<[string, D1Rest, string, RegExp, boolean]>([
    [
      "a token without Edit",
      new D1Rest(BASE, "emulated-account", "read-only-token"),
      "api-token-refused",
      /D1 · Edit/,
      false,
    ],
    [
      "a token that is none",
      new D1Rest(BASE, "emulated-account", "invalid-token"),
      "api-token-refused",
      /D1 · Edit/,
      false,
    ],
    [
      "a wrong account",
      new D1Rest(BASE, "another-account", "token"),
      "account-not-found",
      /CLOUDFLARE_ACCOUNT_ID/,
      false,
    ],
    [
      "a wrong address",
      new D1Rest("http://emulator.test/nothing", "emulated-account", "token"),
      "account-not-found",
      /CLOUDFLARE_API_BASE_URL/,
      false,
    ],
  ])("%s", async (_, api, code, hint, retryable) => {
    const { id } = await createDatabase("");
    const answer = await api.startExport(id, EVERYTHING);
    expect(answer).toMatchObject({
      ok: false,
      failure: { code, hint: expect.stringMatching(hint), retryable },
    });
  });

  it("an address with a slash at its end is the same address", async () => {
    const listed = await new D1Rest(`${BASE}/`, "emulated-account", "token").listDatabases(1, 10);
    expect(listed).toMatchObject({
      ok: true,
      value: { databases: expect.arrayContaining([expect.objectContaining({ name: "d1-nightly-catalog" })]) },
    });
  });
});
