import { afterEach, describe, expect, it, vi } from "vitest";
import { D1Rest } from "../../../src/cloudflare/d1/d1-rest.ts";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";

afterEach(() => vi.restoreAllMocks());

const ID = "4d2318fa-0000-4000-8000-000000000010";
const SHOP = { uuid: ID, name: "shop" };
const PAGE = "<html><body>Sorry, you have been blocked</body></html>";

interface Wire {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** What is no text is sent as JSON. */
  readonly body?: unknown;
}

/** Cloudflare's API as it answers with this. */
function answering({ status = 200, headers = {}, body = "" }: Wire): D1Rest {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  vi.spyOn(globalThis, "fetch").mockImplementation(
    async () => new Response(status === 204 || status === 304 ? null : text, { status, headers }),
  );
  return new D1Rest("http://emulator.test/client/v4", "emulated-account", "token");
}

function yes(result: unknown, more: object = {}): object {
  return { success: true, errors: [], messages: [], result, ...more };
}

function no(...errors: unknown[]): object {
  return { success: false, errors, messages: [], result: null };
}

describe("an answer that is not Cloudflare's own decides nothing, and is asked for again", () => {
  it.each<[string, Wire]>([
    ["a page with 200", { body: PAGE }],
    ["a page with 400", { status: 400, body: PAGE }],
    ["a page with 401", { status: 401, body: PAGE }],
    ["a page with 403", { status: 403, body: PAGE }],
    ["a page with 404", { status: 404, body: PAGE }],
    ["a page with 408", { status: 408, body: PAGE }],
    ["another service's JSON with 404", { status: 404, body: { error: "not found" } }],
    ["another service's JSON with 400", { status: 400, body: { code: 971, error: "Please wait" } }],
    ["nothing with 200", { body: "" }],
    ["nothing with 204", { status: 204 }],
    ["nothing with 304", { status: 304 }],
    ["JSON that is cut", { body: JSON.stringify(yes([SHOP])).slice(0, 40) }],
    ["two answers behind each other", { body: JSON.stringify(yes([SHOP])).repeat(2) }],
    ["null", { body: "null" }],
    ["a list", { body: [yes([SHOP])] }],
    ["JSON of 200,000 levels", { body: "[".repeat(200_000) }],
    ["success as a text", { body: { ...yes([SHOP]), success: "true" } }],
    ["no success, and no error either", { body: no() }],
    ["success with 400", { status: 400, body: yes([SHOP]) }],
    ["a redirect to a page", { status: 302, headers: { Location: "https://evil.example/" }, body: PAGE }],
    ["a redirect with a good answer", { status: 302, headers: { Location: "/" }, body: yes([SHOP]) }],
    ["success without a result", { body: { success: true } }],
    ["null for the list", { body: yes(null) }],
    ["an object for the list", { body: yes({ 0: SHOP }) }],
  ])("%s", async (_, wire) => {
    expect(await answering(wire).listDatabases(1, 10)).toMatchObject({
      ok: false,
      failure: { code: "api-answer-invalid", retryable: true },
    });
  });

  it("the details of another database", async () => {
    const api = answering({ body: yes(SHOP) });
    expect(await api.getDatabase(ID.toUpperCase())).toMatchObject({ ok: true, value: { id: ID } });
    expect(await api.getDatabase(ID.replace("10", "11"))).toMatchObject({
      ok: false,
      failure: { code: "api-answer-invalid", retryable: true },
    });
  });
});

