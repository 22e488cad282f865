import { describe, expect, it } from "vitest";
import type { UnsealedManifest } from "../../../src/core/backup/manifest.ts";
import { restoreGuide } from "../../../src/core/guide/restore-guide.ts";
import type { Compression } from "../../../src/core/bucket/object-keys.ts";
import type { Loading } from "../../../src/core/dump/loading.ts";
import type { LostParent } from "../../../src/core/dump/foreign-keys.ts";
import { EVERYTHING } from "../../../src/core/d1/export-options.ts";
import { HASH, unsealed, volume } from "../kit/sample-manifest.ts";

/** The lines of the indented blocks below a numbered heading. */
function commands(step: number, change: Partial<UnsealedManifest>): string[] {
  const guide = restoreGuide({ ...unsealed, ...change });
  const [, part = ""] = guide.split(`\n## ${step}. `);
  const [own = ""] = part.split("\n## ");
  return own
    .split("\n")
    .filter((line) => line.startsWith("    "))
    .map((line) => line.slice(4));
}

const named = (name: string, suffix: string) => ({
  database: { ...unsealed.database, name },
  volumes: [{ ...volume, name: `${name}.0001${suffix}` }],
});

describe("dump.sql is made of the volumes", () => {
  it.each([
    ["shop", "gunzip -c shop.0001.sql.gz > dump.sql"],
    ["-dash", "gunzip -c ./-dash.0001.sql.gz > dump.sql"],
    ["two words", "gunzip -c 'two words.0001.sql.gz' > dump.sql"],
    ["it's", String.raw`gunzip -c 'it'\''s.0001.sql.gz' > dump.sql`],
    ["$(reboot)", "gunzip -c '$(reboot).0001.sql.gz' > dump.sql"],
    ["größe", "gunzip -c 'größe.0001.sql.gz' > dump.sql"],
  ])("by a command that is safe in a shell for a database named %s", (name, command) => {
    expect(commands(2, named(name, ".sql.gz"))[0]).toBe(command);
  });

  const recipients = { format: "age-encryption.org/v1", recipients: ["age1one", "age1two"] };
  it.each<[Compression, boolean, string]>([
    ["gzip", false, "gunzip -c a.0001 a.0002 > dump.sql"],
    ["zstd", false, "zstd -dc a.0001 a.0002 > dump.sql"],
    ["none", false, "cat a.0001 a.0002 > dump.sql"],
    [
      "gzip",
      true,
      'for file in a.0001 a.0002; do age -d -i key.txt "$file" || break; done | gunzip -c > dump.sql',
    ],
    [
      "zstd",
      true,
      'for file in a.0001 a.0002; do age -d -i key.txt "$file" || break; done | zstd -dc > dump.sql',
    ],
    ["none", true, 'for file in a.0001 a.0002; do age -d -i key.txt "$file" || break; done > dump.sql'],
  ])("compressed with %s, encrypted: %s", (compression, encrypted, command) => {
    const volumes = ["a.0001", "a.0002"].map((name) => ({ ...volume, name }));
    const encryption = encrypted ? recipients : null;
    expect(commands(2, { compression, encryption, volumes })[0]).toBe(command);
    const guide = restoreGuide({ ...unsealed, compression, encryption, volumes });
    expect(guide.includes("- age1one\n- age1two\n")).toBe(encrypted);
  });

  it("and held against its hash, or its size when no hash of the whole is known", () => {
    expect(commands(2, {})[1]).toBe(`echo '${HASH}  dump.sql' | sha256sum -c`);
    expect(commands(2, { dump: { bytes: 70, sha256: null, statements: 3 } })[1]).toBe(
      `[ "$(wc -c < dump.sql)" -eq 70 ] || { echo 'dump.sql is incomplete: stop here.' >&2; false; }`,
    );
  });
});

const LOADING: Loading = { features: [], misreadByShell: "nothing", lostParents: [], virtualTables: [] };
const NUL = { kind: "nul", table: "notes", count: 2, detail: "Rows with a NUL character in text." };
const OVERSIZE = { kind: "oversize", table: "files", count: 1, detail: "Long statements." };
const all = (step: number, change: Partial<UnsealedManifest>): string => commands(step, change).join("\n");

