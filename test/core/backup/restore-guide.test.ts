import { describe, expect, it } from "vitest";
import type { UnsealedManifest } from "../../../src/core/backup/manifest.ts";
import { restoreGuide } from "../../../src/core/backup/restore-guide.ts";
import type { Compression } from "../../../src/core/bucket/object-keys.ts";
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
      `[ "$(wc -c < dump.sql)" -eq 70 ] || { echo 'dump.sql is not whole: do not go on.' >&2; false; }`,
    );
  });
});

describe("the dump is put in order before it is loaded", () => {
  const dump = { bytes: 100, sha256: HASH, statements: 9 };
  type Sections = NonNullable<UnsealedManifest["sections"]>;
  const tablesAndIndexes: Sections = [
    { kind: "tables", offset: 0, bytes: 40 },
    { kind: "indexes", offset: 40, bytes: 10 },
  ];
  const sections: Sections = [
    ...tablesAndIndexes,
    { kind: "triggers", offset: 50, bytes: 20 },
    { kind: "views", offset: 70, bytes: 30 },
  ];
  const order = (change: Partial<UnsealedManifest>): string[] => {
    const lines = commands(3, { dump, sections, ...change });
    const end = lines.findIndex((line) => line.startsWith("}"));
    return lines.slice(1, end < 0 ? 0 : end).map((line) => line.trim());
  };

  it.each<[string, Partial<UnsealedManifest>, string[]]>([
    ["only tables", { sections: [{ kind: "tables", offset: 0, bytes: 100 }] }, []],
    ["no triggers", { sections: [...tablesAndIndexes, { kind: "views", offset: 50, bytes: 50 }] }, []],
    ["no views", { sections: [...tablesAndIndexes, { kind: "triggers", offset: 50, bytes: 50 }] }, []],
    [
      "triggers and views",
      {},
      ["head -c 50 dump.sql", "tail -c +71 dump.sql", "echo", "tail -c +51 dump.sql | head -c 20"],
    ],
    [
      "a comment that has swallowed a semicolon between two views, and one at the end",
      { missingSemicolons: [85, 100] },
      [
        "head -c 50 dump.sql",
        "tail -c +71 dump.sql | head -c 13",
        "echo",
        "echo ';'",
        "tail -c +86 dump.sql | head -c 14",
        "echo",
        "echo ';'",
        "tail -c +51 dump.sql | head -c 20",
      ],
    ],
    [
      "a comment that has swallowed the semicolon of the last index",
      { missingSemicolons: [50] },
      [
        "head -c 48 dump.sql",
        "echo",
        "echo ';'",
        "tail -c +71 dump.sql",
        "echo",
        "tail -c +51 dump.sql | head -c 20",
      ],
    ],
  ])("with %s", (_, change, lines) => {
    expect(order(change)).toEqual(lines);
  });

  it("and its size is checked, what was put in included", () => {
    expect(commands(3, { dump, sections, missingSemicolons: [85, 100] })).toContain(
      `[ "$(wc -c < ordered.sql)" -eq 103 ] || { echo 'ordered.sql is not whole: do not go on.' >&2; false; }`,
    );
  });

  it("by the lines' first words when nothing was noted", () => {
    const lines = commands(3, { dump, sections: null, missingSemicolons: null, lean: true });
    expect(lines[0]).toMatch(/tr -d .* -eq 100 \] \|\| perl -pi/);
    expect(lines.join("\n")).toMatch(/TRIGGER\|VIEW[^]*> ordered\.sql\n[^]*\.read ordered\.sql/);
  });

  it("and read as it is when it is in order", () => {
    const lines = commands(3, {});
    expect(lines.join("\n")).toContain("'.read dump.sql' COMMIT");
    expect(lines.join("\n")).not.toContain("ordered.sql");
  });
});

const NUL = { kind: "nul", table: "notes", count: 2, detail: "Rows with a NUL character in text." };
const OVERSIZE = { kind: "oversize", table: "files", count: 1, detail: "Long statements." };

it("takes NUL characters out of what sqlite3 and D1 read, when there are any", () => {
  const all = (change: Partial<UnsealedManifest>): string =>
    [...commands(3, change), ...commands(5, change)].join("\n");
  expect(all({ hazards: [NUL] }).match(/perl -pe "s\/\\0\/'\|\|char\(0\)\|\|'\/g"/g)).toHaveLength(2);
  expect(all({ hazards: [OVERSIZE] })).not.toContain("perl");
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

  it("not at all when nothing was counted, neither here nor in D1", () => {
    const tables = [{ name: "t", rows: null }];
    expect(commands(4, { tables })).toEqual([]);
    expect(commands(5, { tables }).join("\n")).not.toContain("compare.sql");
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

  it("takes rows from the part of the dump that holds tables, so that no trigger's body is taken for one", () => {
    const sections: UnsealedManifest["sections"] = [
      { kind: "tables", offset: 0, bytes: 20 },
      { kind: "triggers", offset: 20, bytes: 11 },
    ];
    expect(commands(5, { sections }).join("\n")).toMatch(/ {2}head -c 20 dump\.sql \| LC_ALL=C sed -nE/);
    const lean = commands(5, { sections: null, lean: true }).join("\n");
    expect(lean).toContain("/^CREATE (UNIQUE INDEX|INDEX|TRIGGER|VIEW) /q");
  });

  it("names the tables that D1 will refuse", () => {
    expect(restoreGuide({ ...unsealed, hazards: [OVERSIZE] })).toMatch(/D1 will refuse.*files/);
    expect(restoreGuide({ ...unsealed, hazards: [NUL] })).not.toContain("D1 will refuse");
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

describe("SQL whose lines look like the beginnings of statements", () => {
  const hazards = [{ kind: "ambiguous-lines", table: "t", count: 1, detail: "Its lines mislead." }];

  it("is loaded as D1 wrote it when offsets are not known, and put in order by words otherwise", () => {
    const lean = { lean: true, sections: null, missingSemicolons: null };
    expect(commands(3, lean).join("\n")).toContain("ordered.sql");
    const asItIs = commands(3, { ...lean, hazards }).join("\n");
    expect(asItIs).toContain(".read dump.sql");
    expect(asItIs).not.toContain("ordered.sql");
  });

  it("is warned of where rows are picked out by lines", () => {
    expect(restoreGuide({ ...unsealed, hazards })).toContain("Look at `d1.sql` before you load it");
    expect(restoreGuide(unsealed)).not.toContain("Look at `d1.sql` before you load it");
  });
});
