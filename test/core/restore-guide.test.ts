import { expect, it } from "vitest";
import { restoreGuide } from "../../src/core/restore-guide.ts";
import { unsealed, volume } from "./sample-manifest.ts";

it.each([
  ["shop", "gunzip -c shop.0001.sql.gz | sqlite3 restored.db"],
  ["-dash", "gunzip -c ./-dash.0001.sql.gz | sqlite3 restored.db"],
  ["two words", "gunzip -c 'two words.0001.sql.gz' | sqlite3 restored.db"],
  ["it's", String.raw`gunzip -c 'it'\''s.0001.sql.gz' | sqlite3 restored.db`],
])("the guide's commands are safe in a shell for a database named %s", (name, command) => {
  const guide = restoreGuide({
    ...unsealed,
    database: { ...unsealed.database, name },
    volumes: [{ ...volume, name: `${name}.0001.sql.gz` }],
    tables: [{ name: 'a"b', rows: 3 }],
  });
  expect(guide).toContain(`    ${command}\n`);
  expect(guide).toContain(`SELECT count(*) FROM "a""b"`);
});
