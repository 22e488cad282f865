import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { api, control, database } from "../kit/client.ts";

beforeEach(reset);

describe("bookmarks", () => {
  const bookmark = async (uuid: string, query = "") =>
    (await api<{ bookmark: string }>("GET", `/${uuid}/time_travel/bookmark${query}`)).result.bookmark;

  it.each([
    ["INSERT INTO t VALUES (9)", true],
    ["UPDATE t SET a = a + 1", true],
    ["DELETE FROM t WHERE a = 1", true],
    ["CREATE TABLE other (a)", true],
    ["ALTER TABLE t ADD COLUMN b", true],
    ["DROP TABLE t", true],
    ["CREATE VIEW v AS SELECT 1", true],
    ["SELECT * FROM t", false],
    ["DELETE FROM t WHERE a = 99", false],
    ["UPDATE t SET a = 1 WHERE 0", false],
    ["CREATE TABLE IF NOT EXISTS t (a)", false],
    ["PRAGMA table_info(t)", false],
    ["INSERT INTO t VALUES (1); SELECT * FROM absent", false],
  ])("after %s: changed %s", async (sql, isChanged) => {
    const uuid = await database("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)");
    const before = await bookmark(uuid);
    expect(before).toMatch(/^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/);
    await api("POST", `/${uuid}/query`, { sql });
    const after = await bookmark(uuid);
    if (isChanged) expect(after > before).toBe(true);
    else expect(after).toBe(before);
  });

  it("of a past time are those of then", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    const { now } = await control<{ now: number }>("GET", "/clock");
    const before = await bookmark(uuid);
    await control("PUT", "/clock", { advanceMs: 60_000 });
    await control("POST", `/databases/${uuid}/sql`, "INSERT INTO t VALUES (1)");
    expect(await bookmark(uuid)).not.toBe(before);
    expect(await bookmark(uuid, `?timestamp=${new Date(now + 1000).toISOString()}`)).toBe(before);
  });
});
