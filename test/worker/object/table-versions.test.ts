import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { sha256Of } from "../../../src/core/bucket/codecs.ts";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { KEY_PROOF_TABLES } from "../../../src/jobs/account/key-proofs.ts";
import { LEASE_TABLES } from "../../../src/jobs/limits/lease-table.ts";
import { MAINTENANCE_TABLES } from "../../../src/jobs/maintenance/maintenance-store.ts";
import { upgradeTables } from "../../../src/jobs/object/table-versions.ts";
import { ACCOUNT_OUTBOX_TABLES } from "../../../src/jobs/registry/account-outbox.ts";
import { REGISTRY_TABLES } from "../../../src/jobs/registry/database-registry.ts";
import { DUE_TABLES } from "../../../src/jobs/registry/due-queue.ts";
import { LISTING_TABLES } from "../../../src/jobs/registry/listing-store.ts";
import { VERIFICATION_TABLES } from "../../../src/jobs/verification/verification-store.ts";

/** Work on the SQLite of a new object, whose own tables are dropped first. */
async function withSql<T>(work: (storage: DurableObjectStorage) => T): Promise<T> {
  const stub = env.VERIFICATIONS.getByName(crypto.randomUUID());
  return runInDurableObject(stub, (_, { storage }) => work(storage));
}

function tables(sql: SqlStorage): string[] {
  const rows = sql.exec<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
  );
  return rows.toArray().map(({ name }) => name);
}

const ONE = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";
const TWO = "ALTER TABLE note ADD COLUMN at INTEGER NOT NULL DEFAULT 7";

describe("a store's tables", () => {
  it("of the release before get what this one adds, and keep their rows", async () => {
    const rows = await withSql(({ sql }) => {
      upgradeTables(sql, "notes", [ONE]);
      sql.exec("INSERT INTO note (text) VALUES ('kept')");
      upgradeTables(sql, "notes", [ONE, TWO]);
      return sql.exec("SELECT text, at FROM note").toArray();
    });
    expect(rows).toEqual([{ text: "kept", at: 7 }]);
  });

  it("are left alone when they are up to date, or newer than this release", async () => {
    const rows = await withSql(({ sql }) => {
      for (let opened = 0; opened < 3; opened++) upgradeTables(sql, "notes", [ONE, TWO]);
      upgradeTables(sql, "notes", [ONE]);
      sql.exec("INSERT INTO note (text) VALUES ('again')");
      upgradeTables(sql, "notes", [ONE, TWO]);
      return sql.exec("SELECT text, at FROM note").toArray();
    });
    expect(rows).toEqual([{ text: "again", at: 7 }]);
  });

  it("are all made or none, when a step fails", async () => {
    const made = await withSql((storage) => {
      const broken = () => upgradeTables(storage.sql, "notes", [ONE, "CREATE TABLE oops ("]);
      expect(() => storage.transactionSync(broken)).toThrow(/incomplete/);
      return tables(storage.sql);
    });
    expect(made).not.toContain("note");
  });

  it("of several stores in one object count for themselves", async () => {
    const made = await withSql(({ sql }) => {
      upgradeTables(sql, "notes", [ONE]);
      upgradeTables(sql, "letters", ["CREATE TABLE letter (id INTEGER PRIMARY KEY)"]);
      return tables(sql);
    });
    expect(made).toEqual(expect.arrayContaining(["letter", "note", "schema_version"]));
  });
});

const STORES: [name: string, steps: readonly string[], released: readonly string[]][] = [
  ["leases", LEASE_TABLES, ["114b11f0594814f2"]],
  ["due-queue", DUE_TABLES, ["e26bcaa2912e5abd"]],
  ["registry", REGISTRY_TABLES, ["f0f76dc72f1306bb"]],
  ["key-proofs", KEY_PROOF_TABLES, ["9a3e1bf4cea47de8"]],
  ["listing", LISTING_TABLES, ["b0090693ac2d8b44", "367b708dd5476157"]],
  ["account-outbox", ACCOUNT_OUTBOX_TABLES, ["a418a7bb62230583"]],
  ["maintenance", MAINTENANCE_TABLES, ["089bf80f9ef4e255"]],
  ["verification", VERIFICATION_TABLES, ["76508e890bfb6461"]],
];

describe.each(STORES)("the storage of %s", (name, steps, released) => {
  it("opens with the tables of every version before", async () => {
    const wanted = await withSql(({ sql }) => {
      upgradeTables(sql, name, steps);
      return schema(sql);
    });
    for (let version = 0; version < steps.length; version++) {
      const upgraded = await withSql(({ sql }) => {
        upgradeTables(sql, name, steps.slice(0, version));
        upgradeTables(sql, name, steps);
        return schema(sql);
      });
      expect(upgraded).toEqual(wanted);
    }
  });

  // A step that was released has run where it is deployed. What is to be different is a new step at the end, with its
  // hash added here.
  it("has kept its steps as they were released", () => {
    expect(steps.slice(0, released.length).map((step) => sha256Of(step, codecs()).slice(0, 16))).toEqual(
      released,
    );
  });
});

function schema(sql: SqlStorage): unknown[] {
  return sql.exec("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").toArray();
}
