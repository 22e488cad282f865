import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { commandsOf, runScript, toolbox } from "./guide-runner.ts";
import { backUp, contents, databaseOf, dumpOf, restoredContents, schemaOf } from "./made-backup.ts";

// What a user has set for himself changes neither what the commands do nor what they print.

const root = mkdtempSync(join(tmpdir(), "d1-nightly-settings-"));
const PATH = toolbox(join(root, "tools"), ["perl"]);
afterAll(() => rmSync(root, { recursive: true }));

// sqlite3 looks for ~/.sqliterc where the system says that home is; for this one, home is where HOME says.
const program = realpathSync(join(PATH, "sqlite3"));
rmSync(join(PATH, "sqlite3"));
writeFileSync(
  join(PATH, "sqlite3"),
  `#!/bin/sh\nif [ -e "$HOME/.sqliterc" ]; then exec ${program} -init "$HOME/.sqliterc" "$@"; fi\nexec ${program} "$@"\n`,
  { mode: 0o755 },
);

const SETTINGS_OF_SQLITE = [
  ".timer on",
  ".stats on",
  ".changes on",
  ".echo on",
  ".eqp on",
  ".mode box",
  ".headers on",
  ".nullvalue NULL",
  ".bail off",
  "PRAGMA foreign_keys = ON;",
  "SELECT 'hello';",
];
const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["GZIP", "-v"],
  ["LC_ALL", "C.UTF-8"],
  ["POSIXLY_CORRECT", "1"],
  ["PERL_UNICODE", "SDA"],
  ["PERL5OPT", "-Mutf8"],
  ["CDPATH", "/"],
  ["GREP_OPTIONS", "--color=always"],
  ["COLUMNS", "20"],
];

const database = databaseOf(
  `CREATE TABLE "größe" (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO "größe" VALUES (1, 'é' || char(0) || '京'), (2, NULL);
   CREATE TABLE child (a INTEGER REFERENCES "größe" (id)); INSERT INTO child VALUES (9);
   CREATE VIEW v AS SELECT 'ü' AS x;`,
);
const dump = dumpOf(database);

async function restoresUnder(
  env: Record<string, string>,
  prepare: (home: string) => void = () => {},
): Promise<void> {
  const { folder } = backUp(root, dump, schemaOf(database));
  prepare(folder);
  const steps = commandsOf(folder, [1, 2, 3, 4]);
  const ran = await runScript(folder, steps, { PATH, ...env });
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  expect(ran.stdout).toMatch(/OK\ndump\.sql: OK\nEvery table has as many rows as the backup\.\n$/);
  expect(await restoredContents(folder)).toEqual(await contents(database));
  const made = await runScript(folder, commandsOf(folder, [5]).split("npx ")[0] ?? "", { PATH, ...env });
  expect(made).toMatchObject({ code: 0, stdout: "", stderr: "" });
}

describe("the commands come to the same", () => {
  it.each(SETTINGS_OF_SQLITE)("with %s in ~/.sqliterc", (line) =>
    restoresUnder({}, (home) => writeFileSync(join(home, ".sqliterc"), `${line}\n`)),
  );

  it.each(ENVIRONMENT)("with %s=%s in the environment", (name, value) => restoresUnder({ [name]: value }));

  it("in a shell that does not overwrite files, with aliases of its own", async () => {
    const { folder } = backUp(root, dump, schemaOf(database));
    const setUp =
      "set -C\nalias cat='cat -n' sed='sed --posix' sqlite3='sqlite3 -box' awk='awk --version' head='head -v'\n";
    const steps = commandsOf(folder, [1, 2, 3, 4]);
    for (let turn = 0; turn < 2; turn++) {
      const ran = await runScript(folder, setUp + steps, { PATH });
      expect(ran).toMatchObject({ code: 0, stderr: "" });
      rmSync(join(folder, "restored.db"));
    }
  });
});
