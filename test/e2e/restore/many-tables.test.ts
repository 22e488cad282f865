import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { commandsOf, runScript, toolbox } from "./guide-runner.ts";
import { backUp, databaseOf, dumpOf, schemaOf } from "./made-backup.ts";

const root = mkdtempSync(join(tmpdir(), "d1-nightly-many-"));
const PATH = toolbox(join(root, "tools"));
afterAll(() => rmSync(root, { recursive: true }));

/** Stands in for npx wrangler d1: answers a question from restored.db, and does nothing else. */
const NPX = `#!/bin/sh
case "$*" in
  *" --command "*) for question; do :; done; exec ${realpathSync(join(PATH, "sqlite3"))} -bail restored.db "$question";;
esac
`;

it("1,800 tables are restored and compared, here and in D1", async () => {
  writeFileSync(join(PATH, "npx"), NPX, { mode: 0o755 });
  const name = (index: number): string => `"${"a table with a long name ".repeat(4)}${index}"`;
  const tables = Array.from({ length: 1_800 }, (_, index) => `CREATE TABLE ${name(index)} (a);`);
  const database = databaseOf(`${tables.join("\n")} INSERT INTO ${name(1799)} VALUES (1);`);
  const { folder } = backUp(root, dumpOf(database), schemaOf(database));
  const ran = await runScript(folder, commandsOf(folder, [1, 2, 3, 4, 5]), { PATH });
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  expect(ran.stdout).toMatch(/Every table has as many rows as the backup\.\n$/);

  writeFileSync(join(PATH, "npx"), "#!/bin/sh\nexit 3\n", { mode: 0o755 });
  const [compare = ""] = /^asked=.*\n.*$/m.exec(commandsOf(folder, [5])) ?? [];
  expect((await runScript(folder, compare, { PATH })).code).not.toBe(0);
});
