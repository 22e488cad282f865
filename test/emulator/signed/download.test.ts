import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { control, database, emulator, exportedUrl, faults } from "../kit/client.ts";

beforeEach(reset);

const ROWS = Array.from({ length: 200 }, (_, index) => `(${index}, 'row ${index}')`).join(", ");
const SQL = `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES ${ROWS}`;

interface State {
  downloads: number;
  bytesServed: number;
  bearerSeenOnSignedUrl: number;
}

/** A database, the URL of its dump, and the dump. */
async function dumped() {
  const uuid = await database(SQL);
  const url = await exportedUrl(uuid);
  const response = await emulator(url);
  return { uuid, url, text: await response.text(), etag: response.headers.get("etag") ?? "" };
}

const get = (url: string, headers: Record<string, string> = {}) =>
  emulator(url, { headers, redirect: "manual" });
const stateOf = (uuid: string) => control<State>("GET", `/databases/${uuid}/state`);

describe("a download", () => {
  it("tells its length and its ETag, and is counted", async () => {
    const { uuid, url, text } = await dumped();
    const response = await get(url);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe(String(text.length));
    expect(response.headers.get("accept-ranges")).toBe("bytes");
    expect(await response.text()).toBe(text);
    expect(await stateOf(uuid)).toMatchObject({ downloads: 2, bytesServed: 2 * text.length });
  });

  it.each([
    ["bytes=0-9", 0, 10],
    ["bytes=100-", 100, undefined],
    ["bytes=-5", -5, undefined],
    ["bytes=10-999999", 10, undefined],
  ])("can be had in part: %s", async (range, start, end) => {
    const { url, text, etag } = await dumped();
    const expected = text.slice(start, end);
    const first = start < 0 ? text.length + start : start;
    const response = await get(url, { range, "if-match": etag });
    expect(response.status).toBe(206);
    expect(response.headers.get("content-range")).toBe(
      `bytes ${first}-${first + expected.length - 1}/${text.length}`,
    );
    expect(response.headers.get("content-length")).toBe(String(expected.length));
    expect(response.headers.get("etag")).toBe(etag);
    expect(await response.text()).toBe(expected);
  });

  it("refuses a range that does not exist", async () => {
    const { url, text } = await dumped();
    const response = await get(url, { range: `bytes=${text.length}-` });
    expect([response.status, response.headers.get("content-range")]).toEqual([416, `bytes */${text.length}`]);
  });

  it("refuses what has another ETag, and sends all of it when only the range depends on that", async () => {
    const { url, text, etag } = await dumped();
    expect((await get(url, { "if-match": '"other"' })).status).toBe(412);
    const whole = await get(url, { range: "bytes=0-9", "if-range": '"other"' });
    expect([whole.status, await whole.text()]).toEqual([200, text]);
    expect((await get(url, { range: "bytes=0-9", "if-range": etag })).status).toBe(206);
  });

  it("is possible for an hour", async () => {
    const { url } = await dumped();
    await control("PUT", "/clock", { advanceMs: 3_590_000 });
    expect((await get(url)).status).toBe(200);
    await control("PUT", "/clock", { advanceMs: 10_000 });
    const late = await get(url);
    expect([late.status, late.headers.get("content-type")]).toEqual([403, "application/xml"]);
    expect(await late.text()).toContain("<Code>ExpiredRequest</Code>");
  });

  it("needs a URL that was signed for it", async () => {
    const { url } = await dumped();
    const response = await get(url.replace(/_signed\/./, "_signed/x"));
    expect([response.status, await response.text()]).toEqual([
      403,
      expect.stringContaining("SignatureDoesNotMatch"),
    ]);
    expect((await emulator(url, { method: "PUT", body: "x" })).status).toBe(403);
  });

  it("notices a bearer token", async () => {
    const { uuid, url } = await dumped();
    expect((await stateOf(uuid)).bearerSeenOnSignedUrl).toBe(0);
    expect((await get(url, { authorization: "Bearer secret" })).status).toBe(400);
    expect((await stateOf(uuid)).bearerSeenOnSignedUrl).toBe(1);
  });
});

/** What can be read of a body, and whether it broke. */
async function readAll(response: Response): Promise<{ text: string; isBroken: boolean }> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
    return { text, isBroken: false };
  } catch {
    return { text, isBroken: true };
  }
}

