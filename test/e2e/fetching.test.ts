import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ADMIN_TOKEN, EmulatedAccount, LocalWorker } from "../../scripts/real-backups.ts";
import { pathOf } from "../kit/programs.ts";
import { rowsOf } from "./database-contents.ts";
import { commandsOf, type Ran, runScript, toolbox } from "./restore/guide-runner.ts";

// The commands of docs/fetching.md, run as they stand there against a Worker on this machine.

const root = mkdtempSync(join(tmpdir(), "d1-nightly-fetching-"));
let account: EmulatedAccount;
let worker: LocalWorker;
/** The backup as the bucket holds it. */
let stored: string;
let id: string;

beforeAll(async () => {
  account = await EmulatedAccount.start(root);
  worker = await LocalWorker.start(join(root, "worker"), account, { VOLUME_BYTES: String(1024 * 1024) });
  const database = await account.create(
    "shop",
    `CREATE TABLE pages (id INTEGER PRIMARY KEY, body TEXT);
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
       INSERT INTO pages SELECT i, hex(zeroblob(20000)) FROM n;`,
  );
  const backup = await worker.backUp(database, {}, join(root, "stored"));
  stored = backup.folder;
  id = backup.manifest.backupId;
  expect(backup.manifest.volumes.length).toBeGreaterThan(1);
});

afterAll(async () => {
  await Promise.all([worker?.close(), account?.close()]);
  rmSync(root, { recursive: true, force: true });
});

/** The first block of commands below a heading. */
function commandsBelow(heading: string): string {
  const [, below = ""] = readFileSync("docs/fetching.md", "utf8").split(`\n## ${heading}\n`);
  const commands = /^```sh\n([^`]+)^```$/m.exec(below)?.[1];
  if (commands === undefined) throw new Error(`docs/fetching.md has no commands below "${heading}"`);
  return commands;
}

/** What the document's commands do in a new folder. */
async function fetched(changes: Record<string, string> = {}): Promise<{ folder: string; ran: Ran }> {
  const work = mkdtempSync(join(root, "work-"));
  const PATH = ["curl", "jq", "sha256sum"].map((program) => dirname(pathOf(program))).join(delimiter);
  const environment = { PATH, URL: worker.url, ADMIN_TOKEN, ID: id, ...changes };
  const ran = await runScript(work, commandsBelow("Through the API"), environment, []);
  return { folder: join(work, id), ran };
}

it("the commands fetch every object of a backup, and check the volumes", async () => {
  const { folder, ran } = await fetched();
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  expect(ran.stdout).toMatch(/^(shop\.\d{4}\.sql\.gz: OK\n){2,}$/);
  expect(readdirSync(folder).toSorted()).toEqual(readdirSync(stored).toSorted());
  for (const name of readdirSync(stored))
    expect(readFileSync(join(folder, name)).equals(readFileSync(join(stored, name))), name).toBe(true);
});

it("what they fetch is restored by its own RESTORE.md", async () => {
  const { folder } = await fetched();
  const PATH = toolbox(join(root, "tools"));
  const restored = await runScript(folder, commandsOf(folder, [1, 2, 3, 4]), { PATH });
  expect(restored).toMatchObject({ code: 0, stderr: "" });
  expect(rowsOf(join(folder, "restored.db"), "SELECT count(*), sum(length(body)) FROM pages")).toEqual([
    [40, 40 * 40_000],
  ]);
});

it.each<[string, () => Record<string, string>]>([
  ["the token is a wrong one", () => ({ ADMIN_TOKEN: "a-token-of-nobody" })],
  ["there is no such backup", () => ({ ID: "shop.20200101T000000Z" })],
  ["one of the files cannot be fetched", () => ({ PATH: failingFor("RESTORE.md") })],
  [
    "a volume comes damaged",
    () => ({ PATH: failingFor("shop.0002.sql.gz", "echo damaged > shop.0002.sql.gz; exit 0") }),
  ],
])("they end with an error when %s", async (_, changes) => {
  expect((await fetched(changes())).ran.code).not.toBe(0);
});

/** A PATH on which curl does something else for one file. */
function failingFor(file: string, instead = "exit 22"): string {
  const folder = mkdtempSync(join(root, "curl-"));
  mkdirSync(folder, { recursive: true });
  const script = `#!/bin/sh\ncase "$*" in */${file}) ${instead};; esac\nexec "${pathOf("curl")}" "$@"\n`;
  writeFileSync(join(folder, "curl"), script, { mode: 0o755 });
  return [folder, ...["jq", "sha256sum"].map((program) => dirname(pathOf(program)))].join(delimiter);
}
