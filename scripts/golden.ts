import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { FORMAT_VERSION } from "../src/core/backup/manifest.ts";
import type { Policy } from "../src/core/policy/policy.ts";
import { type Database, EmulatedAccount, LocalWorker } from "./real-backups.ts";

// Makes the golden backups: folders as this release writes them, kept so that every later release can be held
// against them. Each is made once: those that exist stay as they are, and a new one is made by this release.

/** A database, and the questions whose answers tell whether it is itself. */
interface Source {
  readonly sql: string;
  readonly questions: readonly string[];
}

const SCHEMA =
  "SELECT type, name, tbl_name, rtrim(sql, '; ' || char(10)) FROM sqlite_master WHERE name NOT GLOB '_cf_*' AND sql IS NOT NULL ORDER BY type, name;";

/** Text, blobs and numbers of every kind. */
const VALUES: Source = {
  sql: `
    CREATE TABLE "it's a table" (id INTEGER PRIMARY KEY, "a column" TEXT, amount REAL, raw BLOB, length INTEGER AS (length("a column")) STORED);
    INSERT INTO "it's a table" (id, "a column", amount, raw) VALUES
      (1, 'O''Hara said "no"; and left', 0.5, x'00ff10'), (2, 'two' || char(10) || 'lines', -1929.25, zeroblob(3)),
      (3, 'größe 京都 🕊', NULL, NULL), (9007199254740991, '', 4.0, x'');
    CREATE INDEX by_amount ON "it's a table" (amount) WHERE amount > 0;`,
  questions: [
    SCHEMA,
    `SELECT id, quote("a column"), typeof(amount), quote(amount), quote(raw), length FROM "it's a table" ORDER BY id;`,
  ],
};

/** A child before its parent, a trigger before its view, and semicolons inside comments. */
const ORDER: Source = {
  sql: `
    CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer TEXT NOT NULL REFERENCES customers (code), gift TEXT DEFAULT "none");
    CREATE TABLE customers (id INTEGER PRIMARY KEY, code TEXT NOT NULL, name TEXT);
    CREATE UNIQUE INDEX customers_by_code ON customers (code);
    CREATE TABLE audit (what TEXT);
    INSERT INTO customers VALUES (1, 'ada', 'Ada Lindqvist'), (2, 'bo', NULL);
    INSERT INTO orders (customer) VALUES ('bo'), ('ada'), ('bo'); DELETE FROM orders WHERE id = 3;
    CREATE VIEW new_orders AS SELECT customer FROM orders -- those of today
    ;
    CREATE VIEW all_orders AS SELECT * FROM orders -- it's all; of them
    ;
    CREATE TRIGGER place_order INSTEAD OF INSERT ON new_orders BEGIN INSERT INTO orders (customer) VALUES (new.customer); END;
    CREATE TRIGGER audit_orders AFTER INSERT ON orders BEGIN INSERT INTO audit VALUES ('order ' || new.id); END;`,
  questions: [
    SCHEMA,
    "SELECT * FROM customers WHERE name IS NOT NULL ORDER BY id;",
    "SELECT id, customer, gift FROM orders ORDER BY id;",
    "SELECT count(*) FROM audit;",
    "SELECT name, seq FROM sqlite_sequence;",
  ],
};

/** 2.5 MB of text that compresses to nearly nothing. */
const VOLUMES: Source = {
  sql: `
    CREATE TABLE pages (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
      INSERT INTO pages SELECT i, replace(hex(zeroblob(6000)), '00', printf('%06d ', i)) FROM n;
    CREATE VIEW page_sizes AS SELECT id, length(body) AS size FROM pages;`,
  questions: [
    SCHEMA,
    "SELECT count(*), sum(body = replace(hex(zeroblob(6000)), '00', printf('%06d ', id))), min(id), max(id) FROM pages;",
  ],
};

/** Two tables of a database, and what can be asked of them alone. */
const PART: Source = {
  sql: ORDER.sql,
  questions: [
    "SELECT type, name, sql FROM sqlite_master WHERE name IN ('customers', 'audit') ORDER BY name;",
    "SELECT id, code, coalesce(name, '') FROM customers ORDER BY id;",
    "SELECT count(*) FROM audit;",
  ],
};

const PLAIN: readonly [string, Source, Policy][] = [
  ["none", VALUES, { compression: "none" }],
  ["gzip", ORDER, { compression: "gzip" }],
  ["zstd", VOLUMES, { compression: "zstd" }],
  ["lean", ORDER, { lean: true }],
];
const ENCRYPTED: readonly [string, Source, Policy][] = [
  ["gzip-age", ORDER, { compression: "gzip" }],
  ["zstd-age", VOLUMES, { compression: "zstd" }],
  // No hash of the dump, and the statements of what is left out in a file of their own.
  ["partial-age", PART, { compression: "gzip", exportOptions: { tables: ["customers", "audit"] } }],
];

const target = join(import.meta.dirname, "..", "test", "golden", `v${FORMAT_VERSION}`);
const missing = ([name]: readonly [string, Source, Policy]): boolean => !existsSync(join(target, name));
const scratch = mkdtempSync(join(tmpdir(), "d1-nightly-golden-"));
const running: { close(): Promise<void> }[] = [];
try {
  await makeAll();
} finally {
  await Promise.all(running.map((each) => each.close()));
  rmSync(scratch, { recursive: true });
}

async function makeAll(): Promise<void> {
  const account = await EmulatedAccount.start(scratch);
  running.push(account);
  const key = await generateX25519Identity();
  const keyFile = `# A test key: it protects nothing, and lies beside what it opens.\n${key}\n`;
  const other = await generateX25519Identity();
  const VOLUME_BYTES = String(1024 * 1024);
  const AGE_RECIPIENTS = [await identityToRecipient(key), await identityToRecipient(other)].join(",");
  for (const [backups, variables, keyText] of [
    [PLAIN, { VOLUME_BYTES }, null],
    [ENCRYPTED, { VOLUME_BYTES, AGE_RECIPIENTS }, keyFile],
  ] as const) {
    const wanted = backups.filter(missing);
    if (wanted.length === 0) continue;
    const worker = await LocalWorker.start(join(scratch, `worker-${running.length}`), account, variables);
    running.push(worker);
    for (const [name, source, policy] of wanted) {
      const database = await account.create(`golden-${name}`, source.sql);
      const { folder } = await worker.backUp(database, policy, scratch);
      const golden = join(target, name);
      mkdirSync(golden, { recursive: true });
      cpSync(folder, golden, { recursive: true });
      if (keyText !== null) writeFileSync(join(golden, "key.txt"), keyText);
      writeFileSync(join(golden, "content.sql"), `${source.questions.join("\n")}\n`);
      writeFileSync(join(golden, "expected.txt"), await answers(account, database, source.questions));
      const bytes = readdirSync(golden).reduce((sum, file) => sum + statSync(join(golden, file)).size, 0);
      console.log(`${golden}: ${bytes} bytes`);
    }
  }
}

/** What the database that was backed up answers, as `sqlite3 -list` prints it. */
async function answers(
  account: EmulatedAccount,
  database: Database,
  questions: readonly string[],
): Promise<string> {
  let text = "";
  for (const question of questions) {
    const rows = await account.rows(database, question);
    text += rows.map((row) => `${row.map((value) => value ?? "").join("|")}\n`).join("");
  }
  return text;
}
