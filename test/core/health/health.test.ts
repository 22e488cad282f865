import { describe, expect, it } from "vitest";
import type { AccountHealth } from "../../../src/core/account/account-health.ts";
import type { DamagedBackups } from "../../../src/core/bucket/damaged-backup.ts";
import type { TroubledDatabase, TroubledDatabases } from "../../../src/core/catalog/database-row.ts";
import { failed, type Failure, ok } from "../../../src/core/failure.ts";
import { type HealthFacts, evaluateHealth, PROBLEMS_LISTED } from "../../../src/core/health/health.ts";

const now = Date.parse("2026-11-21T12:00:00.000Z");
const HOUR_MS = 3_600_000;
const ago = (hours: number): string => new Date(now - hours * HOUR_MS).toISOString();
const justOver = new Date(now - 26 * HOUR_MS - 1).toISOString();

const listing = { at: ago(9), databases: 2, pendingSince: null };
const well: TroubledDatabases = { listedAt: listing.at, knownSince: null, databases: [], problems: 0 };
const triggers = {
  nightly: ["0 3 * * *"],
  unread: [],
  nightlyMissing: false,
  heartbeatAt: ago(0.05),
  heartbeatLate: false,
  followed: true,
};
const account: AccountHealth = {
  listing,
  listingFailure: null,
  unreadableRows: [],
  catalogNotFound: null,
  catalogIsAnother: null,
  gone: [],
  triggers,
  sweep: null,
  unproven: [],
};
const shop: TroubledDatabase = {
  id: "uuid-of-shop",
  name: "shop",
  firstSeenAt: ago(1_000),
  freshAt: ago(9),
  freshnessMs: 26 * HOUR_MS,
  lastRunState: "complete",
  lastRunError: null,
  notices: [],
};
const listingFailure = { code: "api-token-refused", detail: "The token was refused.", hint: "Make another." };
const NOTHING_DAMAGED: DamagedBackups = { count: 0, items: [] };
const failure: Failure = { code: "configuration", detail: "what", hint: "do", retryable: true };

/** Status and problems, as `severity code`. */
function judged(changes: {
  databases?: Partial<TroubledDatabases>;
  account?: Partial<AccountHealth> | null;
  damaged?: DamagedBackups | null;
}): {
  status: string;
  problems: string[];
} {
  const facts: HealthFacts = {
    databases: ok({ ...well, ...changes.databases }),
    account: changes.account === null ? null : { ...account, ...changes.account },
    damaged: changes.damaged === undefined ? NOTHING_DAMAGED : changes.damaged,
    elsewhere: null,
  };
  const { status, problems } = evaluateHealth(ok(facts), now);
  return { status, problems: problems.map(({ severity, code }) => `${severity} ${code}`) };
}

const never = { listing: null };
const unlisted = { listedAt: null };

it("health of a new installation, where nothing is known, is not ok before something is backed up", () => {
  const changes = { databases: unlisted, account: never };
  expect(judged(changes)).toEqual({ status: "degraded", problems: ["degraded nothing-yet"] });
});

describe("health is ok", () => {
  it.each<[string, Parameters<typeof judged>[0]]>([
    ["when all that is listed is fresh", {}],
    [
      "of an account without databases",
      { databases: unlisted, account: { listing: { at: ago(9), databases: 0, pendingSince: null } } },
    ],
    [
      "of an account without databases, however old that listing is",
      { databases: unlisted, account: { listing: { at: ago(900), databases: 0, pendingSince: null } } },
    ],
    [
      "of an account whose databases are all gone, whatever was known of them",
      {
        databases: { ...unlisted, knownSince: ago(900) },
        account: { listing: { at: ago(1), databases: 0, pendingSince: null } },
      },
    ],
    ["before the first listing", { databases: { ...unlisted, knownSince: ago(26) }, account: never }],
    [
      "with a listing that is just not too old",
      {
        databases: { listedAt: ago(26) },
        account: { listing: { at: ago(26), databases: 2, pendingSince: null } },
      },
    ],
    [
      "while the catalogue is being told of a listing",
      {
        databases: { listedAt: ago(24) },
        account: { listing: { at: ago(0.1), databases: 2, pendingSince: ago(0.1) } },
      },
    ],
  ])("%s", (_, changes) => {
    expect(judged(changes)).toEqual({ status: "ok", problems: [] });
  });
});

