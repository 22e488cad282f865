import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import {
  api,
  control,
  database,
  dump,
  emulator,
  faults,
  pollExport,
  rows,
  startExport,
} from "../kit/client.ts";

beforeEach(reset);

const API = "/client/v4/accounts/emulated-account/d1/database";
const headers = { authorization: "Bearer t" };

describe("an error in the test's own words", () => {
  const words = { code: 7777, message: "row 7 of https://signed.example/?token=abc" };

  it.each([
    ["list", "GET", "", undefined],
    ["get", "GET", "/shop", undefined],
    ["query", "POST", "/UUID/query", { sql: "SELECT 1" }],
    ["bookmark", "GET", "/UUID/time_travel/bookmark", undefined],
    ["export.start", "POST", "/UUID/export", { output_format: "polling" }],
    ["export.poll", "POST", "/UUID/export", { output_format: "polling", current_bookmark: "x" }],
    ["import.init", "POST", "/UUID/import", { action: "init", etag: "0".repeat(32) }],
  ])("status: on %s", async (on, method, path, body) => {
    const uuid = await database("", "shop");
    await faults("*", { on, fault: "status", value: 418, ...words });
    const answer = await api(method, path.replace("UUID", uuid), body);
    expect([answer.status, answer.success, answer.errors]).toEqual([418, false, [words]]);
  });

  it("export-error: every export ends in it, wherever it is asked", async () => {
    const uuid = await database();
    const { result } = await startExport(uuid);
    await faults(uuid, { on: "any", fault: "export-error", message: words.message });
    const failed = { success: true, status: "error", error: words.message };
    expect((await pollExport(uuid, result.at_bookmark)).result).toMatchObject(failed);
    for (let again = 0; again < 3; again += 1) {
      expect((await startExport(uuid)).result).toMatchObject(failed);
    }
  });

  it("import-error: so does every import", async () => {
    const uuid = await database();
    await faults(uuid, { on: "import.ingest", fault: "import-error", message: words.message });
    const body = { action: "ingest", etag: "0".repeat(32), filename: "x.sql" };
    const { result } = await api("POST", `/${uuid}/import`, body);
    expect(result).toMatchObject({ status: "error", error: words.message, errors: [words.message] });
  });
});

describe("an answer that is large", () => {
  const length = async (rule: object[]): Promise<[number, string | null, unknown]> => {
    await faults("*", ...rule);
    const response = await emulator(API, { headers });
    const text = await response.text();
    const { result } = JSON.parse(text) as { result: { name: string }[] };
    return [text.length, response.headers.get("content-length"), result.map(({ name }) => name)];
  };
  const CATALOG = ["d1-nightly-catalog"];

  it("pad: by so many bytes, before the result, and still JSON", async () => {
    const [plain] = await length([]);
    const [padded, , names] = await length([{ on: "list", fault: "pad", value: 5_000_000 }]);
    expect(padded - plain).toBe(5_000_000 + '"padding":"",'.length);
    expect(names).toEqual(CATALOG);
  });

  it("pad with no-content-length: nobody is told how long it is", async () => {
    const [, told, names] = await length([
      { on: "list", fault: "pad", value: 100_000 },
      { on: "list", fault: "no-content-length" },
    ]);
    expect([told, names]).toEqual([null, CATALOG]);
  });

  it("pad: an error can be as large", async () => {
    await faults(
      "*",
      { on: "list", fault: "status", value: 500, message: "large" },
      { on: "list", fault: "pad", value: 200_000 },
    );
    const { status, errors } = await api("GET", "");
    expect([status, errors[0]?.message]).toEqual([500, "large"]);
  });
});

describe("a list that does not say how long it is", () => {
  it("no-total-count: with pages that are shorter than they were asked for", async () => {
    for (let index = 0; index < 5; index += 1) await database("", `db-${index}`);
    await control("PUT", "/settings", { mostPerPage: 4 });
    await faults("*", { on: "list", fault: "no-total-count" });
    const pages: unknown[] = [];
    for (const page of [1, 2, 3]) {
      const { result, result_info } = await api<unknown[]>("GET", `?per_page=1000&page=${page}`);
      pages.push([result.length, result_info]);
    }
    expect(pages).toEqual([
      [4, { page: 1, per_page: 1000, count: 4 }],
      [2, { page: 2, per_page: 1000, count: 2 }],
      [0, { page: 3, per_page: 1000, count: 0 }],
    ]);
  });
});

describe("a database that is shown as something else", () => {
  it.each([
    ["an odd uuid", { uuid: "../../../user" }],
    ["an empty name", { name: "" }],
    ["a name that is no text", { name: null }],
    ["nine petabytes", { file_size: 9e15 }],
    ["a time that is none", { created_at: "yesterday" }],
  ])("%s", async (_, fields) => {
    const uuid = await database("CREATE TABLE t (a)", "shop");
    await control("PUT", `/databases/${uuid}/shown-as`, fields);
    expect((await api("GET", `/${uuid}`)).result).toMatchObject({ num_tables: 1, ...fields });
    expect((await api<unknown[]>("GET", "?name=shop")).result).toMatchObject([fields]);
    // It is still there under its own uuid, for whoever knows that.
    expect(await rows(uuid, "SELECT 1")).toEqual([[1]]);
    await control("PUT", `/databases/${uuid}/shown-as`, {});
    expect((await api("GET", `/${uuid}`)).result).toMatchObject({ uuid, name: "shop" });
  });
});

describe("a dump that says what no dump should", () => {
  const line = 'ERROR near "default": syntax error';
  const SQL = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2); CREATE INDEX i ON t (a)";

  it.each([
    ["before the first statement", 1, 0],
    ["before the index", 5, 4],
    ["after all, when there are not so many", 99, 5],
  ])("stray-line: %s", async (_, value, at) => {
    const uuid = await database(SQL);
    const lines = (await dump(uuid)).split("\n");
    await faults(uuid, { on: "export.start", fault: "stray-line", value, text: line });
    expect((await dump(uuid)).split("\n")).toEqual(lines.toSpliced(at, 0, line));
  });
});

describe("options of an export that the service does not know", () => {
  it("are ignored as a rule, and refused under strict-options", async () => {
    const uuid = await database();
    expect((await startExport(uuid, { skip_large: true })).result).toMatchObject({ status: "complete" });
    await faults(uuid, { on: "export.start", fault: "strict-options" });
    for (const option of [{ skip_large: true }, { compatibility: "d1" }]) {
      const { status, errors } = await startExport(uuid, option);
      expect([status, errors[0]?.code]).toEqual([400, 7400]);
      expect(errors[0]?.message).toContain(Object.keys(option)[0]);
    }
    const known = { no_schema: false, no_data: false, tables: [] };
    expect((await startExport(uuid, known)).result).toMatchObject({ status: "complete" });
  });
});
