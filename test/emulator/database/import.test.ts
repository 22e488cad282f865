import { createHash } from "node:crypto";
import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import {
  api,
  control,
  database,
  dump,
  emulator,
  faults,
  rows,
  type Envelope,
  type Progress,
} from "../kit/client.ts";

beforeEach(reset);

const md5 = (text: string) => createHash("md5").update(text).digest("hex");
const advance = (advanceMs: number) => control("PUT", "/clock", { advanceMs });

function importAction(uuid: string, body: object): Promise<Envelope<Progress>> {
  return api<Progress>("POST", `/${uuid}/import`, body);
}

/** Uploads the file and starts its import, as wrangler does. */
async function importFile(uuid: string, sql: string): Promise<Progress> {
  const etag = md5(sql);
  const { result } = await importAction(uuid, { action: "init", etag });
  if (result.upload_url === undefined) return result;
  const upload = await emulator(result.upload_url, { method: "PUT", body: sql });
  expect([upload.status, upload.headers.get("etag")]).toEqual([200, `"${etag}"`]);
  return (await importAction(uuid, { action: "ingest", etag, filename: result.filename })).result;
}

const poll = async (uuid: string, { at_bookmark }: Progress) =>
  (await importAction(uuid, { action: "poll", current_bookmark: at_bookmark })).result;

describe("an import", () => {
  it("runs the file and tells what it did", async () => {
    const uuid = await database();
    const done = await importFile(
      uuid,
      "CREATE TABLE t (a);\nINSERT INTO t VALUES ('x;y');\nINSERT INTO t VALUES (2)",
    );
    expect(done).toMatchObject({ success: true, type: "import", status: "complete", messages: [] });
    expect(done.result?.num_queries).toBe(3);
    const { result } = await api<{ bookmark: string }>("GET", `/${uuid}/time_travel/bookmark`);
    expect(done.result?.final_bookmark).toBe(result.bookmark);
    expect(await rows(uuid, "SELECT a FROM t")).toEqual([["x;y"], [2]]);
  });

  it("brings a dump back as it was", { timeout: 60_000 }, async () => {
    const { shop } = await control<{ shop: string }>("POST", "/samples");
    const text = await dump(shop, { no_schema: false });
    // A trigger on a view stands before its view in D1's dumps: such a dump cannot be imported as it is.
    const importable = text.replace(/CREATE TRIGGER place_order [^]*?\nEND;\n/, "");
    const copy = await database();
    expect((await importFile(copy, importable)).status).toBe("complete");
    expect(await dump(copy)).toBe(importable);
  });

  it("of a file that is there already starts at once", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    const sql = "INSERT INTO t VALUES (1)";
    await importFile(uuid, sql);
    const again = await importAction(uuid, { action: "init", etag: md5(sql) });
    expect(again.result.status).toBe("complete");
    expect(await rows(uuid, "SELECT count(*) FROM t")).toEqual([[2]]);
  });

  it("that takes time is active, keeps queries out, and is told once", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    await faults(uuid, { on: "import.ingest", fault: "slow", value: 8_000 });
    const first = await importFile(uuid, "INSERT INTO t VALUES (1)");
    expect(first).toMatchObject({ status: "active", messages: ["Processed 0 queries."] });
    const query = await api("POST", `/${uuid}/query`, { sql: "SELECT 1" });
    expect(query.errors[0]?.message).toContain("Currently processing a long-running import.");
    const attached = await importAction(uuid, { action: "init", etag: md5("INSERT INTO t VALUES (1)") });
    expect(attached.result).toMatchObject({ status: "active", at_bookmark: first.at_bookmark });
    await advance(8_000);
    expect((await poll(uuid, first)).status).toBe("complete");
    expect(await poll(uuid, first)).toEqual({ success: false, error: "Not currently importing anything." });
  });

  it("is cancelled and leaves nothing when nobody polls for 15 seconds", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    await faults(uuid, { on: "import.ingest", fault: "slow", value: 60_000 });
    const first = await importFile(uuid, "INSERT INTO t VALUES (1)");
    await advance(15_001);
    expect(await rows(uuid, "SELECT count(*) FROM t")).toEqual([[0]]);
    const { success, error } = await poll(uuid, first);
    expect(success).toBe(false);
    expect(error).toMatch(/^Cancelled due to no poll\(\) received in 15000ms\. Latest messages: /);
  });

  it("can be reset by the service", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    await faults(
      uuid,
      { on: "import.ingest", fault: "slow", value: 9_000 },
      { on: "import.poll", fault: "reset-do", times: 1 },
    );
    const first = await importFile(uuid, "INSERT INTO t VALUES (1)");
    expect(await poll(uuid, first)).toEqual({ success: false, error: '{"D1_RESET_DO":true}' });
    expect(await poll(uuid, first)).toEqual({ success: false, error: "Not currently importing anything." });
    expect(await rows(uuid, "SELECT count(*) FROM t")).toEqual([[0]]);
  });

  it("wants the file that was announced", async () => {
    const uuid = await database();
    const etag = md5("what was announced");
    const missing = await importAction(uuid, { action: "ingest", etag, filename: "x" });
    expect(missing.result).toMatchObject({ success: false });
    const { result } = await importAction(uuid, { action: "init", etag });
    await emulator(result.upload_url ?? "", { method: "PUT", body: "something else" });
    const other = await importAction(uuid, { action: "ingest", etag, filename: result.filename });
    expect(other.result.error).toContain(md5("something else"));
  });

  it.each([{}, { action: "go" }, { action: "init" }, { action: "init", etag: "x" }, { action: "poll" }])(
    "refuses the body %j",
    async (body) => {
      const { status, errors } = await importAction(await database(), body);
      expect([status, errors[0]?.code]).toEqual([400, 7400]);
    },
  );
});

