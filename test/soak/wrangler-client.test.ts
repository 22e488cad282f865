import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { pathOf } from "../kit/programs.ts";
import { runWrangler, startWranglerDev, type WranglerDev } from "../../scripts/wrangler-dev.ts";

// The emulator's judge is the client that Cloudflare ships: what it cannot do with the emulator is wrong here.

const folder = mkdtempSync(join(tmpdir(), "d1-nightly-wrangler-"));
let emulator: WranglerDev;

beforeAll(async () => {
  emulator = await startWranglerDev({ config: "emulator/wrangler.jsonc", persistTo: join(folder, "state") });
});

afterAll(async () => {
  await emulator.kill();
  rmSync(folder, { recursive: true });
});

/** Well-behaved: parents before children, no statement too long, nothing that D1's dump alters. */
const SQL = `
  CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, born REAL);
  CREATE TABLE books (id INTEGER PRIMARY KEY AUTOINCREMENT, author INTEGER NOT NULL REFERENCES authors(id), title TEXT, cover BLOB,
    shout TEXT GENERATED ALWAYS AS (upper(title)) VIRTUAL);
  CREATE INDEX books_of_author ON books(author);
  CREATE VIEW titles AS SELECT title FROM books;
  CREATE TRIGGER tidy AFTER DELETE ON authors BEGIN DELETE FROM books WHERE author = old.id; END;
  INSERT INTO authors VALUES (1, 'Ursula K. Le Guin', 1929.5), (2, 'Flann O''Brien', NULL);
  INSERT INTO books (author, title, cover) VALUES (1, 'The Dispossessed', x'00ff10'), (2, 'At Swim
Two; Birds 🕊', NULL), (2, '', zeroblob(100));
`;

const answer = z.object({ result: z.array(z.object({ results: z.unknown() })) });

async function post(path: string, body: unknown): Promise<unknown> {
  const response = await fetch(`${emulator.url}${path}`, {
    method: "POST",
    headers: { Authorization: "Bearer any", "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.ok).toBe(true);
  return response.json();
}

async function create(name: string, sql = ""): Promise<string> {
  return z.object({ uuid: z.string() }).parse(await post("/_emulator/databases", { name, sql })).uuid;
}

async function rows(uuid: string, sql: string): Promise<unknown> {
  const result = await post(`/client/v4/accounts/emulated-account/d1/database/${uuid}/query`, { sql });
  return answer.parse(result).result[0]?.results;
}

const wrangler = (...args: string[]): Promise<string> =>
  runWrangler(
    args,
    {
      CLOUDFLARE_API_BASE_URL: `${emulator.url}/client/v4`,
      CLOUDFLARE_API_TOKEN: "any-token",
      CLOUDFLARE_ACCOUNT_ID: "emulated-account",
      WRANGLER_LOG_PATH: join(folder, "logs"),
    },
    folder,
  );

describe("real wrangler", () => {
  it("exports a database and executes the dump into another, which is then equal", async () => {
    const source = await create("library", SQL);
    const target = await create("library-restored");
    const file = join(folder, "library.sql");
    await wrangler("d1", "export", "library", "--remote", "--output", file, "--skip-confirmation");
    expect(readFileSync(file, "utf8")).toMatch(/^PRAGMA defer_foreign_keys=TRUE;\n/);
    await wrangler("d1", "execute", "library-restored", "--remote", "--file", file, "--yes");
    const schema =
      "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '_cf_%' ORDER BY name";
    for (const sql of [
      schema,
      "SELECT * FROM authors",
      "SELECT * FROM books",
      "SELECT * FROM titles",
      "SELECT * FROM sqlite_sequence",
    ]) {
      const wanted = await rows(source, sql);
      expect(wanted).not.toEqual([]);
      expect(await rows(target, sql)).toEqual(wanted);
    }
  }, 120_000);

  it("exports virtual tables for the sqlite3 program, which loads them", async () => {
    await create(
      "searchable",
      "CREATE VIRTUAL TABLE search USING fts5(a); INSERT INTO search VALUES ('needle'), ('hay'); CREATE TABLE exact (n); INSERT INTO exact VALUES (9007199254740993)",
    );
    const file = join(folder, "searchable.sql");
    const options = ["--output", file, "--skip-confirmation", "--compatibility", "sqlite3_cli_only"];
    await wrangler("d1", "export", "searchable", "--remote", ...options);
    // A connection sees a virtual table only when it has opened the database anew.
    const restored = join(folder, "searchable.db");
    const sqlite3 = (input: string): string =>
      execFileSync(pathOf("sqlite3"), ["-init", "/dev/null", "-bail", restored], { input, encoding: "utf8" });
    expect(sqlite3(readFileSync(file, "utf8"))).toBe("");
    const found = sqlite3("SELECT rowid, a FROM search('needle'); SELECT n FROM exact;");
    expect(found.split("\n")).toEqual(["1|needle", "9007199254740993", ""]);
  }, 120_000);

  it("exports while the export takes its time, polling", async () => {
    const uuid = await create("slow", SQL);
    await fetch(`${emulator.url}/_emulator/databases/${uuid}/faults`, {
      method: "PUT",
      body: JSON.stringify([{ on: "export.start", fault: "slow", value: 3_000 }]),
    });
    const file = join(folder, "slow.sql");
    await wrangler("d1", "export", "slow", "--remote", "--output", file, "--skip-confirmation");
    expect(readFileSync(file, "utf8")).toContain("Flann O''Brien");
  }, 120_000);

  it("is told what is wrong with an import that D1 would refuse", async () => {
    await create("refused");
    const file = join(folder, "refused.sql");
    writeFileSync(
      file,
      'CREATE TABLE child (p REFERENCES parent(id));\nINSERT INTO "child" ("p") VALUES(1);\nCREATE TABLE parent (id INTEGER PRIMARY KEY);\n',
    );
    await expect(wrangler("d1", "execute", "refused", "--remote", "--file", file, "--yes")).rejects.toThrow(
      /no such table: main\.parent/,
    );
  }, 120_000);

  it("lists the databases and runs a command", async () => {
    expect(await wrangler("d1", "list", "--json")).toContain('"name": "library"');
    const output = await wrangler(
      "d1",
      "execute",
      "library",
      "--remote",
      "--json",
      "--command",
      "SELECT count(*) AS n FROM books",
    );
    expect(output).toMatch(/"n": 3/);
  }, 120_000);

  it("applies the catalogue's migrations by the binding's name, as npm run deploy does", async () => {
    const output = await wrangler(
      "d1",
      "migrations",
      "apply",
      "CATALOG",
      "--remote",
      "-c",
      resolve("wrangler.jsonc"),
    );
    expect(output).toContain("0001_catalog.sql");
    const tables = await wrangler(
      "d1",
      "execute",
      "d1-nightly-catalog",
      "--remote",
      "--json",
      "--command",
      "SELECT name FROM sqlite_master",
    );
    expect(tables).toContain('"backups_newest"');
  }, 120_000);

  it("is refused with an unknown database's name", async () => {
    await expect(
      wrangler("d1", "export", "no-such-database", "--remote", "--output", join(folder, "x.sql")),
    ).rejects.toThrow(/no-such-database/);
  }, 120_000);
});
