import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, EmulatedAccount, LocalWorker } from "../../scripts/real-backups.ts";
import type { Policy } from "../../src/core/policy/policy.ts";
import { askEmulator, askFile, type Contents, contentsOf, execute } from "../e2e/database-contents.ts";
import { commandsOf, type Ran, runScript, toolbox } from "../e2e/restore/guide-runner.ts";

// RESTORE.md's commands, run as they are printed, with the tools that they name and no others.

const COMPRESSIONS = ["gzip", "zstd", "none"] as const;
const ENCRYPTIONS = ["plain", "encrypted"] as const;
type Encryption = (typeof ENCRYPTIONS)[number];

const HERE = [1, 2, 3, 4];
const INTO_D1 = [...HERE, 5];

/** Rows of 8 KiB, 2.7 MiB of dump, in a database whose name no shell likes. */
const LONG = `
  CREATE TABLE pages (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL);
  WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 340)
    INSERT INTO pages SELECT n, 'It''s page ' || n || '; the one',
      replace(hex(zeroblob(512)), '00', printf('%08x', n * 2654435761 % 4294967296)) || replace(hex(zeroblob(256)), '00', printf('%016x', n * 40503)) FROM numbers;
  CREATE INDEX pages_by_title ON pages (title);`;

/** What D1's dumps make of it neither sqlite3 nor D1 takes as it is. */
const AWKWARD = String.raw`
  CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT REFERENCES parent(code), note TEXT DEFAULT "none");
  CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT NOT NULL);
  CREATE UNIQUE INDEX parent_by_code ON parent(code) -- what the foreign key needs; it comes after the rows
  ;
  CREATE TABLE "it's ""one"" [x] $HOME \y wow! größe" ("a column" TEXT, [b] BLOB, c REAL, d TEXT AS (upper("a column")) STORED);
  CREATE TABLE exact (n INTEGER) STRICT -- a table's comment
  ;
  CREATE TABLE log (id INTEGER, what TEXT);
  INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'deleted'); DELETE FROM parent WHERE id = 3;
  INSERT INTO child (code) VALUES ('a'), ('b'), ('a'), (NULL); DELETE FROM child WHERE id = 4;
  INSERT INTO "it's ""one"" [x] $HOME \y wow! größe" ("a column", b, c) VALUES
    ('INSERT INTO "log" VALUES(1);' || char(10) || 'CREATE VIEW none AS SELECT 1;', x'00ff', 1e999),
    ('CRLF' || char(13, 10) || 'O''Hara 🕊', zeroblob(3), -0.5), ('', NULL, NULL);
  INSERT INTO exact VALUES (9007199254740991), (-1);
  CREATE VIEW first_one AS SELECT 1 AS x -- it's the first; comment
  ;
  CREATE VIEW second AS SELECT ';' AS x, "text" AS y
  -- CREATE VIEW third AS
  -- the second comment
  ;
  CREATE TRIGGER into_first INSTEAD OF INSERT ON first_one BEGIN INSERT INTO log VALUES (new.x, 'into a view'); END;
  CREATE TRIGGER logs AFTER INSERT ON child BEGIN
INSERT INTO "log" ("id","what") VALUES(new.id,'a line that begins as rows do');
  END;
  ANALYZE;
  CREATE INDEX log_by_id ON log (id) -- a comment that ends with the statement`;