const HEAD = "PRAGMA defer_foreign_keys=TRUE;\n";

describe("an import fails as a whole, as D1's does", () => {
  it.each([
    [
      "a: the child's rows before the parent's table",
      `${HEAD}CREATE TABLE child (p INTEGER REFERENCES parent(id));
       INSERT INTO "child" ("p") VALUES(1);
       CREATE TABLE parent (id INTEGER PRIMARY KEY);
       INSERT INTO "parent" ("id") VALUES(1);`,
      "no such table: main.parent",
    ],
    [
      "b: the unique index of a foreign key after the rows",
      `${HEAD}CREATE TABLE parent (code TEXT);
       INSERT INTO "parent" ("code") VALUES('x');
       CREATE TABLE child (code TEXT REFERENCES parent(code));
       INSERT INTO "child" ("code") VALUES('x');
       CREATE UNIQUE INDEX parent_code ON parent(code);`,
      "foreign key mismatch",
    ],
    [
      "c: a trigger on a view before the view",
      `${HEAD}CREATE TABLE t (a);
       CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (NEW.a); END;
       CREATE VIEW v AS SELECT a FROM t;`,
      "no such table: main.v",
    ],
    [
      "k: a statement over 100,000 bytes",
      `${HEAD}CREATE TABLE t (a);
       INSERT INTO "t" ("a") VALUES(X'${"00".repeat(50_000)}');`,
      "SQLITE_TOOBIG",
    ],
    [
      "rows that refer to nothing at the end",
      `${HEAD}CREATE TABLE parent (id INTEGER PRIMARY KEY);
       CREATE TABLE child (p INTEGER REFERENCES parent(id));
       INSERT INTO child VALUES (7);`,
      "FOREIGN KEY constraint failed",
    ],
    [
      "an error in the last statement",
      `${HEAD}CREATE TABLE t (a); INSERT INTO absent VALUES (1)`,
      "no such table: absent",
    ],
    ["a statement that was cut off", `${HEAD}CREATE TABLE t (a); INSERT INTO t VALUES ('abc`, "SQLITE_ERROR"],
    ["a transaction of its own", "BEGIN TRANSACTION; CREATE TABLE t (a); COMMIT;", "transaction"],
  ])("%s", async (_, sql, message) => {
    const uuid = await database();
    const failed = await importFile(uuid, sql);
    expect(failed).toMatchObject({ success: true, type: "import", status: "error" });
    expect(failed.error).toContain(message);
    expect(failed.errors).toEqual([failed.error]);
    expect(
      await rows(uuid, "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\'"),
    ).toEqual([]);
  });

  it.each([
    [
      "foreign keys that point forward, once they are deferred",
      `${HEAD}CREATE TABLE parent (id INTEGER PRIMARY KEY);
       CREATE TABLE child (p INTEGER REFERENCES parent(id)); INSERT INTO child VALUES (7); INSERT INTO parent VALUES (7);`,
    ],
    [
      "a foreign key that lacks its unique index, as long as there are no rows",
      `${HEAD}CREATE TABLE parent (code TEXT); CREATE TABLE child (code TEXT REFERENCES parent(code));`,
    ],
    [
      "a statement of exactly 100,000 bytes",
      `${HEAD}CREATE TABLE t (a); INSERT INTO t VALUES ('${"x".repeat(100_000 - 26)}');`,
    ],
    [
      "text beyond ASCII, in pieces",
      `CREATE TABLE t (a); ${`INSERT INTO t VALUES ('${"ü🚀".repeat(5_000)}');\n`.repeat(30)}`,
    ],
  ])("but takes %s", async (_, sql) => {
    expect(await importFile(await database(), sql)).toMatchObject({ status: "complete" });
  });
});

describe("faults of an import", () => {
  it.each([
    ["wrong-etag", 200],
    ["expired", 403],
    ["status", 500],
  ])("%s on the upload", async (fault, status) => {
    const uuid = await database();
    await faults(uuid, { on: "upload", fault });
    const { result } = await importAction(uuid, { action: "init", etag: md5("x") });
    const upload = await emulator(result.upload_url ?? "", { method: "PUT", body: "x" });
    expect(upload.status).toBe(status);
    expect(upload.headers.get("etag")).not.toBe(`"${md5("x")}"`);
  });

  it("lose-answer of the start: the import has run, and init finds its end", async () => {
    const uuid = await database("CREATE TABLE t (a)");
    const sql = "INSERT INTO t VALUES (1)";
    await faults(
      uuid,
      { on: "import.ingest", fault: "slow", value: 5_000 },
      { on: "import.init", fault: "busy", skip: 1, times: 1 },
    );
    const first = await importFile(uuid, sql);
    expect((await importAction(uuid, { action: "init", etag: md5(sql) })).result.success).toBe(false);
    await advance(5_000);
    const attached = await importAction(uuid, { action: "init", etag: md5(sql) });
    expect(attached.result).toMatchObject({ status: "complete", at_bookmark: first.at_bookmark });
  });
});
