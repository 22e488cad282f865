import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, describe, expect, it } from "vitest";
import { releaseNumber } from "../../../src/core/dump/sqlite-features.ts";
import { pathOf } from "../../kit/programs.ts";
import type { Contents } from "../database-contents.ts";
import { commandsOf, runScript, toolbox } from "./guide-runner.ts";
import {
  backUp,
  contents,
  databaseOf,
  dumpOf,
  type Kind,
  restoredContents,
  schemaOf,
} from "./made-backup.ts";
import { ODD_SCHEMAS } from "./odd-schemas.ts";

// RESTORE.md's commands for schemas that D1, sqlite3 or a shell reads otherwise than they were meant, run as printed.

const root = mkdtempSync(join(tmpdir(), "d1-nightly-odd-"));
const PATH = toolbox(join(root, "tools"), ["perl"]);
afterAll(() => rmSync(root, { recursive: true }));

const keyFile = join(root, "key.txt");
const identity = await generateX25519Identity();
writeFileSync(keyFile, `${identity}\n`);
const key = { file: keyFile, recipient: await identityToRecipient(identity) };
const KINDS: readonly [string, Kind][] = [
  ["full", {}],
  ["lean", { lean: true, compression: "none" }],
  ["encrypted", { key, compression: "zstd" }],
];

const program = execFileSync(pathOf("sqlite3"), ["-version"]).toString().split(" ", 1).join("");
const isTooOld = (needs: string): boolean => releaseNumber(program) < releaseNumber(needs);

const QUOTED_OR_COMMENT = /('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[^]*?\*\/)/;

/** A restore may put a line that the sqlite3 program would take for an end behind the one before; nowhere in quotes. */
function withoutThoseBreaks({ schema, tables }: Contents): Contents {
  const joined = (sql: string): string => sql.replace(/\n([ \t]*(?:\/|go)[ \t\r]*(?:\n|$))/gi, " $1");
  const pieces = (sql: string): string[] => sql.split(QUOTED_OR_COMMENT);
  return {
    schema: schema.map((sql) =>
      pieces(sql)
        .map((piece, i) => (i % 2 === 0 ? joined(piece) : piece))
        .join(""),
    ),
    tables,
  };
}

/** Loads d1.sql as D1 does: by SQLite itself, foreign keys enforced, in one transaction. */
async function intoD1(folder: string): Promise<DatabaseSync> {
  const commands = commandsOf(folder, [5]).split("npx ")[0] ?? "";
  const made = await runScript(folder, commands, { PATH });
  expect(made, made.stderr).toMatchObject({ code: 0, stderr: "" });
  const database = new DatabaseSync(":memory:", { enableDoubleQuotedStringLiterals: true });
  database.exec("BEGIN");
  database.exec(readFileSync(join(folder, "d1.sql"), "utf8"));
  database.exec("COMMIT");
  return database;
}

/** Hazards that say nothing of the schema. */
const OF_VALUES = new Set(["nul", "infinity", "not-scanned"]);

describe.each(ODD_SCHEMAS)("$what", ({ sql, more = [], told = [], needs = "0.0.0" }) => {
  const database = databaseOf(sql);
  for (const statement of more) database.exec(statement);
  const schema = schemaOf(database);
  const dump = dumpOf(database);

  it.each(KINDS)("is told, and comes back, from a backup that is %s", async (_, kind) => {
    const { folder, manifest } = backUp(root, dump, schema, kind);
    const kinds = manifest.hazards.map((hazard) => hazard.kind).filter((each) => !OF_VALUES.has(each));
    expect(kinds.toSorted()).toEqual([...told].toSorted());
    const ran = await runScript(folder, commandsOf(folder, [1, 2, 3, 4]), { PATH });
    if (isTooOld(needs)) {
      expect(ran.code).not.toBe(0);
      expect(ran.stderr).toContain(`older than ${needs}`);
    } else {
      expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: "" });
      expect(withoutThoseBreaks(await restoredContents(folder))).toEqual(
        withoutThoseBreaks(await contents(database)),
      );
    }
    expect(await contents(await intoD1(folder))).toEqual(await contents(database));
  });
});
