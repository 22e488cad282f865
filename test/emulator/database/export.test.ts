import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import {
  api,
  control,
  database,
  dump,
  emulator,
  exportedUrl,
  faults,
  pollExport,
  rows,
  startExport,
} from "../kit/client.ts";

interface State {
  exportsStarted: number;
  exportsRefused: number;
  pollsSeen: number;
  longestPollGapMs: number;
  exporting: boolean;
  queriesRefused: number;
}

const SQL = "CREATE TABLE t (a); INSERT INTO t VALUES (1)";
const NOT_EXPORTING = { success: false, error: "Not currently exporting anything." };
const BUSY = expect.stringContaining("Currently processing a long-running export. Cannot start a new export");

const advance = (advanceMs: number) => control("PUT", "/clock", { advanceMs });
const stateOf = (uuid: string) => control<State>("GET", `/databases/${uuid}/state`);

/** A database whose export takes this long. */
async function slowDatabase(ms: number): Promise<string> {
  const uuid = await database(SQL);
  await faults(uuid, { on: "export.start", fault: "slow", value: ms });
  return uuid;
}

beforeEach(reset);

describe("an export", () => {
  it("of a small database is complete with the first answer", async () => {
    const { status, result } = await startExport(await database(SQL));
    expect(status).toBe(200);
    expect(result).toMatchObject({ success: true, type: "export", status: "complete" });
    expect(result.result?.filename).toMatch(/\.sql$/);
    expect(result.result?.signed_url).toMatch(/^http:\/\/emulator\.test\/_signed\//);
  });

  it("that takes time is active, with messages, until it is complete", async () => {
    const uuid = await slowDatabase(8_000);
    const first = await startExport(uuid);
    expect(first.status).toBe(202);
    expect(first.result).toMatchObject({ success: true, status: "active" });
    expect(first.result.messages?.[0]).toMatch(/^Generating .*\.sql$/);
    await advance(4_000);
    expect((await pollExport(uuid, first.result.at_bookmark)).status).toBe(202);
    await advance(4_000);
    const last = await pollExport(uuid, first.result.at_bookmark);
    expect([last.status, last.result.status]).toEqual([200, "complete"]);
    expect(await stateOf(uuid)).toMatchObject({ exportsStarted: 1, pollsSeen: 2, exporting: false });
  });

  it("tells only once that it is complete", async () => {
    const uuid = await slowDatabase(1);
    const { result } = await startExport(uuid);
    await advance(1_000);
    expect((await pollExport(uuid, result.at_bookmark)).result.status).toBe("complete");
    expect((await pollExport(uuid, result.at_bookmark)).result).toEqual(NOT_EXPORTING);
  });

  it("wants output_format in every request", async () => {
    const uuid = await slowDatabase(5_000);
    const { result } = await startExport(uuid);
    for (const body of [{}, { current_bookmark: result.at_bookmark }]) {
      const { status, errors } = await api("POST", `/${uuid}/export`, body);
      expect([status, errors[0]?.code]).toEqual([400, 7400]);
      expect(errors[0]?.message).toContain("output_format");
    }
  });

  it.each([
    [14_000, true],
    [15_001, false],
  ])("after %i ms of silence is still there: %s", async (silence, isThere) => {
    const uuid = await slowDatabase(60_000);
    const { result } = await startExport(uuid);
    await advance(silence);
    const poll = await pollExport(uuid, result.at_bookmark);
    if (isThere) expect(poll.result.status).toBe("active");
    else expect(poll.result).toEqual(NOT_EXPORTING);
    expect((await stateOf(uuid)).longestPollGapMs).toBeGreaterThanOrEqual(silence);
    expect((await startExport(uuid)).result.success).toBe(!isThere);
  });

  it("keeps the database from other exports, imports and queries", async () => {
    const uuid = await slowDatabase(60_000);
    await startExport(uuid);
    expect((await startExport(uuid)).result).toEqual({ success: false, error: BUSY });
    const query = await api("POST", `/${uuid}/query`, { sql: "SELECT 1" });
    expect(query.errors).toEqual([
      { code: 7500, message: "D1_ERROR: Currently processing a long-running export." },
    ]);
    const start = await api<{ success: boolean }>("POST", `/${uuid}/import`, {
      action: "init",
      etag: "0".repeat(32),
    });
    expect(start.result.success).toBe(false);
    expect(await stateOf(uuid)).toMatchObject({
      exportsStarted: 1,
      exportsRefused: 1,
      queriesRefused: 1,
      exporting: true,
    });
  });

  it("is a snapshot of its start", async () => {
    const uuid = await slowDatabase(5_000);
    const before = await dumpAfter(uuid, () => control("POST", `/databases/${uuid}/sql`, "DELETE FROM t"));
    expect(before).toContain('INSERT INTO "t" ("a") VALUES(1);');
    expect(await rows(uuid, "SELECT count(*) FROM t")).toEqual([[0]]);
  });

  it("refuses virtual tables and leaves the database busy for a while", async () => {
    await control("PUT", "/settings", { busyAfterRefusalMs: 30_000 });
    const uuid = await database("CREATE TABLE t (a); CREATE VIRTUAL TABLE search USING fts5(a)");
    const { status, result } = await startExport(uuid);
    expect(status).toBe(200);
    expect(result).toMatchObject({
      success: true,
      status: "error",
      messages: [],
      error: "D1 Export error: cannot export databases with Virtual Tables (fts5)",
    });
    expect((await startExport(uuid, { tables: ["t"] })).result).toEqual({ success: false, error: BUSY });
    await advance(30_000);
    expect(await dump(uuid, { tables: ["t"] })).toContain("CREATE TABLE t (a);");
  });

  it("for the sqlite3 program alone holds virtual tables, and text that is not UTF-8 as it is", async () => {
    const uuid = await database(
      "CREATE VIRTUAL TABLE search USING fts5(a); CREATE TABLE t (a, b); INSERT INTO t VALUES (CAST(x'61ff62' AS TEXT), 4.0)",
    );
    const url = await exportedUrl(uuid, { compatibility: "sqlite3_cli_only" });
    const lines = new TextDecoder("latin1").decode(await (await emulator(url)).arrayBuffer()).split("\n");
    expect(lines.slice(0, 4)).toEqual([
      "PRAGMA foreign_keys=OFF;",
      "BEGIN TRANSACTION;",
      "PRAGMA writable_schema=ON;",
      "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','search','search',0,'CREATE VIRTUAL TABLE search USING fts5(a)');",
    ]);
    expect(lines).toContain("INSERT INTO t VALUES('a\xffb',4.0);");
    expect(lines.slice(-2)).toEqual(["PRAGMA writable_schema=OFF;", "COMMIT;"]);
    expect(lines.join("\n")).not.toContain("_cf_");
  });

  it.each([{ no_data: true }, { no_schema: true }, { compatibility: "sqlite3" }])(
    "for the sqlite3 program alone goes with no %o",
    async (option) => {
      const options = { compatibility: "sqlite3_cli_only", ...option };
      const { status, errors } = await startExport(await database(SQL), options);
      expect([status, errors[0]?.code]).toEqual([400, 7400]);
      expect(errors[0]?.message).toContain("compatibility");
    },
  );

  it("of a large database comes in parts", { timeout: 60_000 }, async () => {
    const uuid = await database(
      `CREATE TABLE t (a); INSERT INTO t
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) SELECT hex(zeroblob(15000)) FROM n`,
    );
    const text = await dump(uuid);
    expect(text.length).toBeGreaterThan(18_000_000);
    expect(text.match(/\n/g)).toHaveLength(601);
    expect(text.endsWith("');")).toBe(true);
  });
});

describe("faults of an export", () => {
  it("busy", async () => {
    const uuid = await database(SQL);
    await faults(uuid, { on: "export.start", fault: "busy", times: 1 });
    expect((await startExport(uuid)).result).toEqual({ success: false, error: BUSY });
    expect((await startExport(uuid)).result.status).toBe("complete");
  });

  it("lose-export: the next start is free", async () => {
    const uuid = await database(SQL);
    await faults(
      uuid,
      { on: "export.start", fault: "slow", value: 9_000 },
      { on: "export.poll", fault: "lose-export", skip: 1 },
    );
    const { result } = await startExport(uuid);
    expect((await pollExport(uuid, result.at_bookmark)).result.status).toBe("active");
    expect((await pollExport(uuid, result.at_bookmark)).result).toEqual(NOT_EXPORTING);
    expect((await startExport(uuid)).result.status).toBe("active");
  });

  it("export-error", async () => {
    const uuid = await database(SQL);
    await faults(uuid, { on: "export.start", fault: "export-error" });
    expect((await startExport(uuid)).result).toMatchObject({ success: true, status: "error", messages: [] });
  });

  it("lose-answer of a start: the next start finds the database busy, until nobody has polled for long enough", async () => {
    const uuid = await database(SQL);
    await faults(
      uuid,
      { on: "export.start", fault: "slow", value: 60_000, times: 1 },
      { on: "export.start", fault: "lose-answer", times: 1 },
    );
    const lost = await emulator(`/client/v4/accounts/emulated-account/d1/database/${uuid}/export`, {
      method: "POST",
      headers: { authorization: "Bearer t" },
      body: JSON.stringify({ output_format: "polling" }),
    });
    expect(lost.status).toBe(502);
    expect(lost.headers.get("content-type")).toBe("text/html");
    expect((await startExport(uuid)).result).toEqual({ success: false, error: BUSY });
    await advance(15_001);
    expect((await startExport(uuid)).result.status).toBe("complete");
  });
});

async function dumpAfter(uuid: string, change: () => Promise<unknown>): Promise<string> {
  const { result } = await startExport(uuid);
  await change();
  await advance(5_000);
  const { result: end } = await pollExport(uuid, result.at_bookmark);
  return (await emulator(end.result?.signed_url ?? "")).text();
}