describe("the dump is cut into its parts", () => {
  it("which are read in an order that sqlite3 takes, full and lean alike", () => {
    const order = ["tables", "rows", "indexes", "views", "triggers"].map((name) => `'.read ${name}.sql'`);
    const lean = { lean: true, sections: null, missingSemicolons: null };
    for (const change of [{}, lean]) expect(all(3, change)).toContain(`BEGIN ${order.join(" ")} COMMIT`);
  });

  it.each([
    ["nothing", ["tables.sql", "rows.sql"]],
    ["schema", ["tables-shell.sql", "rows.sql"]],
    ["schema and rows", ["tables-shell.sql", "rows-shell.sql"]],
  ] as const)("and read from files of their own where sqlite3 misreads %s", (misreadByShell, files) => {
    const loading = { ...LOADING, misreadByShell };
    for (const file of files) expect(all(3, { loading })).toContain(`'.read ${file}'`);
    expect(all(2, { loading }).includes("-shell.sql")).toBe(misreadByShell !== "nothing");
    expect(all(5, { loading })).not.toContain("-shell.sql");
  });

  it("with a table that makes sqlite_sequence, under a name that no other has", () => {
    expect(all(2, {})).toContain("CREATE TABLE d1_nightly_sequence (");
    const tables = [{ name: "D1_nightly_sequence", rows: 0 }];
    expect(all(2, { tables })).toContain("CREATE TABLE d1_nightly_sequence_ (");
  });

  it("without the NUL characters that sqlite3 and D1 cannot read, when there are any or nobody has looked", () => {
    expect(all(2, { hazards: [NUL] })).toContain("perl -pi -e");
    expect(all(2, { lean: true })).toContain("perl -pi -e");
    expect(all(2, { hazards: [OVERSIZE] })).not.toContain("perl");
  });
});

