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
function answering(body: BodyInit, status = 200, base = BASE): D1Rest {
  vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(body, { status }));
  return new D1Rest(base, "emulated-account", "token");
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

  it.each(["../../../user", "", "not-a-uuid", "4d2318fa-0000-4000-8000-00000000000", 7, null, undefined])(
    "is passed over for the UUID %j, which would become a part of addresses and keys",
    async (uuid) => {
      const sound = { uuid: "4d2318fa-0000-4000-8000-000000000001", name: "sound" };
      const rows = [{ uuid, name: "shop" }, sound, { ...sound, name: "" }, "no row"];
      const listed = await answering(envelope(rows)).listDatabases(1, 10);
      expect(listed).toMatchObject({
        ok: true,
        value: {
          databases: [{ id: sound.uuid, name: "sound" }],
          unreadable: [
            `name "shop", UUID ${JSON.stringify(uuid) ?? "none"}`,
            `name "", UUID "${sound.uuid}"`,
            "name none, UUID none",
          ],
        },
      });
      const read = await answering(envelope({ uuid, name: "shop" })).getDatabase("shop");
      expect(read).toMatchObject({ ok: false, failure: { code: "api-answer-invalid" } });
    },
  );

  it.each([9e15, 1e30, -1, 1.5, "large"])(
    "counts for nothing when it says that a database has %j bytes",
    async (file_size) => {
      const row = { uuid: "4d2318fa-0000-4000-8000-000000000001", name: "shop", file_size };
      const read = await answering(envelope(row)).getDatabase("shop");
      expect(read).toMatchObject({ ok: true, value: { name: "shop", fileSize: null } });
    },
  );

  const HTTPS = "https://api.example/client/v4";

  it.each<[address: string, ofAnApiAt: string, taken: boolean]>([
    ["data:text/plain,PRAGMA", BASE, false],
    ["file:///etc/passwd", BASE, false],
    ["ftp://d1.example/x.sql", BASE, false],
    ["javascript:1", BASE, false],
    ["not an address", BASE, false],
    ["http://d1.example/x.sql", BASE, false],
    ["http://d1.example/x.sql", HTTPS, false],
    ["http://api.example/x.sql", HTTPS, false],
    ["http://127.0.0.1.d1.example/x.sql", HTTPS, false],
    ["http://localhost.d1.example/x.sql", HTTPS, false],
    ["https://d1.example/x.sql", HTTPS, true],
    ["https://d1.example/x.sql", BASE, true],
    ["http://emulator.test/x.sql", BASE, true],
    ["http://127.0.0.1:8787/x.sql", HTTPS, true],
    ["http://localhost/x.sql", HTTPS, true],
    ["http://[::1]:8787/x.sql", HTTPS, true],
  ])(
    "is refused for a dump at %s, of an API at %s, unless it may be fetched: %s",
    async (signed_url, base, taken) => {
      const done = { at_bookmark: "b", status: "complete", success: true, result: { signed_url } };
      const polled = await answering(envelope(done), 200, base).startExport("id", EVERYTHING);
      expect(polled).toMatchObject(
        taken ? { ok: true } : { ok: false, failure: { code: "api-answer-invalid" } },
      );
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

/** What must not be repeated, as an error could quote it. */
const QUOTED =
  'could not PUT https://r2.example/x.sql?X-Amz-Signature=5ecretsign with Bearer emulated-pass1 near "row of ann": INSERT INTO t VALUES (4711)';

describe("what Cloudflare says", () => {
  afterEach(() => vi.restoreAllMocks());

  const asks: Record<string, (api: D1Rest) => Promise<unknown>> = {
    listDatabases: (api) => api.listDatabases(1, 10),
    getDatabase: (api) => api.getDatabase("id"),
    schema: (api) => api.schema("id"),
    bookmark: (api) => api.bookmark("id"),
    query: (api) => api.query("id", "SELECT 1"),
    startExport: (api) => api.startExport("id", EVERYTHING),
    pollExport: (api) => api.pollExport("id", EVERYTHING, "b"),
  };
  const refusals: [number, number | undefined][] = [
    [400, 7400],
    [404, 7404],
    [404, 7003],
    [403, 10000],
    [400, 7500],
    [400, undefined],
    [500, 7009],
  ];

  it.each(Object.entries(asks))("is repeated without what it quotes: a refusal of %s", async (_, ask) => {
    for (const [status, code] of refusals) {
      const errors = [{ code, message: QUOTED }];
      const body = JSON.stringify({ success: false, errors, result: null });
      const told = JSON.stringify(await ask(answering(body, status)));
      expect(told).toContain('"ok":false');
      expect(told).not.toMatch(/5ecretsign|r2\.example|emulated-pass1|ann|4711/);
    }
  });

  it("is repeated without what it quotes: an exception of the connection", async () => {
    vi.spyOn(globalThis, "fetch").mockRejectedValue(new TypeError(`${QUOTED} our-api-token`));
    const told = JSON.stringify(await new D1Rest(BASE, "a", "our-api-token").bookmark("id"));
    expect(told).toContain("could not PUT");
    expect(told).not.toMatch(/5ecretsign|r2\.example|emulated-pass1|our-api-token|ann|4711/);
  });

  it.each<[string, object]>([
    ["an export's error", { status: "error", error: QUOTED }],
    ["an export's progress", { status: "active", messages: [QUOTED] }],
  ])("is repeated without what it quotes: %s", async (_, changed) => {
    const result = { success: true, at_bookmark: "b", ...changed };
    const told = JSON.stringify(await answering(envelope(result)).pollExport("id", EVERYTHING, "b"));
    expect(told).toContain("could not PUT");
    expect(told).not.toMatch(/5ecretsign|r2\.example|emulated-pass1|ann|4711/);
  });
});
