import { describe, expect, it } from "vitest";
import { backUp, dumpOf, worker } from "../e2e/behind-the-front.ts";

// What only real sockets show: false lengths, bodies that end early, connections that drop. The Worker is the real one.

const DUMP = `PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE t (a);
INSERT INTO "t" ("a") VALUES('one');
INSERT INTO "t" ("a") VALUES('two');
INSERT INTO "t" ("a") VALUES('three');`;

describe("over real sockets, a run", () => {
  it.each([
    ["nothing goes wrong", []],
    ["the connection to the API drops before the headers", [{ on: "query", fault: "drop", times: 2 }]],
    ["the connection to the storage drops before the headers", [{ on: "download", fault: "drop", times: 2 }]],
    ["the body ends before what was announced", [{ on: "download", fault: "truncate", value: 60, times: 2 }]],
    ["the body is reset in the middle", [{ on: "download", fault: "reset", value: 60, times: 2 }]],
    [
      "a false Content-Length is announced once",
      [
        { on: "download", fault: "ignore-range", times: 1 },
        { on: "download", fault: "wrong-length", value: 1_000, times: 1 },
      ],
    ],
  ])(
    "completes when %s",
    async (_, faults) => {
      const { run } = await backUp(faults);
      expect(run).toMatchObject({ state: "complete", error: null });
      expect(await dumpOf(run.backupId)).toBe(DUMP);
    },
    60_000,
  );

  it.each([["shorter", 90, /dump-(changed|incomplete-statement)/]])(
    "fails, and stores nothing, when the dump is always announced %s than it is",
    async (_, value, code) => {
      const { run } = await backUp([
        { on: "download", fault: "ignore-range" },
        { on: "download", fault: "wrong-length", value },
      ]);
      expect(run).toMatchObject({ state: "failed", backupId: null });
      expect(run.error?.code).toMatch(code);
    },
    120_000,
  );
});

it("no secret and no row stands in the Worker's log", () => {
  expect(worker.output()).toContain("/api/runs/");
  expect(worker.output()).not.toMatch(/_signed|emulated-token|admin-token-for-tests|'three'/);
});
