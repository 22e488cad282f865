import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitStatements, StatementSplitter } from "../../../emulator/src/sql/statement-splitter.ts";

const TRIGGER =
  "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; UPDATE t SET a = ';'; END;";

describe("a text is cut into statements", () => {
  it.each<[string, string, string[]]>([
    ["at semicolons", "SELECT 1; SELECT 2;", ["SELECT 1;", "SELECT 2;"]],
    ["the last of which may be missing", "SELECT 1; SELECT 2", ["SELECT 1;", "SELECT 2"]],
    [
      "not within quotes",
      `SELECT ';', ";", \`;\`, [;]; SELECT 2`,
      [`SELECT ';', ";", \`;\`, [;];`, "SELECT 2"],
    ],
    ["not within doubled quotes", "SELECT 'a'';b'; SELECT 2", ["SELECT 'a'';b';", "SELECT 2"]],
    ["not within comments", "SELECT 1 -- ;\n; SELECT /* ; */ 2;", ["SELECT 1 -- ;\n;", "SELECT /* ; */ 2;"]],
    ["but at operators that look like comments", "SELECT 2-1; SELECT 4/2;", ["SELECT 2-1;", "SELECT 4/2;"]],
    ["not within a trigger", `${TRIGGER} SELECT 1;`, [TRIGGER, "SELECT 1;"]],
    [
      "not within a temporary trigger",
      TRIGGER.replace("CREATE", "create temp"),
      [TRIGGER.replace("CREATE", "create temp")],
    ],
    [
      "at a table that only sounds like one",
      "CREATE TABLE trigger_log (a); SELECT 1",
      ["CREATE TABLE trigger_log (a);", "SELECT 1"],
    ],
    ["leaving out what says nothing", " ;; -- nothing\n ; /* here */ ", []],
    ["keeping what was cut off", "SELECT 1; SELECT 'abc", ["SELECT 1;", "SELECT 'abc"]],
  ])("%s", (_, text, statements) => {
    expect(splitStatements(text)).toEqual(statements);
  });

  it("wherever the stream is cut into chunks", () => {
    const piece = fc.constantFrom(
      "'",
      '"',
      "`",
      "[",
      "]",
      ";",
      "-",
      "--",
      "\n",
      "/*",
      "*/",
      "/",
      "END",
      "a",
      " ",
      "é",
      TRIGGER,
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        (pieces, sizes) => {
          const text = pieces.join("");
          const splitter = new StatementSplitter();
          const statements: string[] = [];
          for (let offset = 0; offset < text.length;) {
            const size = sizes.next().value ?? 1;
            statements.push(...splitter.push(text.slice(offset, offset + size)));
            offset += size;
          }
          statements.push(...splitter.end());
          expect(statements).toEqual(splitStatements(text));
        },
      ),
      { numRuns: 500 },
    );
  });
});