describe("a database that is listed", () => {
  it.each<[string, Partial<TroubledDatabase>, string[]]>([
    ["is fresh", {}, []],
    ["is as old as it may be", { freshAt: ago(26) }, []],
    ["is older", { freshAt: justOver }, ["failing backup-stale"]],
    [
      "is older, its latest run failed",
      { freshAt: justOver, lastRunState: "failed" },
      ["failing backup-stale"],
    ],
    [
      "is older, though a run is under way (failure mode 9)",
      { freshAt: justOver, lastRunState: "copying" },
      ["failing backup-stale"],
    ],
    ["is fresh as of a moment that is still to come", { freshAt: ago(-48) }, ["failing backup-ahead"]],
    ["is new", { freshAt: null, firstSeenAt: ago(26), lastRunState: null }, []],
    [
      "was never backed up",
      { freshAt: null, firstSeenAt: justOver, lastRunState: null },
      ["failing never-backed-up"],
    ],
    [
      "is new, and its first run failed",
      { freshAt: null, firstSeenAt: ago(1), lastRunState: "failed" },
      ["degraded run-failed"],
    ],
    ["failed last, but is fresh", { lastRunState: "failed" }, ["degraded run-failed"]],
    ["was cancelled last, but is fresh", { lastRunState: "cancelled" }, []],
    [
      "has notices",
      {
        notices: [
          { kind: "unchanged-off", detail: "x" },
          { kind: "encryption-ended", detail: "y" },
        ],
      },
      ["degraded unchanged-off", "degraded encryption-ended"],
    ],
    [
      "has a notice of a newer release",
      { notices: [{ kind: "something-new", detail: "x" }] },
      ["degraded something-new"],
    ],
    [
      "is older, and has a notice",
      { freshAt: justOver, notices: [{ kind: "unchanged-off", detail: "x" }] },
      ["failing backup-stale", "degraded unchanged-off"],
    ],
  ])("%s", (_, changes, problems) => {
    const { status, ...rest } = judged({ databases: { databases: [{ ...shop, ...changes }] } });
    expect(rest.problems).toEqual(problems);
    expect(status).toBe(problems[0]?.split(" ")[0] ?? "ok");
  });

  it("is named, with its failure's code and what to do", () => {
    const database = { ...shop, name: "a b", lastRunState: "failed", lastRunError: "virtual-tables" };
    const facts = {
      databases: ok({ ...well, databases: [database], problems: 1 }),
      account,
      damaged: NOTHING_DAMAGED,
      elsewhere: null,
    };
    const [problem] = evaluateHealth(ok(facts), now).problems;
    expect(problem).toMatchObject({
      database: "a b",
      databaseId: "uuid-of-shop",
      detail: expect.stringContaining("virtual-tables"),
      hint: expect.stringContaining("/api/runs?database=a%20b&state=failed"),
    });
  });

  it.each([
    [1, "failing backup-stale"],
    [8 * 24, null],
  ])("has a limit of its own: %s hours", (hours, problem) => {
    const database = { ...shop, freshAt: ago(27), freshnessMs: hours * HOUR_MS };
    const expected = problem === null ? [] : [problem];
    expect(judged({ databases: { databases: [database], problems: expected.length } }).problems).toEqual(
      expected,
    );
  });
});

