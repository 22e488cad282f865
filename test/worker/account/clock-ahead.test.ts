import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { D1DatabaseIndex } from "../../../src/cloudflare/catalog/database-index.ts";
import type { ListingEntry } from "../../../src/core/catalog/database-index.ts";
import type { DatabaseRow } from "../../../src/core/catalog/database-row.ts";
import type { Result } from "../../../src/core/failure.ts";
import { databaseProblems } from "../../../src/core/health/database-problems.ts";

const HOUR_MS = 3_600_000;
const now = Date.parse("2126-11-21T12:00:00.000Z");
const ago = (ms: number): string => new Date(now - ms).toISOString();
const listedAt = ago(HOUR_MS);
const nextYear = ago(-365 * 24 * HOUR_MS);
const index = new D1DatabaseIndex(env.CATALOG);

const row: DatabaseRow = {
  id: "shop",
  name: "shop",
  freshAt: listedAt,
  lastBackupId: null,
  lastRunState: "complete",
  lastRunError: null,
  notices: [],
  writtenAt: listedAt,
};
const wrong: DatabaseRow = { ...row, freshAt: nextYear, writtenAt: nextYear };

const listed = (freshnessMs: number): ListingEntry[] => [
  { id: "shop", name: "shop", freshnessMs, watched: true },
];

async function value<T>(result: Promise<Result<T>>): Promise<T> {
  const awaited = await result;
  if (!awaited.ok) throw new Error(awaited.failure.detail);
  return awaited.value;
}

const stored = () => env.CATALOG.prepare("SELECT * FROM databases WHERE id = 'shop'").first();

beforeEach(() => env.CATALOG.exec("DELETE FROM databases"));

describe("a clock that was a year ahead", () => {
  it("does not keep a database green until then", async () => {
    await value(index.saveListing(listed(26 * HOUR_MS), listedAt));
    await value(index.saveDatabase(wrong));
    const { problems, databases } = await value(index.troubled(ago(0), 10));
    expect(problems).toBe(1);
    expect(databases.flatMap((database) => databaseProblems(database, now))).toMatchObject([
      { code: "backup-ahead", severity: "failing" },
    ]);
  });

  it("does not keep out what is told after it was put right", async () => {
    await value(index.saveListing(listed(26 * HOUR_MS), nextYear));
    await value(index.saveDatabase(wrong));
    await value(index.saveDatabase({ ...row, lastRunState: "failed", lastRunError: "export-lost" }));
    await value(index.saveListing(listed(1), listedAt));
    expect(await stored()).toMatchObject({
      fresh_at: listedAt,
      last_run_state: "failed",
      seen_at: listedAt,
      freshness_ms: 1,
    });
    await value(index.saveListing([], ago(0)));
    expect(await stored()).toMatchObject({ listed: 0, gone_at: ago(0) });
  });
});