/** NUL characters in text, which make sqlite3's shell stop. */
const NUL = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
  INSERT INTO notes VALUES (1, 'a' || char(0) || 'b'), (2, 'line' || char(10, 0) || char(0)), (3, char(0)), (4, 'none');`;

/** What only D1 refuses, or only the sqlite3 program misreads. */
const LOST = `
  CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO gone VALUES (7);
  CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
  CREATE TABLE kept (id INTEGER PRIMARY KEY, code TEXT); CREATE UNIQUE INDEX kept_by_code ON kept (code);
  CREATE TABLE child (a INTEGER REFERENCES parent, b TEXT REFERENCES parent (code), c TEXT REFERENCES kept (code));
  INSERT INTO kept VALUES (1, 'x'), (2, NULL); INSERT INTO child VALUES (NULL, NULL, NULL);
  DROP TABLE gone; DROP TABLE parent; DROP INDEX kept_by_code;
  CREATE VIEW half AS SELECT id\n/\n2 AS h,\r\n'two\r\nlines' AS t FROM kept;`;

/** What Debian 12's sqlite3 does not know, and D1 does. */
const NEWER = `
  CREATE TABLE t (a INTEGER CHECK (octet_length(a) < 100), b TEXT, c TEXT AS (concat_ws('-', a, b)) STORED);
  INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'); CREATE VIEW v AS SELECT group_concat(b, ',' ORDER BY a) AS l FROM t;
  CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'a' || old.a); END;`;

const root = mkdtempSync(join(tmpdir(), "d1-nightly-guide-"));
const keys = {
  encrypted: await generateX25519Identity(),
  first: await generateX25519Identity(),
  wrong: await generateX25519Identity(),
};
const path = toolbox(join(root, "tools"));
const pathWithPerl = toolbox(join(root, "tools-and-perl"), ["perl"]);
let account: EmulatedAccount;
let workers: Record<Encryption, LocalWorker>;
let shop: Database;
let long: Database;
let awkward: Database;
let notes: Database;
let lost: Database;
let newer: Database;
let copies = 0;
const running: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  const keep = <T extends { close(): Promise<void> }>(started: T): T => {
    running.push(started);
    return started;
  };
  const VOLUME_BYTES = String(1024 * 1024);
  const recipients = [await identityToRecipient(keys.first), await identityToRecipient(keys.encrypted)];
  const AGE_RECIPIENTS = recipients.join(",");
  account = keep(await EmulatedAccount.start(root));
  workers = {
    plain: keep(await LocalWorker.start(join(root, "plain"), account, { VOLUME_BYTES })),
    encrypted: keep(
      await LocalWorker.start(join(root, "encrypted"), account, { VOLUME_BYTES, AGE_RECIPIENTS }),
    ),
  };
  shop = { id: (await account.samples())["shop"] ?? "", name: "shop" };
  long = await account.create(`-it's a "long" $one; größe!`, LONG);
  awkward = await account.create("awkward", AWKWARD);
  notes = await account.create("notes", NUL);
  lost = await account.create("lost", LOST);
  newer = await account.create("newer", NEWER);
});

afterAll(async () => {
  await Promise.all(running.map((each) => each.close()));
  rmSync(root, { recursive: true });
});

/** The folder of a new backup, with the key in it when it needs one. */
async function backUp(
  database: Database,
  encryption: Encryption,
  policy: Policy,
): Promise<{ folder: string; volumes: string[] }> {
  const { folder, manifest } = await workers[encryption].backUp(database, policy, join(root, "backups"));
  if (encryption === "encrypted") writeFileSync(join(folder, "key.txt"), `${keys.encrypted}\n`);
  return { folder, volumes: manifest.volumes.map(({ name }) => name) };
}