describe("the account", () => {
  const old = { at: ago(27), databases: 2, pendingSince: null };
  it.each<[string, Parameters<typeof judged>[0], string]>([
    [
      "has only triggers that do not tell how often they fire",
      { account: { triggers: { ...triggers, unread: ["0 3 L-3 * *"] } } },
      "degraded trigger-unreadable",
    ],
    [
      "lists rows that cannot be read",
      { account: { unreadableRows: ['name "shop", UUID "?"'] } },
      "degraded listing-unreadable",
    ],
    [
      "has no database of the catalogue's name",
      { account: { catalogNotFound: "d1-nightly-catalog" } },
      "degraded catalog-not-found",
    ],
    [
      "has another database of the catalogue's name",
      { account: { catalogIsAnother: "shop" } },
      "failing catalog-is-another",
    ],
    [
      "was not listed for too long",
      { databases: { listedAt: old.at }, account: { listing: old } },
      "failing listing-stale",
    ],
    [
      "was never listed, though databases are known",
      { databases: { ...unlisted, knownSince: justOver }, account: never },
      "failing listing-stale",
    ],
    [
      "was listed too long ago, the catalogue having lost it",
      { databases: unlisted, account: { listing: old } },
      "failing listing-stale",
    ],
    [
      "was listed, but the catalogue knows an older listing",
      {
        databases: { listedAt: ago(24) },
        account: { listing: { at: ago(0.2), databases: 2, pendingSince: ago(0.2) } },
      },
      "degraded catalog-behind",
    ],
    [
      "was listed as empty, but the catalogue knows an older listing",
      {
        databases: { listedAt: ago(24) },
        account: { listing: { at: ago(0.2), databases: 0, pendingSince: ago(0.2) } },
      },
      "degraded catalog-behind",
    ],
    [
      "was listed, but the catalogue's listing is too old",
      {
        databases: { listedAt: old.at },
        account: { listing: { at: ago(3), databases: 2, pendingSince: ago(3) } },
      },
      "failing catalog-behind",
    ],
    ["was listed, but the catalogue knows of no listing", { databases: unlisted }, "failing catalog-behind"],
    [
      "was listed, but the catalogue knows only of runs",
      { databases: { ...unlisted, knownSince: ago(1) } },
      "failing catalog-behind",
    ],
    ["could not be listed", { account: { listingFailure } }, "degraded listing-failed"],
    [
      "has a recipient whose key nobody has shown",
      { account: { unproven: ["age1x"] } },
      "degraded key-unproven",
    ],
    [
      "lost its nightly trigger",
      { account: { triggers: { ...triggers, nightly: [], nightlyMissing: true } } },
      "degraded no-trigger",
    ],
    [
      "misses its heartbeat",
      { account: { triggers: { ...triggers, heartbeatAt: ago(1), heartbeatLate: true } } },
      "degraded heartbeat-late",
    ],
    [
      "has lost a database",
      { account: { gone: [{ id: "u", name: "old", goneAt: ago(1) }] } },
      "degraded database-gone",
    ],
    ["does not answer", { account: null }, "failing account-silent"],
  ])("%s", (_, changes, problem) => {
    expect(judged(changes)).toEqual({ status: problem.split(" ")[0], problems: [problem] });
  });

  it("that does not answer hides neither what is overdue nor that its listing is too old", () => {
    const databases = { listedAt: old.at, databases: [{ ...shop, freshAt: justOver }] };
    expect(judged({ databases, account: null }).problems.toSorted()).toEqual([
      "failing account-silent",
      "failing backup-stale",
      "failing listing-stale",
    ]);
  });

  it("has its recipients named, and the failure of its listing told", () => {
    const facts = {
      databases: ok(well),
      account: {
        ...account,
        unproven: ["age1a", "age1b"],
        listingFailure,
      },
      damaged: NOTHING_DAMAGED,
      elsewhere: null,
    };
    expect(evaluateHealth(ok(facts), now).problems).toMatchObject([
      { code: "key-unproven", detail: expect.stringContaining("age1a") },
      { code: "key-unproven", detail: expect.stringContaining("age1b") },
      {
        code: "listing-failed",
        detail: expect.stringContaining("The token was refused."),
        hint: "Make another.",
      },
    ]);
  });
});

describe("what cannot be read", () => {
  it("is failing: the configuration, with what is wrong with it", () => {
    expect(evaluateHealth(failed(failure), now)).toEqual({
      status: "failing",
      asOf: ago(0),
      problems: [{ code: "configuration", severity: "failing", detail: "what", hint: "do" }],
      moreProblems: 0,
    });
  });

  it("is failing: the catalogue; what the account tells is told all the same", () => {
    const facts: HealthFacts = {
      databases: failed({ ...failure, code: "catalog-unavailable" }),
      account: { ...account, unproven: ["age1x"] },
      damaged: NOTHING_DAMAGED,
      elsewhere: null,
    };
    expect(evaluateHealth(ok(facts), now)).toMatchObject({
      status: "failing",
      problems: [{ code: "catalog-unreadable", detail: "what" }, { code: "key-unproven" }],
    });
  });
});

describe("many problems", () => {
  it("come with the failing ones first, so many and no more, and say how many are left out", () => {
    const stale = Array.from({ length: 60 }, (_, i) => ({ ...shop, name: `stale-${i}`, freshAt: justOver }));
    const broken = Array.from({ length: 40 }, (_, i) => ({
      ...shop,
      name: `failed-${i}`,
      lastRunState: "failed",
    }));
    const facts = {
      databases: ok({ ...well, databases: [...broken, ...stale], problems: 9_000 }),
      account: { ...account, unproven: ["age1x", "age1y"] },
      damaged: NOTHING_DAMAGED,
      elsewhere: null,
    };
    const { problems, moreProblems } = evaluateHealth(ok(facts), now);
    expect(problems).toHaveLength(PROBLEMS_LISTED);
    expect(problems.slice(0, 60).map(({ database }) => database)).toEqual(stale.map(({ name }) => name));
    expect(problems.slice(60, 62).map(({ code }) => code)).toEqual(["key-unproven", "key-unproven"]);
    expect(moreProblems).toBe(8_902);
  });
});
