import { reset } from "cloudflare:test";
import { beforeEach, expect, it } from "vitest";
import { api, database, dump, reference, rows } from "../kit/client.ts";

beforeEach(reset);

/** What a dump cannot say, and how it gets into a database: as a Worker or a query puts it there. */
it.each([
  [
    "text whose emoji was cut in two",
    "party 🎉".slice(0, 7),
    "706172747920EDA0BC",
    "'party \ufffd\ufffd\ufffd'",
  ],
  ["the other half of an emoji", "🎉".slice(1), "EDBE89", "'\ufffd\ufffd\ufffd'"],
])("%s is stored as it is bound, and dumped as something else", async (_, value, bytes, literal) => {
  const uuid = await database("CREATE TABLE t (a TEXT)");
  await api("POST", `/${uuid}/query`, { sql: "INSERT INTO t VALUES (?)", params: [value] });
  await reference().exec("DROP TABLE IF EXISTS t; CREATE TABLE t (a TEXT)");
  await reference().prepare("INSERT INTO t VALUES (?)").bind(value).run();
  const question = "SELECT hex(a), typeof(a) FROM t";
  expect(await rows(uuid, question)).toEqual([[bytes, "text"]]);
  expect(await reference().prepare(question).raw()).toEqual([[bytes, "text"]]);
  expect(await dump(uuid)).toContain(`VALUES(${literal});`);
});

it.each([
  ["bytes that are no UTF-8", "a TEXT", "CAST(x'61ff62' AS TEXT)", "'a\ufffdb'"],
  ["a whole REAL without a type", "a", "4.0", "4"],
  ["a whole REAL in a column of any type", "a ANY", "4.0", "4"],
])("%s: dumped as something else", async (_, column, value, literal) => {
  const uuid = await database(`CREATE TABLE t (${column}); INSERT INTO t VALUES (${value})`);
  expect(await dump(uuid)).toContain(`VALUES(${literal});`);
});

it("a whole REAL is still one in the database", async () => {
  const uuid = await database("CREATE TABLE t (a ANY) STRICT; INSERT INTO t VALUES (4.0)");
  expect(await rows(uuid, "SELECT typeof(a) FROM t")).toEqual([["real"]]);
});
