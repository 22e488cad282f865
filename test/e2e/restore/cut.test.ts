import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { cutCommands, fileOf, type Part, PARTS } from "../../../src/core/guide/cut.ts";
import { UNENDED_MARK } from "../../../src/core/sql/statements.ts";
import { type DumpedStatement, randomDump } from "../../core/kit/random-dumps.ts";
import { runScript, toolbox } from "./guide-runner.ts";

// The awk of RESTORE.md against dumps that are unkind to it: each statement lands in its part, byte for byte.

const root = mkdtempSync(join(tmpdir(), "d1-nightly-cut-"));
const PATH = toolbox(join(root, "tools"));
afterAll(() => rmSync(root, { recursive: true }));

const PART_OF: Partial<Record<DumpedStatement["kind"], Part>> = {
  "create-table": "tables",
  index: "indexes",
  view: "views",
  trigger: "triggers",
};
const MADE_FIRST = "CREATE TABLE spare (a INTEGER PRIMARY KEY AUTOINCREMENT);\nDROP TABLE spare;\n";

function expected(statements: readonly DumpedStatement[]): Record<string, string> {
  const parts = Object.fromEntries(PARTS.map((part): [string, string] => [part, ""]));
  for (const { sql, kind, marks } of statements) {
    if (sql === "DELETE FROM sqlite_sequence;") parts["tables"] += MADE_FIRST;
    const ended = (marks & UNENDED_MARK) === 0 ? sql : `${sql.slice(0, -1)}\n;`;
    parts[PART_OF[kind] ?? "rows"] += `${ended}\n`;
  }
  return parts;
}

it("a dump is cut where SQLite ends its statements", async () => {
  const script = cutCommands({ source: "dump.sql", misread: "nothing", spareName: "spare" }).join("\n");
  await fc.assert(
    fc.asyncProperty(randomDump, async (drawn) => {
      // perl has taken NULs out before.
      const statements = drawn.map((each) => ({ ...each, sql: each.sql.replaceAll("\0", "0") }));
      writeFileSync(join(root, "dump.sql"), statements.map(({ sql }) => sql).join("\n"));
      const ran = await runScript(root, script, { PATH });
      expect(ran).toMatchObject({ code: 0, stderr: "" });
      const parts = PARTS.map((part) => [part, readFileSync(join(root, fileOf(part)), "utf8")]);
      expect(Object.fromEntries(parts)).toEqual(expected(statements));
    }),
    { numRuns: 60 },
  );
});

it("what was not written whole is told", async () => {
  const script = cutCommands({ source: "dump.sql", misread: "nothing", spareName: "spare" });
  writeFileSync(join(root, "dump.sql"), "PRAGMA defer_foreign_keys=TRUE;\nCREATE TABLE t (a);");
  const check = script.at(-1) ?? "";
  const spoilt = [...script.slice(0, -1), ": > tables.sql", check].join("\n");
  expect(await runScript(root, spoilt, { PATH })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("incomplete"),
  });
});