/** The same files again, for commands that must find nothing of another run. */
function copyOf(folder: string): string {
  const copy = join(root, `copy-${++copies}`);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function restore(folder: string, steps: readonly number[] = HERE): Promise<Ran> {
  return runScript(folder, commandsOf(folder, steps), { PATH: path });
}

const original = (database: Database): Promise<Contents> => contentsOf(askEmulator(account, database));
const restored = (folder: string): Promise<Contents> => contentsOf(askFile(join(folder, "restored.db")));

/** Of a semicolon that D1 wrote into the comment at the end of a view, nothing is known in a lean backup. */
function withoutSemicolons({ schema, tables }: Contents): Contents {
  return { schema: schema.map((sql) => sql.replace(/;$/, "")), tables };
}

function isLoaded(folder: string): boolean {
  const file = join(folder, "restored.db");
  return existsSync(file) && statSync(file).size > 0;
}

function flipAByte(file: string): void {
  const bytes = readFileSync(file);
  const middle = bytes.length >> 1;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  writeFileSync(file, bytes);
}

describe.each(ENCRYPTIONS)("%s backups", (encryption) => {
  describe.each(COMPRESSIONS)("compressed with %s", (compression) => {
    it.each<[string, () => Database, number]>([
      ["the shop, whose trigger stands before its view", () => shop, 1],
      ["a database of several volumes", () => long, 3],
    ])("restore %s", async (_, database, volumes) => {
      const backup = await backUp(database(), encryption, { compression });
      expect(backup.volumes).toHaveLength(volumes);
      const ran = await restore(backup.folder);
      expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: "" });
      expect(ran.stdout).toContain("Every table has as many rows as the backup.");
      expect(await restored(backup.folder)).toEqual(await original(database()));
    });

    it("fail when a volume is damaged or gone, whichever step is the first to see it", async () => {
      const { folder, volumes } = await backUp(long, encryption, { compression });
      const last = volumes.at(-1) ?? "";
      const damaged = copyOf(folder);
      flipAByte(join(damaged, last));
      expect((await restore(damaged)).stdout).toContain(`${last}: FAILED`);
      expect((await restore(damaged)).code).not.toBe(0);
      // Only what is neither compressed nor encrypted has no checksum of its own.
      const unchecked = compression === "none" && encryption === "plain";
      if (!unchecked) expect((await restore(damaged, [2, 3, 4])).code).not.toBe(0);
      const short = copyOf(folder);
      rmSync(join(short, last));
      for (const steps of [HERE, [2, 3, 4]]) expect((await restore(short, steps)).code).not.toBe(0);
      expect(isLoaded(damaged) || isLoaded(short)).toBe(false);
    });
  });
});

describe("an encrypted backup", () => {
  it("is restored by the key of each recipient, and by no other", async () => {
    const { folder } = await backUp(shop, "encrypted", { compression: "gzip" });
    const [first, wrong] = [copyOf(folder), copyOf(folder)];
    writeFileSync(join(first, "key.txt"), `${keys.first}\n`);
    expect(await restore(first)).toMatchObject({ code: 0 });
    writeFileSync(join(wrong, "key.txt"), `${keys.wrong}\n`);
    const ran = await restore(wrong);
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toContain("no identity matched any of the recipients");
    expect(isLoaded(wrong)).toBe(false);
  });

  it.each(COMPRESSIONS)(
    "fails when one volume in the middle cannot be decrypted, and says so to who pastes (%s)",
    async (compression) => {
      const { folder, volumes } = await backUp(long, "encrypted", { compression });
      const foreign = new Encrypter();
      foreign.addRecipient(await identityToRecipient(keys.wrong));
      writeFileSync(join(folder, volumes[1] ?? ""), await foreign.encrypt("foreign"));
      const script = `${commandsOf(folder, [2])}echo "the shell is alive"\n`;
      expect((await runScript(folder, script, { PATH: path })).code).not.toBe(0);
      const pasted = await runScript(folder, script, { PATH: path }, []);
      expect(pasted.stderr).toContain("dump.sql is incomplete: stop here.");
      expect(pasted.stdout).toContain("the shell is alive");
    },
  );
});