describe("faults of a download", () => {
  it("truncate: ends early, as if that were all", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "truncate", value: 100 });
    const response = await get(url);
    expect(response.headers.get("content-length")).toBe(String(text.length));
    expect(await readAll(response)).toEqual({ text: text.slice(0, 100), isBroken: false });
  });

  it("reset: breaks off", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "reset", value: 100 });
    const { text: received, isBroken } = await readAll(await get(url));
    expect([isBroken, text.startsWith(received), received.length <= 100]).toEqual([true, true, true]);
    expect((await stateOf(uuid)).bytesServed).toBe(text.length + 100);
  });

  it("stall: sends nothing more", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "stall", value: 100 });
    const reader = (await get(url)).body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(text.slice(0, 100));
    const more = await Promise.race([reader?.read(), scheduler.wait(200).then(() => "nothing")]);
    expect(more).toBe("nothing");
    await reader?.cancel();
  });

  it("throttle: takes its time", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "throttle", value: text.length * 5 });
    const startedAt = Date.now();
    expect(await (await get(url)).text()).toBe(text);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(150);
  });

  it("no-content-length: neither in the header nor in Content-Range", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "no-content-length" });
    const whole = await get(url);
    expect(whole.headers.get("content-length")).toBeNull();
    expect(await whole.text()).toBe(text);
    const part = await get(url, { range: "bytes=5-9" });
    expect([part.headers.get("content-range"), await part.text()]).toEqual([
      "bytes 5-9/*",
      text.slice(5, 10),
    ]);
  });

  it("ignore-range: sends all", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "ignore-range" });
    const response = await get(url, { range: "bytes=5-9" });
    expect([response.status, await response.text()]).toEqual([200, text]);
  });

  it("wrong-length: announces another length", async () => {
    const { uuid, url, text } = await dumped();
    await faults(uuid, { on: "download", fault: "wrong-length", value: 7 });
    const response = await get(url);
    expect(response.headers.get("content-length")).toBe("7");
    expect((await readAll(response)).text).toBe(text);
  });

  it("change: other bytes of the same length under the same URL, from then on", async () => {
    const { uuid, url, text, etag } = await dumped();
    await faults(uuid, { on: "download", fault: "change", times: 1, skip: 1 });
    expect((await get(url, { range: "bytes=0-9", "if-match": etag })).status).toBe(206);
    expect((await get(url, { range: "bytes=10-", "if-match": etag })).status).toBe(412);
    const changed = await get(url);
    expect(changed.headers.get("etag")).not.toBe(etag);
    const other = await changed.text();
    expect([other.length, other === text]).toEqual([text.length, false]);
  });

  it.each([
    ["empty", 200, "0"],
    ["not-a-dump", 200, /^\d+$/],
    ["expired", 403, /^\d+$/],
    ["garbage", 200, /^\d+$/],
    ["status", 500, /^\d+$/],
  ])("%s: nothing of a dump", async (fault, status, length) => {
    const { uuid, url } = await dumped();
    await faults(uuid, { on: "download", fault });
    const response = await get(url);
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(String(text.length)).toMatch(length);
    expect(text).not.toContain("PRAGMA");
  });

  it("redirect: points elsewhere", async () => {
    const { uuid, url } = await dumped();
    await faults(uuid, { on: "download", fault: "redirect", times: 1 });
    const response = await get(url);
    expect([response.status, response.headers.get("location")]).toEqual([302, `${url}?redirected`]);
    expect((await get(`${url}?redirected`)).status).toBe(200);
  });

  it("wrong-etag: another one each time", async () => {
    const { uuid, url } = await dumped();
    await faults(uuid, { on: "download", fault: "wrong-etag" });
    const [first, second] = [await get(url), await get(url)];
    expect(first.headers.get("etag")).not.toBe(second.headers.get("etag"));
    await Promise.all([first.text(), second.text()]);
  });

  it("several at once: throttled, then broken off", async () => {
    const { uuid, url } = await dumped();
    await faults(
      uuid,
      { on: "download", fault: "throttle", value: 2_000 },
      { on: "download", fault: "reset", value: 300 },
    );
    expect((await readAll(await get(url))).isBroken).toBe(true);
  });
});
