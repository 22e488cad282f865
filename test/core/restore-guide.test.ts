import { expect, it } from "vitest";
import { restoreGuide } from "../../src/core/restore-guide.ts";

it.each([
  ["shop", "gunzip -c shop.0001.sql.gz | sqlite3 restored.db"],
  ["-dash", "gunzip -c ./-dash.0001.sql.gz | sqlite3 restored.db"],
  ["two words", "gunzip -c 'two words.0001.sql.gz' | sqlite3 restored.db"],
  ["it's", String.raw`gunzip -c 'it'\''s.0001.sql.gz' | sqlite3 restored.db`],
])("the guide's commands are safe in a shell for a database named %s", (name, command) => {
  const hash = "a".repeat(64);
  const volume = {
    name: `${name}.0001.sql.gz`,
    bytes: 1,
    sha256: hash,
    dumpBytes: 1,
    dumpSha256: hash,
    firstStatement: 1,
    statements: 1,
  };
  const guide = restoreGuide({
    formatVersion: 1,
    backupId: "b",
    runId: "r",
    tool: { name: "d1-nightly", version: "0" },
    database: { id: "d", name, accountId: "a", fileSize: null },
    atBookmark: "b",
    startedAt: "2026-11-21T03:00:00.000Z",
    trigger: "manual",
    label: null,
    exportOptions: { noData: false, noSchema: false, tables: [] },
    compression: "gzip",
    encryption: null,
    dump: { bytes: 1, sha256: hash, statements: 1 },
    volumes: [volume],
    tables: [{ name: 'a"b', rows: 3 }],
    notExported: [],
    hazards: [],
    timings: { exportMs: 0, copyMs: 0, verifyMs: 0 },
    previous: null,
  });
  expect(guide).toContain(`    ${command}\n`);
  expect(guide).toContain(`SELECT count(*) FROM "a""b"`);
});
