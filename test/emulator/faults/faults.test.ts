import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { api, control, database, emulator, faults } from "../kit/client.ts";

beforeEach(reset);

const API = "/client/v4/accounts/emulated-account/d1/database";
const headers = { authorization: "Bearer t" };

describe("faults", () => {
  it("strike so often, after so many, and are counted", async () => {
    const uuid = await database();
    await faults(uuid, { on: "query", fault: "status", value: 503, skip: 1, times: 2 });
    const statuses: number[] = [];
    for (let index = 0; index < 5; index += 1) {
      statuses.push((await api("POST", `/${uuid}/query`, { sql: "SELECT 1" })).status);
    }
    expect(statuses).toEqual([200, 503, 503, 200, 200]);
    expect(await control("GET", `/databases/${uuid}/faults`)).toEqual([
      { on: "query", fault: "status", value: 503, skip: 1, times: 2, seen: 5, struck: 2 },
    ]);
  });

  it("of all databases strike each of them and requests that concern none", async () => {
    const uuid = await database();
    await faults("*", { on: "any", fault: "status", value: 429, times: 3 });
    expect((await api("GET", "")).status).toBe(429);
    expect((await api("GET", `/${uuid}`)).headers.get("retry-after")).toBe("2");
    expect((await api("GET", "/absent")).status).toBe(429);
    expect((await api("GET", "")).status).toBe(200);
  });

  it("are gone when they are cleared or replaced", async () => {
    const uuid = await database();
    await faults(uuid, { on: "get", fault: "status" });
    await faults(uuid, { on: "query", fault: "status" });
    expect((await api("GET", `/${uuid}`)).status).toBe(200);
    await control("DELETE", `/databases/${uuid}/faults`);
    expect((await api("POST", `/${uuid}/query`, { sql: "SELECT 1" })).status).toBe(200);
  });

  it("are not answered by the control routes themselves", async () => {
    await faults("*", { on: "any", fault: "status" });
    expect(await control("GET", "/databases/*/faults")).toHaveLength(1);
  });

  it.each([
    [{ on: "nowhere", fault: "status" }, "0.on"],
    [{ on: "query", fault: "unheard-of" }, "0.fault"],
    [{ on: "query", fault: "truncate", value: 1 }, "0.on"],
    [{ on: "download", fault: "truncate" }, "0.value"],
    [{ on: "download", fault: "truncate", value: 1, message: "no" }, "0.message"],
    [{ on: "download", fault: "pad", value: 1 }, "0.on"],
    [{ on: "export.start", fault: "stray-line", value: 1 }, "0.text"],
    [{ on: "query", fault: "status", text: "no" }, "0.text"],
    [{ on: "query", fault: "status", times: -1 }, "0.times"],
    [{ on: "query", fault: "status", skip: 1.5 }, "0.skip"],
  ])("that make no sense are refused, with the field: %j", async (rule, field) => {
    const response = await emulator("/_emulator/databases/*/faults", {
      method: "PUT",
      body: JSON.stringify([rule]),
    });
    expect(response.status).toBe(400);
    const { issues } = await response.json<{ issues: { field: string }[] }>();
    expect(issues.map((issue) => issue.field)).toContain(field);
  });

  it("of a database that does not exist are refused", async () => {
    await expect(faults("absent", { on: "query", fault: "status" })).rejects.toThrow("404");
  });
});

describe("what can strike anything", () => {
  it("status, with the API's own code", async () => {
    await faults("*", { on: "list", fault: "status", value: 503 });
    expect((await api("GET", "")).errors[0]?.code).toBe(7009);
  });

  it("garbage: 200 and no JSON", async () => {
    await faults("*", { on: "list", fault: "garbage" });
    const response = await emulator(API, { headers });
    expect(response.status).toBe(200);
    await expect(response.json()).rejects.toThrow(SyntaxError);
  });

  it("lose-answer: done, but a proxy answers", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    await faults(uuid, { on: "query", fault: "lose-answer", times: 1 });
    const body = JSON.stringify({ sql: "INSERT INTO t VALUES (1)" });
    const response = await emulator(`${API}/${uuid}/query`, { method: "POST", headers, body });
    expect([response.status, await response.text()]).toEqual([502, expect.stringContaining("<html>")]);
    const { result } = await api<{ results: unknown[] }[]>("POST", `/${uuid}/query`, {
      sql: "SELECT * FROM t",
    });
    expect(result[0]?.results).toEqual([{ a: 1 }]);
  });

  it("too-slow: a call with the named SQL in it ends as one that took too long, and changes nothing", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    await faults(uuid, { on: "query", fault: "too-slow", text: "2" });
    const batch = [{ sql: "INSERT INTO t VALUES (1)" }, { sql: "INSERT INTO t VALUES (2)" }];
    const refused = await api("POST", `/${uuid}/query`, { batch });
    expect(refused.errors).toEqual([{ code: 7500, message: expect.stringContaining("exceeded timeout") }]);
    const { result } = await api<{ results: unknown[] }[]>("POST", `/${uuid}/query`, {
      sql: "SELECT count(*) AS rows FROM t",
    });
    expect(result[0]?.results).toEqual([{ rows: 0 }]);
  });

  it("slow: takes its time", async () => {
    await faults("*", { on: "list", fault: "slow", value: 120 });
    const startedAt = Date.now();
    await api("GET", "");
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(115);
  });

  it("vanish: the database is deleted, now", async () => {
    const uuid = await database("", "shop");
    await faults(uuid, { on: "export.poll", fault: "vanish" });
    const poll = { output_format: "polling", current_bookmark: "x" };
    const struck = await api("POST", `/${uuid}/export`, poll);
    expect([struck.status, struck.errors[0]?.code]).toEqual([404, 7404]);
    expect((await api("GET", "/shop")).errors[0]?.code).toBe(7404);
  });

  it("drop: there is no answer at all", async () => {
    await faults("*", { on: "list", fault: "drop" });
    await expect(emulator(API, { headers })).rejects.toThrow("drops this connection");
  });
});
