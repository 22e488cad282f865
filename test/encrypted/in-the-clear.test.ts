import { Decrypter } from "age-encryption";
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import type { Policy } from "../../src/core/policy/policy.ts";
import { createDatabase } from "../worker/kit/emulated-account.ts";
import { backUp, call, driveAccount, holdTheClock, manifestOf, setPolicy } from "../worker/kit/run-driver.ts";
import { blamedIn, verify } from "../worker/kit/verification-driver.ts";
import { expectLog } from "../worker/kit/worker-log.ts";

// What whoever reads the bucket, the catalogue or the API comes to know of an encrypted backup.

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

/** Stands in every value, and in all SQL that is not a name. */
const SECRET = "s3cret";
const STATEMENTS = [
  `CREATE TABLE staff (id INTEGER PRIMARY KEY, pin TEXT DEFAULT '${SECRET}' CHECK (pin <> '${SECRET}0') /* ${SECRET} */)`,
  `CREATE INDEX by_pin ON staff (pin) WHERE pin <> '${SECRET}'`,
  `CREATE VIEW pins AS SELECT pin FROM staff WHERE pin = '${SECRET}' -- ${SECRET}`,
  `CREATE TRIGGER logs AFTER INSERT ON staff BEGIN INSERT INTO log VALUES ('${SECRET}'); END`,
  `CREATE VIRTUAL TABLE search USING fts5(a, tokenize = "porter ascii", prefix = '2')`,
];
/** With every hazard that a dump can have. */
const EVERYTHING = `
  CREATE TABLE gone (id INTEGER PRIMARY KEY);
  CREATE TABLE log (what TEXT DEFAULT '${SECRET}', n, owner REFERENCES gone (id)) -- ${SECRET}
  ;
  CREATE VIEW latest AS SELECT what FROM log WHERE n
/
  2 > 1 AND concat(what, '${SECRET}') <> '' -- ${SECRET}
  ;
  CREATE TABLE counters (id INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE counters;
  INSERT INTO log VALUES
    ('${SECRET} 274913', 9007199254740993, NULL), ('${SECRET}' || char(0), 9e999, NULL),
    ('${SECRET}' || char(10) || '\\n', -9e999, NULL), ('${SECRET}' || hex(zeroblob(60000)), 1.0, NULL);
  DROP TABLE gone;
  ${STATEMENTS.join("\n;\n")};`;

async function bucketKeys(): Promise<string[]> {
  const { objects, truncated } = await env.BACKUPS.list();
  expect(truncated).toBe(false);
  return objects.map(({ key }) => key);
}

async function bytesOf(key: string): Promise<Uint8Array<ArrayBuffer>> {
  const object = await env.BACKUPS.get(key);
  if (object === null) throw new Error(`${key} is not in the bucket`);
  return new Uint8Array(await object.arrayBuffer());
}

/** All that anybody may read without a key: where it stands, and its text. */
async function readable(databaseId: string, run: { id: string; backupId: string | null }) {
  const texts = new Map<string, string>();
  for (const key of await bucketKeys()) texts.set(key, new TextDecoder().decode(await bytesOf(key)));
  for (const table of ["runs", "backups", "databases"]) {
    const { results } = await env.CATALOG.prepare(`SELECT * FROM ${table}`).all();
    texts.set(`catalogue: ${table}`, JSON.stringify(results));
  }
  for (const path of [
    "/api/runs",
    `/api/runs/${run.id}`,
    "/api/backups",
    `/api/backups/${run.backupId}`,
    `/api/databases/${databaseId}`,
    "/api/health",
  ])
    texts.set(path, await (await call(path)).text());
  return texts;
}

/** A backup of it, everything around it brought up to date, and what can be read of that. */
async function backedUp(policy: Policy) {
  const database = await createDatabase(EVERYTHING);
  await setPolicy(database.id, policy);
  const run = await backUp(database, { examine: true });
  expect(run).toMatchObject({ state: "complete" });
  await driveAccount();
  const folder = `d1/${run.backupId?.replace(/\.(\w+)$/, "/$1") ?? ""}/`;
  return { database, run, folder, texts: await readable(database.id, run) };
}

const NAMED = { tables: ["log", "latest"] };

async function decrypted(key: string): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity((env.TEST_IDENTITIES ?? "").split(",")[0] ?? "");
  const plain = await decrypter.decrypt(await bytesOf(key));
  return new TextDecoder().decode(key.endsWith(".gz.age") ? gunzipSync(plain) : plain);
}

async function hash(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}

