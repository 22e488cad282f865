import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDatabase, setFaults } from "../kit/emulated-account.ts";
import {
  backUp,
  call,
  drive,
  driveAccount,
  holdTheClock,
  isOver,
  manifestOf,
  nextStep,
  setPolicy,
  startBackup,
  viewOf,
} from "../kit/run-driver.ts";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one');";

async function policyOf(id: string): Promise<unknown> {
  return (await (await call(`/api/databases/${id}`)).json<{ ownPolicy: unknown }>()).ownPolicy;
}

describe("PUT /api/databases/:db/policy", () => {
  it.each([
    ["gzip", ".sql.gz"],
    ["zstd", ".sql.zst"],
    ["none", ".sql"],
  ])(
    "compression %s holds from the next run on, and the volumes end in %s",
    async (compression, extension) => {
      const database = await createDatabase(TABLE);
      await setPolicy(database.id, { compression });
      const manifest = await manifestOf((await backUp(database)).backupId);
      expect(manifest.compression).toBe(compression);
      expect(manifest.volumes.map(({ name }) => name)).toEqual([`${database.name}.0001${extension}`]);
    },
  );

  it("replaces the whole policy; what it leaves out follows the Worker's settings", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.name, { compression: "zstd", maxUnchangedDays: 3 });
    await setPolicy(database.name, { examineDays: 0 });
    const response = await call(`/api/databases/${database.name}`);
    expect(await response.json()).toMatchObject({
      ownPolicy: { examineDays: 0 },
      policy: {
        compression: "gzip",
        volumeBytes: 1_048_576,
        lean: false,
        maxUnchangedDays: 7,
        examineDays: 0,
      },
    });
  });

  it.each<[string, unknown, string]>([
    ["a compression that is none", { compression: "brotli" }, "compression"],
    ["a key that is not known", { compresion: "gzip" }, "compresion"],
    ["a volume of a kilobyte", { volumeBytes: 1024 }, "volumeBytes"],
    ["a list", [], "body"],
    ["nothing at all", undefined, "body"],
  ])("answers 400 that names the field to %s, and changes nothing", async (_, policy, field) => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { compression: "zstd" });
    const path = `/api/databases/${database.id}/policy`;
    const response = await call(path, {
      method: "PUT",
      body: policy === undefined ? "" : JSON.stringify(policy),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ field }] });
    expect(await policyOf(database.id)).toEqual({ compression: "zstd" });
  });

  it("is for admins, and for databases that exist", async () => {
    const database = await createDatabase(TABLE);
    const put = (id: string, token: string) =>
      call(`/api/databases/${id}/policy`, {
        method: "PUT",
        body: "{}",
        headers: { Authorization: `Bearer ${token}` },
      });
    expect((await put(database.id, "viewer-token-for-tests")).status).toBe(403);
    expect((await put("no-such-database", "admin-token-for-tests")).status).toBe(404);
  });

  it("leaves a run that is under way as it began, and is not lost to it", async () => {
    const database = await createDatabase(TABLE);
    const id = await startBackup(database.id);
    await setFaults(database.id, [{ on: "get", fault: "slow", value: 300, times: 1 }]);
    await drive(database.id, (run) => run.phase.at === "preflight");
    const preflight = nextStep(database.id);
    await setPolicy(database.id, { compression: "zstd", examineDays: 1 });
    await preflight;
    await drive(database.id, isOver);
    expect((await manifestOf((await viewOf(id)).backupId)).compression).toBe("gzip");
    expect(await policyOf(database.id)).toEqual({ compression: "zstd", examineDays: 1 });
  });

  it("lies in the bucket too, so that the catalogue can be thrown away", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { compression: "zstd" });
    await driveAccount();
    const stored = await env.BACKUPS.get(`d1/_d1-nightly/${database.id}.json`);
    expect(await stored?.json()).toEqual({
      formatVersion: 1,
      databaseId: database.id,
      databaseName: database.name,
      policy: { compression: "zstd" },
      unchanged: null,
      unchangedOff: null,
      examinedAt: null,
      policyChanges: [
        { at: "2126-11-21T03:00:00.000Z", who: "ADMIN_TOKEN", policy: { compression: "zstd" } },
      ],
    });
  });

  it("is recorded with who changed it and when, the latest first", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { compression: "zstd" });
    vi.setSystemTime(Date.now() + 60_000);
    await setPolicy(database.id, { paused: true });
    const known = await (await call(`/api/databases/${database.id}`)).json();
    expect(known).toMatchObject({
      policyChanges: [
        { at: "2126-11-21T03:01:00.000Z", who: "ADMIN_TOKEN", policy: { paused: true } },
        { at: "2126-11-21T03:00:00.000Z", who: "ADMIN_TOKEN", policy: { compression: "zstd" } },
      ],
    });
  });

  it.each<[string, unknown, string, RegExp]>([
    [
      "an expression that is none",
      { schedule: { cron: "at night", timeZone: "UTC" } },
      "schedule.cron",
      /0 3 \* \* \*|30 2/,
    ],
    ["one that never fires", { schedule: { cron: "0 0 31 2 *", timeZone: "UTC" } }, "schedule.cron", /never/],
    [
      "one that fires every minute",
      { schedule: { cron: "* * * * *", timeZone: "UTC" } },
      "schedule.cron",
      /5 minutes/,
    ],
    [
      "a zone that is none",
      { schedule: { cron: "0 3 * * *", timeZone: "Mars/Base" } },
      "schedule.timeZone",
      /Europe\/Berlin/,
    ],
    ["a schedule that is neither", { schedule: "nightly" }, "schedule", /trigger/],
    [
      "a negative number of backups (failure mode 22)",
      { retention: { keepDaily: -1 } },
      "retention.keepDaily",
      /0 or more/,
    ],
    [
      "a typo in retention (failure mode 22)",
      { retention: { keepDayly: 7 } },
      "retention.keepDayly",
      /did you mean keepDaily/,
    ],
    ["a limit of a second", { freshnessMs: 1_000 }, "freshnessMs", /3600000/],
    [
      "nothing left to export",
      { exportOptions: { noData: true, noSchema: true } },
      "exportOptions",
      /nothing to back up/,
    ],
  ])("answers 400 to %s, with the field and what is right", async (_, policy, field, words) => {
    const database = await createDatabase(TABLE);
    for (const path of [`/api/databases/${database.id}/policy`, "/api/policy"]) {
      const response = await call(path, { method: "PUT", body: JSON.stringify(policy) });
      expect(response.status).toBe(400);
      const { errors } = await response.json<{ errors: { field: string; problem: string }[] }>();
      expect(errors[0]).toMatchObject({ field, problem: expect.stringMatching(words) });
    }
  });
});