describe("a refusal of Cloudflare's is one in whatever form it comes", () => {
  it.each<[string, Wire, string, boolean]>([
    [
      "a code as a text",
      { status: 400, body: no({ code: "10000", message: "x" }) },
      "api-token-refused",
      false,
    ],
    ["a code without a message", { status: 400, body: no({ code: 7003 }) }, "account-not-found", false],
    [
      "an error that is a text",
      { status: 403, body: no("Authentication error") },
      "api-token-refused",
      false,
    ],
    ["a code with 200", { body: no({ code: 7404, message: "gone" }) }, "database-not-found", false],
    ["no code with 404", { status: 404, body: no() }, "database-not-found", false],
    [
      "no errors with 403",
      { status: 403, body: { success: false, errors: null } },
      "api-token-refused",
      false,
    ],
    ["a page with 503", { status: 503, body: PAGE }, "api-unavailable", true],
    ["a status beyond 599", { status: 599, body: yes([SHOP]) }, "api-unavailable", true],
  ])("%s", async (_, wire, code, retryable) => {
    const answer = await answering(wire).getDatabase("shop");
    expect(answer).toMatchObject({ ok: false, failure: { code, retryable } });
  });

  it.each<[string, string | null, number]>([
    ["seconds", "7", 7_000],
    ["none", null, 60_000],
    ["a date", "Wed, 21 Oct 2136 07:28:00 GMT", 60_000],
    ["a time that is over", "-5", 1_000],
    ["years", "1e9", 600_000],
  ])(
    "429 says how long to wait, even with a body that cannot be read: %s",
    async (_, retryAfter, retryAfterMs) => {
      const body = new ReadableStream({ pull: (controller) => controller.error(new TypeError("no gzip")) });
      const headers: HeadersInit = retryAfter === null ? {} : { "Retry-After": retryAfter };
      vi.spyOn(globalThis, "fetch").mockImplementation(
        async () => new Response(body, { status: 429, headers }),
      );
      const api = new D1Rest("http://emulator.test/client/v4", "emulated-account", "token");
      expect(await api.bookmark("shop")).toMatchObject({
        ok: false,
        failure: { code: "api-rate-limited", retryable: true, retryAfterMs },
      });
    },
  );

  it("a body that cannot be read is an outage with any other status, 401 included", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new TypeError("no gzip")) });
    vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(body, { status: 401 }));
    const api = new D1Rest("http://emulator.test/client/v4", "emulated-account", "token");
    expect(await api.bookmark("shop")).toMatchObject({
      ok: false,
      failure: { code: "api-unreachable", retryable: true },
    });
  });
});

describe("what is odd beside what is asked for spoils nothing", () => {
  const plain = { databases: [{ id: ID, name: "shop", createdAt: null }], unreadable: [], total: null };

  it.each<[string, object]>([
    ["warnings as texts", yes([SHOP], { errors: ["deprecated"] })],
    ["no page information", { success: true, result: [SHOP] }],
    ["page information that is a list", yes([SHOP], { result_info: [] })],
    ["a total that is a text", yes([SHOP], { result_info: { total_count: "49" } })],
    ["a total below nothing", yes([SHOP], { result_info: { total_count: -1 } })],
    ["half a total", yes([SHOP], { result_info: { total_count: 1.5 } })],
    ["a date that is none", yes([{ ...SHOP, created_at: 5 }])],
    ["a size that is none", yes([{ ...SHOP, file_size: "12" }])],
    ["a UUID in capitals", yes([{ ...SHOP, uuid: ID.toUpperCase() }])],
    ["fields that we do not know", yes([{ ...SHOP, jurisdiction: "moon" }])],
  ])("%s", async (_, body) => {
    expect(await answering({ body }).listDatabases(1, 10)).toEqual({ ok: true, value: plain });
  });

  it("a byte order mark", async () => {
    const api = answering({ body: `\ufeff${JSON.stringify(yes([SHOP]))}` });
    expect(await api.listDatabases(1, 10)).toEqual({ ok: true, value: plain });
  });
});

describe("an export's answer", () => {
  const signed_url = "https://d1.example/x.sql";
  const done = { success: true, at_bookmark: "b", status: "complete" };
  const invalid = { ok: false, failure: { code: "api-answer-invalid", retryable: true } };

  it.each<[string, Wire, object]>([
    ["nothing", { body: yes(null) }, invalid],
    ["complete without an address", { body: yes(done) }, invalid],
    ["complete with an empty address", { body: yes({ ...done, signed_url: "" }) }, invalid],
    ["complete with a path", { body: yes({ ...done, signed_url: "/x.sql" }) }, invalid],
    [
      "complete with a password in its address",
      { body: yes({ ...done, signed_url: "https://u:p@x/" }) },
      invalid,
    ],
    ["complete with an empty bookmark", { body: yes({ ...done, signed_url, at_bookmark: "" }) }, invalid],
    [
      "complete with an error",
      { body: yes({ ...done, signed_url, error: "half of it" }) },
      { ok: true, value: { kind: "error", message: "half of it" } },
    ],
    [
      "active with an empty bookmark",
      { body: yes({ status: "active", at_bookmark: "" }) },
      { ok: true, value: { kind: "active", bookmark: null } },
    ],
    [
      "active with messages that are none",
      { body: yes({ status: "active", at_bookmark: "b", messages: [null, {}] }) },
      { ok: true, value: { kind: "active", bookmark: "b", message: null } },
    ],
    [
      "busy, as a refusal",
      { status: 400, body: no({ code: 7500, message: "Currently processing a long-running export." }) },
      { ok: true, value: { kind: "busy" } },
    ],
    [
      "lost, as a refusal",
      { status: 400, body: no({ code: 7400, message: "Not currently exporting anything." }) },
      { ok: true, value: { kind: "lost" } },
    ],
  ])("%s", async (_, wire, answer) => {
    expect(await answering(wire).pollExport(ID, EVERYTHING, "b")).toMatchObject(answer);
  });
});