describe.each<[string, Policy]>([
  ["compressed", {}],
  ["stored as it comes", { compression: "none" }],
  ["lean", { lean: true }],
])("an encrypted backup of named tables, %s,", (_, policy) => {
  it("tells nothing of rows and SQL to whoever has no key", async () => {
    const { database, texts } = await backedUp({ ...policy, exportOptions: NAMED });
    const object = env.DATABASE_BACKUPS.getByName(database.id);
    const kept = await runInDurableObject(object, (_object, { storage }) => [...storage.kv.list()]);
    texts.set("the database's own object", JSON.stringify(kept));
    const telling = [...texts].filter(([, text]) => text.includes(SECRET));
    expect(telling.map(([where]) => where)).toEqual([]);
    expect([...texts.keys()]).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/\/manifest\.json$/),
        expect.stringMatching(/RESTORE\.md$/),
      ]),
    );
  });

  it("tells no hash by which a guess of a value could be tested", async () => {
    const { run, folder, texts } = await backedUp({ ...policy, exportOptions: NAMED });
    const { volumes } = await manifestOf(run.backupId);
    const dumps = await Promise.all(volumes.map(({ name }) => decrypted(folder + name)));
    expect(dumps[0]).toContain(SECRET);
    const guesses = new Set(await Promise.all([...dumps, dumps.join(""), ...STATEMENTS].map(hash)));
    const told = [...texts].flatMap(([where, text]) =>
      [...text.matchAll(/[0-9a-f]{64}/g)].map(([each]) => [where, each] as const),
    );
    expect(told.length).toBeGreaterThan(5);
    expect(told.filter(([, each]) => guesses.has(each))).toEqual([]);
  });
});

/** Where in a manifest something stands that looks like a hash: `files.0.sha256` is told as `files.*.sha256`. */
function hashesIn(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value === "string") return /^[0-9a-f]{16,}$/i.test(value) ? [path.join(".")] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    hashesIn(inner, [...path, Array.isArray(value) ? "*" : key]),
  );
}

it("the manifest of an encrypted backup holds hashes of what is stored, and no other", async () => {
  const { database } = await backedUp({ exportOptions: NAMED });
  const { backupId } = await backUp(database, { force: true, examine: true });
  expect([...new Set(hashesIn(await manifestOf(backupId)))].toSorted()).toEqual([
    "checksum",
    "files.*.sha256",
    "previous.manifestSha256",
    "volumes.*.sha256",
  ]);
});

describe("what an encrypted backup leaves out", () => {
  it("can be made anew by who has the key", async () => {
    const { folder, run } = await backedUp({ exportOptions: NAMED });
    const statements = await decrypted(`${folder}not-exported.sql.age`);
    for (const statement of STATEMENTS) expect(statements).toContain(statement);
    const { notExported } = await manifestOf(run.backupId);
    expect(notExported).toContainEqual(
      expect.objectContaining({ kind: "table", name: "staff", sql: "", reason: expect.any(String) }),
    );
  });

  it("is a file that the manifest names, that can be fetched, and of which damage is found", async () => {
    expectLog("backup-damaged");
    const { folder, run } = await backedUp({ exportOptions: NAMED });
    const [name, id] = ["not-exported.sql.age", run.backupId ?? ""];
    const bytes = await bytesOf(folder + name);
    const fetched = await call(`/api/backups/${id}/files/${name}`);
    expect(new Uint8Array(await fetched.arrayBuffer())).toEqual(bytes);
    expect(await verify(id)).toMatchObject({ sound: true });
    await env.BACKUPS.put(folder + name, `${SECRET}${"x".repeat(bytes.length - SECRET.length)}`);
    expect(blamedIn(await verify(id))).toEqual({ [name]: "stored-object-altered" });
    await env.BACKUPS.delete(folder + name);
    expect(blamedIn(await verify(id))).toEqual({ [name]: "stored-object-missing" });
  });

  it("is no file when nothing is left out", async () => {
    const database = await createDatabase("CREATE TABLE t (a);");
    const { backupId } = await backUp(database);
    const { files } = await manifestOf(backupId);
    expect(files.map(({ name }) => name)).toEqual(["RUN.json", "SHA256SUMS", "RESTORE.md"]);
  });
});

describe("an encrypted backup of a database that was not written to", () => {
  const changed = [{ on: "download", fault: "change" }];

  it.each([
    ["equals the one before when its dump does", [], null],
    ["is found to differ in a single byte", changed, "another SHA-256"],
  ])("%s, with no hash of the dump in the bucket", async (_, faults, difference) => {
    const database = await createDatabase(`CREATE TABLE t (a); INSERT INTO t VALUES ('7 and more');`);
    await backUp(database, {});
    await backUp(database, { force: true }, faults);
    const { unchangedOff } = z
      .object({ unchangedOff: z.object({ detail: z.string() }).nullable() })
      .parse(await (await call(`/api/databases/${database.id}`)).json());
    expect(unchangedOff?.detail ?? null).toEqual(
      difference === null ? null : expect.stringContaining(difference),
    );
  });
});