describe("PUT /api/policy", () => {
  it("holds for every database in what its own policy leaves out, retention key by key", async () => {
    const database = await createDatabase(TABLE);
    await setPolicy(database.id, { retention: { keepDaily: 30 }, examineDays: 0 });
    const shared = { compression: "zstd", retention: { keepDaily: 5, keepYearly: 10 }, exclude: ["tmp-*"] };
    const put = await call("/api/policy", { method: "PUT", body: JSON.stringify(shared) });
    expect(await put.json()).toMatchObject({
      policy: shared,
      effective: { compression: "zstd", retention: { keepDaily: 5, keepLast: 3 } },
      policyChanges: [{ who: "ADMIN_TOKEN", policy: shared }],
    });
    expect(await (await call(`/api/databases/${database.id}`)).json()).toMatchObject({
      ownPolicy: { retention: { keepDaily: 30 }, examineDays: 0 },
      policy: {
        compression: "zstd",
        examineDays: 0,
        retention: { keepDaily: 30, keepYearly: 10, keepLast: 3 },
      },
    });
    const manifest = await manifestOf((await backUp(database)).backupId);
    expect(manifest.compression).toBe("zstd");
    await driveAccount();
    const stored = await env.BACKUPS.get("d1/_d1-nightly/policy.json");
    expect(await stored?.json()).toMatchObject({ policy: shared, policyChanges: [{ policy: shared }] });
    await call("/api/policy", { method: "PUT", body: "{}" });
  });

  it("and a database's own do not leave nothing to back up between them", async () => {
    const database = await createDatabase(TABLE);
    await call("/api/policy", { method: "PUT", body: '{"exportOptions":{"noSchema":true}}' });
    const own = { method: "PUT", body: '{"exportOptions":{"noData":true}}' };
    const refused = await call(`/api/databases/${database.id}/policy`, own);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ errors: [{ field: "exportOptions" }] });
    await call("/api/policy", { method: "PUT", body: "{}" });
    expect((await call(`/api/databases/${database.id}/policy`, own)).status).toBe(200);
  });

  it("is for admins", async () => {
    const headers = { Authorization: "Bearer viewer-token-for-tests" };
    expect((await call("/api/policy", { method: "PUT", body: "{}", headers })).status).toBe(403);
    expect((await call("/api/policy", { headers })).status).toBe(200);
  });
});

describe("POST /api/schedules/preview", () => {
  it("shows the next five runs in both zones, and how old a backup may become, and saves nothing", async () => {
    const schedule = { cron: "30 2 * * 1-5", timeZone: "Europe/Berlin" };
    const response = await call("/api/schedules/preview", {
      method: "POST",
      body: JSON.stringify({ schedule }),
    });
    expect(response.status).toBe(200);
    const shown = await response.json<{ runs: { at: string; local: string }[]; freshnessMs: number }>();
    // 2126-11-21 is a Thursday.
    expect(shown.runs.map(({ at }) => at)).toEqual(
      ["22", "25", "26", "27", "28"].map((day) => `2126-11-${day}T01:30:00.000Z`),
    );
    expect(shown.runs[0]?.local).toContain("02:30");
    // From Friday to Monday, over the night in October that is an hour longer, and two hours.
    expect(shown.freshnessMs).toBe((3 * 24 + 1 + 2) * 3_600_000);
  });
});
