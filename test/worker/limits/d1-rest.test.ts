import { afterEach, describe, expect, it, vi } from "vitest";
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

/** Cloudflare's API as it answers with this. */
function answering(body: BodyInit): D1Rest {
  vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(body));
  return new D1Rest(BASE, "emulated-account", "token");
}

function envelope(result: unknown): string {
  return JSON.stringify({ success: true, errors: [], messages: [], result });
}

describe("an answer that is none of Cloudflare's", () => {
  afterEach(() => vi.restoreAllMocks());

  it("is not held in memory when it does not end", async () => {
    let pulled = 0;
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled += 1;
        controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
      },
      cancel: () => {
        isCancelled = true;
      },
    });
    const listed = await answering(endless).listDatabases(1, 10);
    expect(listed).toMatchObject({
      ok: false,
      failure: { code: "api-answer-invalid", detail: expect.stringMatching(/more than 16777216 bytes/) },
    });
    expect([pulled < 25, isCancelled]).toEqual([true, true]);
  });

  it.each(["../../../user", "", "not-a-uuid", "4d2318fa-0000-4000-8000-00000000000"])(
    "is refused for the UUID %j, which would become a part of addresses and keys",
    async (uuid) => {
      const listed = await answering(envelope([{ uuid, name: "shop" }])).listDatabases(1, 10);
      expect(listed).toMatchObject({ ok: false, failure: { code: "api-answer-invalid" } });
    },
  );

  it.each(["data:text/plain,PRAGMA", "file:///etc/passwd", "ftp://d1.example/x.sql", "javascript:1"])(
    "is refused for a dump at %s",
    async (signed_url) => {
      const done = { at_bookmark: "b", status: "complete", success: true, result: { signed_url } };
      const polled = await answering(envelope(done)).startExport("id", EVERYTHING);
      expect(polled).toMatchObject({ ok: false, failure: { code: "api-answer-invalid" } });
    },
  );

  it("is refused when it answers fewer statements than were asked", async () => {
    const one = { success: true, results: [{ rows: 1 }], meta: {} };
    const statements = ["SELECT 1", "SELECT 2"];
    expect(await answering(envelope([one])).queryAll("id", statements)).toMatchObject({
      ok: false,
      failure: { code: "api-answer-invalid" },
    });
    expect(await answering(envelope([one, one])).queryAll("id", statements)).toMatchObject({ ok: true });
  });
});
