import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { lostParents } from "../../../src/core/dump/foreign-keys.ts";

/** Each with SQLite's own word on it: a row that refers to nothing is refused when its foreign key leads nowhere. */
const CHILD = "CREATE TABLE child (a, b, c";
const PARENT = "CREATE TABLE parent (x INTEGER, y TEXT, z";

it.each<[schema: string]>([
  [`${PARENT} PRIMARY KEY); ${CHILD} REFERENCES parent)`],
  [`${PARENT}, PRIMARY KEY (x, y)); ${CHILD} REFERENCES parent)`],
  [`${PARENT}, PRIMARY KEY (x, y)); ${CHILD}, FOREIGN KEY (a, b) REFERENCES Parent)`],
  [`${PARENT}, PRIMARY KEY (x, y)); ${CHILD}, FOREIGN KEY (a, b) REFERENCES parent (Y, X))`],
  [`${PARENT} UNIQUE); ${CHILD} REFERENCES parent (z))`],
  [`${PARENT} UNIQUE); ${CHILD} REFERENCES parent (y))`],
  [`${PARENT} UNIQUE); ${CHILD} REFERENCES parent)`],
  [`${PARENT}); ${CHILD} REFERENCES parent)`],
  [
    `${PARENT}, CHECK (y IN ('UNIQUE (z)')), UNIQUE (z DESC)); ${CHILD} REFERENCES "parent" ("z") ON DELETE CASCADE)`,
  ],
  [`${PARENT}); CREATE UNIQUE INDEX i ON parent (z); ${CHILD} REFERENCES parent (z))`],
  [`${PARENT}); CREATE UNIQUE INDEX i ON [parent] ("z" ASC); ${CHILD} REFERENCES parent ([z]))`],
  [`${PARENT}); CREATE UNIQUE INDEX i ON parent (z) WHERE x > 1; ${CHILD} REFERENCES parent (z))`],
  [`${PARENT}); CREATE UNIQUE INDEX i ON parent (lower(z)); ${CHILD} REFERENCES parent (z))`],
  [`${PARENT}); CREATE UNIQUE INDEX i ON parent (z, x); ${CHILD} REFERENCES parent (z))`],
  [`${PARENT}); CREATE INDEX i ON parent (z); ${CHILD} REFERENCES parent (z))`],
  [`${CHILD} REFERENCES gone (z))`],
  [`${CHILD}, CONSTRAINT k FOREIGN KEY (a) REFERENCES gone DEFERRABLE INITIALLY DEFERRED)`],
  [`CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree); ${CHILD})`],
  [`${CHILD}, d VARCHAR(10) DEFAULT ('REFERENCES gone (z)'), "REFERENCES" -- REFERENCES gone\n)`],
  [
    `CREATE TABLE "a b" (k TEXT PRIMARY KEY) WITHOUT ROWID; ${CHILD} REFERENCES \`a b\`, d REFERENCES 'a b' (k))`,
  ],
  [`CREATE VIEW v AS SELECT 1 AS z; ${CHILD} REFERENCES v (z))`],
])("%s", (schema) => {
  const database = new DatabaseSync(":memory:", { enableForeignKeyConstraints: true });
  database.exec(schema);
  let refused = false;
  try {
    database.exec("INSERT INTO child DEFAULT VALUES");
  } catch {
    refused = true;
  }
  const rows = database.prepare("SELECT type, name, sql FROM sqlite_master").all();
  const entries = rows.map(({ type, name, sql }) => ({
    type: String(type),
    name: String(name),
    sql: sql === null ? null : String(sql),
  }));
  expect(lostParents(entries).map(({ child }) => child)).toEqual(refused ? ["child"] : []);
});
