import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createDatabase, dumpOf } from "../kit/emulated-account.ts";
import { backUp, holdTheClock, manifestOf } from "../kit/run-driver.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

/** So many bytes that volumes of 1 MiB end among the rows, and among the views. */
const ROWS = `
  CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT, size REAL);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  INSERT INTO t SELECT i, 'CREATE VIEW; ' || printf('%040d', i), iif(i % 4000 = 0, 9e999, i) FROM n;
  INSERT INTO t VALUES (0, hex(zeroblob(60000)), 9007199254740994);
  CREATE INDEX by_state ON t(state);
  CREATE TRIGGER keep AFTER DELETE ON t BEGIN SELECT 1; END;
`;
const view = (index: number): string =>
  `CREATE VIEW v${index} AS SELECT '${"x".repeat(80_000)}' AS x${index % 3 === 0 ? " -- the last word\n" : ""};`;

it("the manifest says where the parts of a dump in several volumes begin, and where semicolons are missing", async () => {
  const database = await createDatabase(
    ROWS + Array.from({ length: 31 }, (_, index) => view(index)).join("\n"),
  );
  const dump = await dumpOf(database.id);
  const manifest = await manifestOf((await backUp(database)).backupId);

  const starts = ["PRAGMA", "\nCREATE INDEX", "\nCREATE TRIGGER", "\nCREATE VIEW"].map((line) => {
    const at = dump.indexOf(line);
    return line.startsWith("\n") ? at + 1 : at;
  });
  const ends = [...starts.slice(1), dump.length];
  expect(manifest.sections).toEqual(
    ["tables", "indexes", "triggers", "views"].map((kind, index) => {
      const offset = starts[index] ?? 0;
      return { kind, offset, bytes: (ends[index] ?? 0) - offset };
    }),
  );

  // Behind each comment and its line feed; the last view ends with the dump.
  const comments = [...dump.matchAll(/ -- the last word;\n?/g)].map((match) => match.index + match[0].length);
  expect(comments).toHaveLength(11);
  expect(comments.at(-1)).toBe(dump.length);
  expect(manifest.missingSemicolons).toEqual(comments);

  const volumeEnds = manifest.volumes.map((_, index) =>
    manifest.volumes.slice(0, index + 1).reduce((sum, { dumpBytes }) => sum + (dumpBytes ?? 0), 0),
  );
  expect(volumeEnds.some((end) => end < (starts[1] ?? 0))).toBe(true);
  expect(volumeEnds.some((end) => end > (starts[3] ?? 0) && end < dump.length)).toBe(true);

  expect(manifest.dump.statements).toBe(2 + 20_001 + 1 + 1 + 31);
  expect(manifest.hazards.filter(({ kind }) => kind !== "commented-semicolon")).toMatchObject([
    { kind: "oversize", table: "t", count: 1 },
    { kind: "infinity", table: "t", count: 5 },
  ]);
});
