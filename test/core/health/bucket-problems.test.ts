import { describe, expect, it } from "vitest";
import { ok } from "../../../src/core/failure.ts";
import { evaluateHealth, type HealthFacts } from "../../../src/core/health/health.ts";

const now = Date.parse("2026-11-21T12:00:00.000Z");
const ago = (hours: number): string => new Date(now - hours * 3_600_000).toISOString();

/** With nothing wrong. */
const facts: HealthFacts = {
  databases: ok({ listedAt: ago(9), knownSince: null, databases: [], problems: 0 }),
  account: {
    listing: { at: ago(9), databases: 2, pendingSince: null },
    listingFailure: null,
    gone: [],
    triggers: {
      nightly: ["0 3 * * *"],
      nightlyMissing: false,
      heartbeatAt: ago(0.05),
      heartbeatLate: false,
      followed: true,
      unread: [],
    },
    sweep: null,
    unproven: [],
    unreadableRows: [],
    catalogNotFound: null,
    catalogIsAnother: null,
  },
  damaged: { count: 0, items: [] },
  elsewhere: null,
};

describe("a backup that has lost its manifest", () => {
  const damaged = {
    backupId: "shop.20261121T030000Z",
    folder: "d1/shop/20261121T030000Z/",
    databaseId: "uuid-of-shop",
    databaseName: "shop",
    objects: 4,
    bytes: 9,
    since: ago(9),
    foundAt: ago(1),
    knownBy: ["files"],
  } as const;

  it("is told, each by itself, and those that are not listed are counted", () => {
    const lost = { ...damaged, databaseName: null, databaseId: null, objects: 0, since: null };
    const found = { ...facts, damaged: { count: 7, items: [damaged, lost] } };
    const { status, problems, moreProblems } = evaluateHealth(ok(found), now);
    expect({ status, moreProblems }).toEqual({ status: "degraded", moreProblems: 5 });
    expect(problems).toMatchObject([
      { code: "backup-damaged", database: "shop", databaseId: "uuid-of-shop" },
      { code: "backup-damaged", detail: expect.stringContaining("nothing is left") },
    ]);
    expect(problems[1]).not.toHaveProperty("database");
  });

  it("is not taken for none when nobody can tell", () => {
    const { status, problems } = evaluateHealth(ok({ ...facts, damaged: null }), now);
    expect(status).toBe("degraded");
    expect(problems).toMatchObject([{ code: "maintenance-silent" }]);
  });
});

describe("a backup outside of KEY_PREFIX", () => {
  it("is told with both places", () => {
    const elsewhere = { folder: "old/shop/20261121T030000Z/", keyPrefix: "d1/" };
    const { status, problems } = evaluateHealth(ok({ ...facts, elsewhere }), now);
    expect(status).toBe("degraded");
    expect(problems).toMatchObject([{ code: "backups-elsewhere" }]);
    expect(problems[0]?.detail).toMatch(/KEY_PREFIX is d1\/.*old\/shop/);
  });
});
