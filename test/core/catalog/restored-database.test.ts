import { describe, expect, it } from "vitest";
import {
  type BucketFindings,
  newlyFound,
  restoredDatabase,
  withBackup,
} from "../../../src/core/catalog/restored-database.ts";
import type { PolicyCopy } from "../../../src/core/policy/policy-copy.ts";
import { manifest } from "../kit/sample-manifest.ts";

const of = (day: number, more: Partial<typeof manifest> = {}): typeof manifest => ({
  ...manifest,
  backupId: `shop.202611${day}T030000Z`,
  startedAt: `2026-11-${day}T03:00:00.000Z`,
  ...more,
});

const ended = { kind: "encryption-ended", table: null, count: null, detail: "readable" };
const record: PolicyCopy = {
  formatVersion: 1,
  databaseId: "d",
  databaseName: "shop-now",
  policy: {},
  unchanged: null,
  unchangedOff: null,
  examinedAt: null,
  policyChanges: [],
};

const found = (...backups: (typeof manifest)[]): BucketFindings =>
  backups.reduce(withBackup, newlyFound("d"));

describe("a database as the bucket tells of it", () => {
  it("is as fresh as its latest backup, in whatever order they are found, however often", () => {
    const expected = {
      id: "d",
      name: "shop",
      firstSeenAt: "2026-11-11T03:00:00.000Z",
      freshAt: "2026-11-21T03:00:00.000Z",
      lastBackupId: "shop.20261121T030000Z",
      notices: [],
    };
    const [a, b, c] = [of(11), of(21), of(15, { hazards: [ended] })];
    for (const order of [
      [a, b, c],
      [c, b, a],
      [b, a, c, b, a],
    ])
      expect(restoredDatabase(found(...order))).toEqual(expected);
  });

  it("is fresh as of the latest check, if that was about its latest backup", () => {
    const checked = (backupId: string, checkedAt: string): BucketFindings => ({
      ...found(of(11), of(21)),
      record: { ...record, unchanged: { backupId, checkedAt } },
    });
    const fresh = (database: BucketFindings) => restoredDatabase(database)?.freshAt;
    expect(fresh(checked("shop.20261121T030000Z", "2026-11-23T03:00:00.000Z"))).toBe(
      "2026-11-23T03:00:00.000Z",
    );
    expect(fresh(checked("shop.20261121T030000Z", "2026-11-20T03:00:00.000Z"))).toBe(
      "2026-11-21T03:00:00.000Z",
    );
    // That backup is in the bucket no more: what was found of it says nothing of an older one.
    expect(fresh(checked("shop.20261122T030000Z", "2026-11-23T03:00:00.000Z"))).toBe(
      "2026-11-21T03:00:00.000Z",
    );
  });

  it("has the notices of its latest backup and of its record, whose name is the later one", () => {
    const database = {
      ...found(of(11), of(21, { hazards: [ended, { ...ended, kind: "nul" }] })),
      record: { ...record, unchangedOff: { at: "2026-11-21T03:00:00.000Z", detail: "they differed" } },
    };
    expect(restoredDatabase(database)).toMatchObject({
      name: "shop-now",
      notices: [
        { kind: "encryption-ended", detail: "readable" },
        { kind: "unchanged-off", detail: "they differed" },
      ],
    });
  });

  it("is none without a backup", () => {
    expect(restoredDatabase({ ...newlyFound("d"), record })).toBeNull();
  });
});