describe("the sqlite3 program", () => {
  it("never reads the settings of its user", () => {
    const loading = { ...LOADING, virtualTables: [{ name: "search", triggers: ["g"] }] };
    const notExported = [{ name: "search", kind: "table", sql: "", reason: "virtual" }];
    for (const exportOptions of [EVERYTHING, { ...EVERYTHING, noSchema: true }]) {
      const guide = restoreGuide({ ...unsealed, loading, notExported, exportOptions });
      const calls = guide.split("\n").filter((line) => /^ {4}.*\bsqlite3 -/.test(line));
      expect(calls.length).toBeGreaterThan(4);
      for (const call of calls) expect(call.match(/sqlite3 (?!-batch -init \/dev\/null)-/)).toBeNull();
    }
  });

  it("is named with its version where the schema asks for one, and looked at first", () => {
    const features = [
      { feature: "concat()", since: "3.44.0", usedBy: ["v", "w"] },
      { feature: "-> or ->>", since: "3.38.0", usedBy: ["t"] },
    ];
    const guide = restoreGuide({ ...unsealed, loading: { ...LOADING, features } });
    expect(guide).toContain("needs sqlite3 3.44.0 or later");
    expect(guide).toContain("- concat(), since 3.44.0: v and 1 more\n- -> or ->>, since 3.38.0: t\n");
    expect(commands(3, { loading: { ...LOADING, features } })[0]).toContain(">= 3044000");
    expect(commands(3, { loading: LOADING })[0]).toMatch(/^if \[ -s restored\.db/);
  });
});

describe("rows are compared", () => {
  it.each([
    ["orders", "('orders', 3, (SELECT count(*) FROM [orders])))"],
    ["two words", "('two words', 3, (SELECT count(*) FROM [two words])))"],
    ["it's", "('it''s', 3, (SELECT count(*) FROM [it's])))"],
    ['a"b', String.raw`('a\"b', 3, (SELECT count(*) FROM [a\"b])))`],
    ["a]b", String.raw`('a]b', 3, (SELECT count(*) FROM \"a]b\")))`],
    ["$(reboot)`", "('\\$(reboot)\\`', 3, (SELECT count(*) FROM [\\$(reboot)\\`])))"],
    ["a\\b", String.raw`('a\\b', 3, (SELECT count(*) FROM [a\\b])))`],
    ["wow!", `('wow"'!'"', 3, (SELECT count(*) FROM [wow"'!'"])))`],
  ])("for a table named %s", (name, line) => {
    expect(commands(4, { tables: [{ name, rows: 3 }] })).toContain(`  ${line}`);
  });

  it("only where they were counted, and only where a line of text can hold the name", () => {
    const tables = [
      { name: "counted", rows: 1 },
      { name: "not counted", rows: null },
      { name: "line\nbreak", rows: 2 },
    ];
    expect(commands(4, { tables }).filter((line) => line.includes("count(*)"))).toHaveLength(1);
    expect(restoreGuide({ ...unsealed, tables })).toContain("Left out: 1 table with a control character");
  });

  it("in questions that D1 takes and a command's argument can hold, however many tables there are", () => {
    const tables = Array.from({ length: 1_800 }, (_, index) => ({
      name: `${"é".repeat(400)} ${index}`,
      rows: index,
    }));
    const lines = all(4, { tables });
    const questions = lines.split("printf '%s\\n' ").slice(1);
    expect(questions.length).toBeGreaterThan(9);
    for (const question of questions) expect(Buffer.byteLength(question)).toBeLessThan(100_000);
    expect(lines.match(/count\(\*\)/g)).toHaveLength(1_800);
    expect(all(5, { tables })).toContain("for file in compare-001.sql compare-002.sql ");
    const short = Array.from({ length: 1_800 }, (_, index) => ({ name: `t${index}`, rows: index }));
    expect(all(4, { tables: short }).match(/printf/g)).toHaveLength(9);
  });

  it("not at all when nothing was counted, neither here nor in D1", () => {
    const tables = [{ name: "t", rows: null }];
    expect(commands(4, { tables })).toEqual([]);
    expect(commands(5, { tables }).join("\n")).not.toContain("compare-");
  });
});

describe("the way back into D1", () => {
  it.each([
    ["shop", "restored-shop"],
    ["-dash", "restored--dash"],
    ["it's two; words", "restored-it-s-two-words"],
    ["日本", "restored"],
  ])("gives the new database of %s a plain name", (name, plain) => {
    const lines = commands(5, named(name, ".sql.gz"));
    expect(lines).toContain(`npx --yes wrangler d1 create ${plain} --update-config=false`);
    expect(lines).toContain(`npx --yes wrangler d1 execute ${plain} --remote --yes --file d1.sql`);
  });

  it("takes D1's own statements, and no sqlite3", () => {
    const lines = all(5, {});
    expect(lines).not.toContain("sqlite3");
    expect(lines.match(/(?:tables|indexes|rows|views|triggers)\.sql/g)).toEqual(
      ["tables", "indexes", "rows", "views", "triggers"].map((name) => `${name}.sql`),
    );
  });

  it("leaves rows out that are too long for D1, and names their tables", () => {
    expect(all(5, {})).toContain('length($0) > 100000 { print > "too-long.sql"; next }');
    expect(restoreGuide({ ...unsealed, hazards: [OVERSIZE] })).toMatch(/D1 cannot import every row.*files/);
    expect(restoreGuide({ ...unsealed, hazards: [NUL] })).not.toContain("D1 cannot import every row");
  });

  it.each<[string, Partial<LostParent>, string[]]>([
    [
      "a table that is gone",
      { columns: ["b"] },
      [`'CREATE TABLE "it'\\''s" ("b", UNIQUE ("b"));'`, `'DROP TABLE "it'\\''s";'`],
    ],
    [
      "the primary key of a table that is gone",
      { columns: 2 },
      [
        `'CREATE TABLE "it'\\''s" ("key_1", "key_2", PRIMARY KEY ("key_1", "key_2"));'`,
        `'DROP TABLE "it'\\''s";'`,
      ],
    ],
    [
      "columns that nothing makes unique",
      { columns: ["b", "c"], parentExists: true },
      [
        `'CREATE UNIQUE INDEX "d1_nightly_key_1" ON "it'\\''s" ("b", "c");'`,
        `'DROP INDEX "d1_nightly_key_1";'`,
      ],
    ],
    ["a primary key that a table lacks", { columns: 1, parentExists: true }, []],
    ["a table whose name is more than a line", { parent: "a\nb" }, []],
  ])("makes a placeholder for %s, and drops it", (_, change, wanted) => {
    const lost = { child: "c", parent: "it's", columns: ["b"], parentExists: false, ...change };
    const lines = commands(5, { loading: { ...LOADING, lostParents: [lost] } });
    const printed = lines.filter((line) => /printf .*(?:CREATE|DROP)/.test(line));
    expect(printed.map((line) => line.replace(/^ *printf '%s\\n' | &&$/g, ""))).toEqual(wanted);
  });
});

it("tells of every hazard, and of what was not exported", () => {
  const search = { name: "search", kind: "table", sql: "CREATE VIRTUAL TABLE …", reason: "virtual table" };
  const guide = restoreGuide({ ...unsealed, hazards: [NUL, OVERSIZE], notExported: [search] });
  expect(guide).toContain("- notes: Rows with a NUL character in text. (2)\n");
  expect(guide).toContain("- files: Long statements. (1)\n");
  expect(guide).toContain("- table search: virtual table\n");
});

it("lets no name or text of the backup become a line of its own", () => {
  const evil = "x\n\n    reboot\r    reboot\u2028    reboot";
  const guide = restoreGuide({
    ...unsealed,
    backupId: evil,
    database: { ...unsealed.database, name: evil },
    tables: [{ name: evil, rows: 1 }],
    hazards: [{ ...OVERSIZE, table: evil, detail: evil }],
    notExported: [{ name: evil, kind: evil, sql: evil, reason: evil }],
    encryption: { format: "age", recipients: [evil] },
  });
  expect(guide.split(/[\n\r\u2028]/).filter((line) => /^\s*reboot/.test(line))).toEqual([]);
});

it("says of virtual tables that are not in it how to do without, and how to make them anew", () => {
  const loading = { ...LOADING, virtualTables: [{ name: "search", triggers: ["it's", "two"] }] };
  const notExported = [{ name: "search", kind: "table", sql: "", reason: "not named" }];
  const guide = restoreGuide({ ...unsealed, loading, notExported });
  expect(guide).toMatch(/Virtual tables are missing: search\.\*\* .*manifest\.json/);
  expect(guide).toContain(String.raw`restored.db 'DROP TRIGGER "it'\''s"'`);
  const encryption = { format: "age", recipients: ["age1a"] };
  const encrypted = restoreGuide({ ...unsealed, loading, notExported, encryption });
  expect(encrypted).toMatch(/Virtual tables are missing: search\.\*\* .*`not-exported\.sql`/);
  expect(restoreGuide({ ...unsealed, notExported })).not.toContain("Virtual tables");
});
