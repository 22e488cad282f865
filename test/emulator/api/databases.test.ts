import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { api, control, database, rows } from "../kit/client.ts";

interface Entry {
  uuid: string;
  name: string;
  created_at: string;
  version: string;
  num_tables?: number;
  file_size?: number;
}

beforeEach(reset);

describe("the list", () => {
  it("has the product's own catalogue from the start, and after a reset", async () => {
    expect((await api<Entry[]>("GET", "")).result.map(({ name }) => name)).toEqual(["d1-nightly-catalog"]);
    await database("CREATE TABLE t (a)", "one");
    await control("POST", "/reset");
    expect((await api<Entry[]>("GET", "")).result.map(({ name }) => name)).toEqual(["d1-nightly-catalog"]);
  });

  it("comes in pages and tells how many there are", async () => {
    for (const name of ["a", "b", "c", "d"]) await database("", name);
    const second = await api<Entry[]>("GET", "?page=2&per_page=2");
    expect(second.result.map(({ name }) => name)).toEqual(["b", "c"]);
    expect(second.result_info).toEqual({ page: 2, per_page: 2, count: 2, total_count: 5 });
    const last = await api<Entry[]>("GET", "?page=4&per_page=2");
    expect(last.result).toEqual([]);
  });

  it("can be searched by name", async () => {
    for (const name of ["shop-live", "shop-test", "blog"]) await database("", name);
    const { result, result_info } = await api<Entry[]>("GET", "?name=shop");
    expect(result.map(({ name }) => name)).toEqual(["shop-live", "shop-test"]);
    expect(result_info?.total_count).toBe(2);
  });

  it.each(["?page=0", "?per_page=0", "?per_page=10001", "?page=x"])("refuses %s", async (query) => {
    const { status, errors } = await api("GET", query);
    expect([status, errors[0]?.code]).toEqual([400, 7400]);
  });
});

describe("a database", () => {
  it("is found by its uuid and by its name", async () => {
    const uuid = await database("CREATE TABLE a (x); CREATE TABLE b (x); ANALYZE", "shop");
    const byName = await api<Entry>("GET", "/shop");
    expect(byName.result).toMatchObject({ uuid, name: "shop", version: "production", num_tables: 2 });
    expect((await api<Entry>("GET", `/${uuid}`)).result).toEqual(byName.result);
    expect(byName.result.file_size).toBeGreaterThan(0);
  });

  it("is created once under a name and gone after it was deleted", async () => {
    const { result } = await api<Entry>("POST", "", { name: "new" });
    expect(await rows(result.uuid, "SELECT 1")).toEqual([[1]]);
    const again = await api("POST", "", { name: "new" });
    expect([again.status, again.errors[0]?.code]).toEqual([400, 7502]);
    expect((await api("DELETE", `/${result.uuid}`)).success).toBe(true);
    const missing = await api("POST", `/${result.uuid}/query`, { sql: "SELECT 1" });
    expect([missing.status, missing.errors[0]?.code]).toEqual([404, 7404]);
  });

  it("is refused when the account has as many as it may", async () => {
    await control("PUT", "/settings", { maxDatabases: 1 });
    const { status, errors } = await api("POST", "", { name: "one too many" });
    expect([status, errors[0]?.code]).toEqual([400, 7406]);
  });
});
