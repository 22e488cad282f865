import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { api, database, rows } from "../kit/client.ts";

beforeEach(reset);

describe("queries", () => {
  interface Result {
    results: unknown;
    success: boolean;
    meta: { changes: number; rows_written: number; changed_db: boolean; last_row_id: number };
  }

  it("answer each statement of a text, as objects or as rows", async () => {
    const uuid = await database("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, x'00ff'), ('ü', NULL)");
    const sql = "SELECT * FROM t; -- a comment; with a semicolon\nSELECT count(*) AS n FROM t";
    const objects = await api<Result[]>("POST", `/${uuid}/query`, { sql });
    expect(objects.result.map(({ results }) => results)).toEqual([
      [
        { a: 1, b: [0, 255] },
        { a: "ü", b: null },
      ],
      [{ n: 2 }],
    ]);
    const raw = await api<Result[]>("POST", `/${uuid}/raw`, { sql: "SELECT a, b FROM t" });
    expect(raw.result[0]?.results).toEqual({
      columns: ["a", "b"],
      rows: [
        [1, [0, 255]],
        ["ü", null],
      ],
    });
  });

  it("take parameters, blobs as lists of bytes among them", async () => {
    const uuid = await database("CREATE TABLE t (a, b, c)");
    const params = ["it's", 1.5, [1, 2, 3]];
    const { result } = await api<Result[]>("POST", `/${uuid}/query`, {
      sql: "INSERT INTO t VALUES (?, ?, ?)",
      params,
    });
    expect(result[0]?.meta).toMatchObject({ changes: 1, changed_db: true, last_row_id: 1 });
    expect(await rows(uuid, "SELECT * FROM t")).toEqual([params]);
  });

  it("say what SQLite says, and leave nothing of a text that failed", async () => {
    const uuid = await database("CREATE TABLE t (a UNIQUE)");
    const { status, errors } = await api("POST", `/${uuid}/query`, {
      sql: "INSERT INTO t VALUES (1); SELECT * FROM absent",
    });
    expect([status, errors[0]?.code]).toEqual([400, 7500]);
    expect(errors[0]?.message).toContain("no such table: absent: SQLITE_ERROR");
    expect(await rows(uuid, "SELECT count(*) FROM t")).toEqual([[0]]);
  });

  it("refuse rows that refer to nothing, also when that shows at the end only", async () => {
    const uuid = await database(
      "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id))",
    );
    for (const first of ["", "PRAGMA defer_foreign_keys = on; "]) {
      const { errors } = await api("POST", `/${uuid}/query`, { sql: `${first}INSERT INTO c VALUES (7)` });
      expect(errors[0]?.message).toContain("FOREIGN KEY constraint failed");
    }
    expect(await rows(uuid, "SELECT count(*) FROM c")).toEqual([[0]]);
  });

  it.each([{}, { sql: 7 }, undefined])("refuse the body %j", async (body) => {
    const { status, errors } = await api("POST", `/${await database()}/query`, body);
    expect([status, errors[0]?.code]).toEqual([400, 7400]);
  });

  it("refuse an empty text", async () => {
    const { errors } = await api("POST", `/${await database()}/query`, { sql: " ; -- nothing" });
    expect(errors[0]).toEqual({ code: 7500, message: "No SQL statements detected." });
  });
});