describe("the commands", () => {
  it("restore what neither sqlite3 nor D1 takes in the order of D1's dump", async () => {
    const { folder } = await backUp(awkward, "plain", { compression: "gzip" });
    const ran = await restore(folder);
    expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: "" });
    expect(await restored(folder)).toEqual(await original(awkward));
  });

  it.each(["shop", "awkward"] as const)("restore %s from a lean backup, by D1's own words", async (which) => {
    const database = { shop, awkward }[which];
    const { folder } = await backUp(database, "plain", { lean: true });
    const ran = await restore(folder);
    expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: "" });
    expect(withoutSemicolons(await restored(folder))).toEqual(withoutSemicolons(await original(database)));
  });

  it.each<Policy>([{ compression: "zstd" }, { lean: true }])(
    "restore text with NUL characters (%o)",
    async (policy) => {
      const { folder } = await backUp(notes, "plain", policy);
      const ran = await runScript(folder, commandsOf(folder, HERE), { PATH: pathWithPerl });
      expect(ran, ran.stderr).toMatchObject({ code: 0, stderr: "" });
      expect(await restored(folder)).toEqual(await original(notes));
    },
  );

  it("name the tables that differ, and fail", async () => {
    const { folder } = await backUp(shop, "plain", { compression: "gzip" });
    expect(await restore(folder)).toMatchObject({ code: 0 });
    execute(join(folder, "restored.db"), "DELETE FROM orders WHERE id = 7; DROP TRIGGER place_order");
    const ran = await restore(folder, [4]);
    expect(ran.stdout).toBe("orders|900|899\n");
    expect(ran.code).not.toBe(0);
    rmSync(join(folder, "restored.db"));
    const missing = await restore(folder, [4]);
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toContain("no such table");
  });

  it("leave a database alone that is there already, and nothing half loaded behind", async () => {
    const { folder } = await backUp(shop, "plain", { compression: "none" });
    execute(join(folder, "restored.db"), "CREATE TABLE mine (a)");
    const before = readFileSync(join(folder, "restored.db"));
    const ran = await restore(folder);
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toContain("restored.db already exists");
    expect(readFileSync(join(folder, "restored.db"))).toEqual(before);

    const broken = copyOf(folder);
    rmSync(join(broken, "restored.db"));
    const loading = commandsOf(broken, [3]);
    const spoilt = `echo 'CREATE VIEW v AS SELECT FROM;' >> views.sql\n${loading}`;
    const failed = await runScript(broken, commandsOf(broken, [1, 2]) + spoilt, { PATH: path });
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toContain("syntax error");
    expect(isLoaded(broken)).toBe(false);
  });
});

describe("back into D1, by real wrangler", () => {
  it.each<[string, Policy, readonly number[]]>([
    ["shop", { compression: "gzip" }, INTO_D1],
    ["awkward", { compression: "zstd" }, INTO_D1],
    ["awkward", { lean: true }, INTO_D1],
    ["notes", { compression: "none" }, INTO_D1],
    ["lost", { compression: "gzip" }, INTO_D1],
    ["lost", { lean: true }, INTO_D1],
    ["newer", { lean: true }, [1, 2, 5]],
  ])("%s comes back whole (%o, steps %j)", async (name, policy, steps) => {
    const database = { shop, awkward, notes, lost, newer }[name];
    if (database === undefined) throw new Error(name);
    const { folder } = await backUp(database, "plain", policy);
    const nodeModules = resolve("node_modules");
    symlinkSync(nodeModules, join(folder, "node_modules"));
    const node = [join(nodeModules, ".bin"), dirname(process.execPath), process.env["PATH"] ?? ""];
    const newName = `restored-${name}`;
    const unique = `${newName}-${++copies}`;
    const script = commandsOf(folder, steps).replaceAll(newName, unique);
    const ran = await runScript(folder, script, {
      PATH: [path, ...node].join(delimiter),
      ...account.environment,
      CI: "1",
      NO_COLOR: "1",
      WRANGLER_SEND_METRICS: "false",
    });
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    if (policy.lean !== true) expect(ran.stdout).toMatch(/"results": \[\],/);
    const imported = await account.find(unique);
    expect(withoutSemicolons(await original(imported))).toEqual(withoutSemicolons(await original(database)));
  });
});
