import { createExecutionContext, runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { STATUS_KEPT_MS } from "../../../src/http/routes/health.ts";
import {
  createDatabase,
  deleteDatabase,
  renameDatabase,
  resetAccount,
  setFaults,
} from "../kit/emulated-account.ts";
import {
  account,
  advanceDays,
  backUp,
  call,
  drive,
  driveAccount,
  fire,
  forgetAccount,
  isOver,
  setPolicy,
} from "../kit/run-driver.ts";
import { expectLog } from "../kit/worker-log.ts";
import worker from "../../../src/index.ts";

/** Each test has a month of its own, and an account of which nothing is known. */
let month = Date.UTC(2027, 0, 1, 3);

beforeEach(async () => {
  month += 31 * 86_400_000;
  vi.useFakeTimers({ toFake: ["Date"], now: month });
  await env.CATALOG.exec("DELETE FROM databases");
  await forgetAccount();
  await resetAccount();
});
afterEach(() => vi.useRealTimers());

/** The UUID of the account's database of this name. */
async function idOf(name: string): Promise<string> {
  const url = "http://emulator.test/client/v4/accounts/emulated-account/d1/database";
  const answer = await fetch(`${url}?name=${name}`, { headers: { Authorization: "Bearer emulated-token" } });
  const { result } = z.object({ result: z.array(z.object({ uuid: z.string() })) }).parse(await answer.json());
  return result[0]?.uuid ?? "";
}

const hours = (count: number): Promise<void> => advanceDays(count / 24);

const healthSchema = z.strictObject({
  status: z.string(),
  asOf: z.string(),
  problems: z.array(
    z.strictObject({
      code: z.string(),
      severity: z.string(),
      database: z.string().optional(),
      databaseId: z.string().optional(),
      detail: z.string(),
      hint: z.string().min(1),
    }),
  ),
  moreProblems: z.number(),
});

async function health(): Promise<z.infer<typeof healthSchema>> {
  return healthSchema.parse(await (await call("/api/health")).json());
}

/** What a monitor sees, once the answer that it was given before no longer holds. */
async function monitored(): Promise<[number, string]> {
  vi.setSystemTime(Date.now() + STATUS_KEPT_MS);
  const response = await exports.default.fetch("http://worker.test/healthz");
  return [response.status, await response.text()];
}

const OK = [200, '{"status":"ok"}'];
const DEGRADED = [200, '{"status":"degraded"}'];
const FAILING = [503, '{"status":"failing"}'];

/** The same question to both; they must agree. */
async function problemsAs(expected: unknown): Promise<string[]> {
  const { status, problems } = await health();
  const answer = await monitored();
  expect(answer).toEqual(expected);
  expect(answer[1]).toBe(JSON.stringify({ status }));
  return problems.map(({ code, database }) => (database === undefined ? code : `${code} ${database}`));
}

const runsSchema = z.object({ runs: z.array(z.object({ databaseId: z.string() })) });

/** A night: all databases are listed and their runs driven to the end. */
async function night(body: unknown = {}): Promise<void> {
  const response = await call("/api/backups", { method: "POST", body: JSON.stringify(body) });
  const { runs } = runsSchema.parse(await response.json());
  await runDurableObjectAlarm(account());
  for (const { databaseId } of runs) {
    await drive(databaseId, isOver);
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(databaseId));
  }
}

async function ask(path: string, changes: object, headers: Record<string, string> = {}): Promise<Response> {
  const request = new Request<unknown, IncomingRequestCfProperties>(`http://worker.test${path}`, { headers });
  return worker.fetch(request, { ...env, ...changes }, createExecutionContext());
}

describe("an account", () => {
  it("of which nothing is known yet is not called well", async () => {
    expect(await problemsAs(DEGRADED)).toEqual(["nothing-yet"]);
  });

  it("is well for 26 hours after its backups began, and failing from then on until there are new ones", async () => {
    const databases = [
      await createDatabase("CREATE TABLE a (x);"),
      await createDatabase("CREATE TABLE b (x);"),
    ];
    await night();
    expect(await problemsAs(OK)).toEqual([]);
    await hours(25);
    expect(await problemsAs(OK)).toEqual([]);
    await hours(1);
    const [a, b] = databases.map(({ name }) => `backup-stale ${name}`);
    expect((await problemsAs(FAILING)).toSorted()).toEqual([a, b, "listing-stale"].toSorted());
    await night({ force: true });
    expect(await problemsAs(OK)).toEqual([]);
  });

  it("is well when checks find that nothing was written", async () => {
    const { id } = await createDatabase("CREATE TABLE a (x);");
    await night();
    await hours(15);
    await night();
    expect(await (await call(`/api/databases/${id}`)).json()).toMatchObject({
      latestRun: { state: "unchanged" },
    });
    await hours(25);
    expect(await problemsAs(OK)).toEqual([]);
  });

  it("is failing when a database, however new its runs, was never backed up", async () => {
    expectLog("run-failed");
    const { id, name } = await createDatabase("CREATE VIRTUAL TABLE docs USING fts5(body);");
    await night();
    expect(await problemsAs(DEGRADED)).toEqual([`run-failed ${name}`]);
    await hours(26);
    await night();
    expect(await problemsAs(FAILING)).toEqual([`never-backed-up ${name}`]);
    const { problems } = await health();
    expect(problems).toMatchObject([{ databaseId: id, detail: expect.stringContaining("virtual-tables") }]);
  });

  it("is degraded while a database that is fresh failed last", async () => {
    const database = await createDatabase("CREATE TABLE a (x);");
    await night();
    const failing = await backUp(database, { force: true }, [{ on: "download", fault: "empty" }]);
    expect(failing).toMatchObject({ state: "failed" });
    expect(await problemsAs(DEGRADED)).toEqual([`run-failed ${database.name}`]);
    await setFaults(database.id, []);
    await backUp(database);
    expect(await problemsAs(OK)).toEqual([]);
  });

  it("is degraded while bookmarks of a database are not relied on", async () => {
    const database = await createDatabase("CREATE TABLE a (x); INSERT INTO a VALUES ('7 and more');");
    await night();
    await backUp(database, { force: true }, [{ on: "download", fault: "change" }]);
    expect(await problemsAs(DEGRADED)).toEqual([`unchanged-off ${database.name}`]);
    expect((await health()).problems[0]?.detail).toContain("another SHA-256");
    await setPolicy(database.id, {});
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
    expect(await problemsAs(OK)).toEqual([]);
  });

  it("is not held to databases that are gone, nor to the catalogue's own, but tells of them for a week", async () => {
    const { name } = await createDatabase("CREATE TABLE a (x);");
    await night();
    await resetAccount();
    await hours(27);
    expect(await problemsAs(FAILING)).toHaveLength(2);
    await night();
    await hours(1);
    await night();
    expect(await problemsAs(DEGRADED)).toEqual([`database-gone ${name}`]);
    await hours(8 * 24);
    await night();
    expect(await problemsAs(OK)).toEqual([]);
    const { results } = await env.CATALOG.prepare("SELECT name, listed FROM databases").run();
    expect(results).toMatchObject([{ listed: 0 }]);
    expect(results).not.toContainEqual(expect.objectContaining({ name: "d1-nightly-catalog" }));
  });

  it("is degraded while no database bears the catalogue's name", async () => {
    await createDatabase("CREATE TABLE a (x);");
    await night();
    expect(await problemsAs(OK)).toEqual([]);
    const catalog = await idOf("d1-nightly-catalog");
    await renameDatabase(catalog, "d1-nightly-index");
    await night();
    expect(await problemsAs(DEGRADED)).toEqual(["catalog-not-found"]);
    await renameDatabase(catalog, "d1-nightly-catalog");
    await night();
    expect((await health()).problems.map(({ code }) => code)).not.toContain("catalog-not-found");
  });

  it("is failing while a database that is not the catalogue is left out under its name", async () => {
    const catalog = await idOf("d1-nightly-catalog");
    await night();
    await renameDatabase(catalog, "d1-nightly-index");
    const { id } = await createDatabase(
      "CREATE TABLE orders (x); CREATE TABLE runs (x);",
      "d1-nightly-catalog",
    );
    await fire("*/5 * * * *");
    await driveAccount(1_000);
    expect((await health()).problems.map(({ code }) => code)).toContain("catalog-is-another");
    await deleteDatabase(id);
    await renameDatabase(catalog, "d1-nightly-catalog");
    await fire("*/5 * * * *");
    await driveAccount(1_000);
    expect((await health()).problems.map(({ code }) => code)).not.toContain("catalog-is-another");
  });

  it("is degraded while nothing tells how often its only trigger fires, nor how old a backup may be", async () => {
    const { id } = await createDatabase("CREATE TABLE a (x);");
    await fire("0 3 L-3 * *");
    await night();
    expect(await problemsAs(DEGRADED)).toEqual(["trigger-unreadable"]);
    expect((await health()).problems[0]).toMatchObject({
      detail: expect.stringContaining("0 3 L-3 * *"),
      hint: expect.stringContaining("freshnessMs"),
    });
    await setPolicy(id, { freshnessMs: 26 * 3_600_000 });
    await runDurableObjectAlarm(account());
    expect(await problemsAs(OK)).toEqual([]);
    await setPolicy(id, {});
    await fire("0 3 * * *");
    await runDurableObjectAlarm(account());
    expect((await health()).problems.map(({ code }) => code)).not.toContain("trigger-unreadable");
  });

  it("is degraded when its databases could not be listed", async () => {
    expectLog("listing-failed");
    await createDatabase("CREATE TABLE a (x);");
    await night();
    await setFaults("*", [{ on: "list", fault: "status", value: 403 }]);
    await call("/api/backups", { method: "POST" });
    expect(await problemsAs(DEGRADED)).toEqual(["listing-failed"]);
    await setFaults("*", []);
    await night();
    expect(await problemsAs(OK)).toEqual([]);
  });
});

describe("the catalogue", () => {
  it("that is down fails no sweep, makes health say so, and is told when it is back", async () => {
    const { name } = await createDatabase("CREATE TABLE a (x);");
    await env.CATALOG.exec("ALTER TABLE databases RENAME TO databases_away");
    await night();
    expect(await (await call("/api/sweeps/latest")).json()).toMatchObject({
      sweep: { state: "done", started: 1 },
    });
    expect(await problemsAs(FAILING)).toEqual(["catalog-unreadable"]);
    await env.CATALOG.exec("ALTER TABLE databases_away RENAME TO databases");
    // Long enough that it should have been told of the listing by now.
    vi.setSystemTime(Date.now() + 11 * 60_000);
    expect(await problemsAs(FAILING)).toEqual(["catalog-behind"]);
    await runDurableObjectAlarm(account());
    const { results } = await env.CATALOG.prepare("SELECT name, listed FROM databases").run();
    expect(results).toEqual([{ name, listed: 1 }]);
    expect(await problemsAs(OK)).toEqual([]);
  });

  it("is never told that databases are gone because the next list could not be read", async () => {
    expectLog("listing-failed");
    const { name } = await createDatabase("CREATE TABLE a (x);");
    await night();
    await hours(1);
    await env.CATALOG.exec("ALTER TABLE databases RENAME TO databases_away");
    await night();
    await env.CATALOG.exec("ALTER TABLE databases_away RENAME TO databases");
    await setFaults("*", [{ on: "list", fault: "status", value: 403 }]);
    await call("/api/backups", { method: "POST" });
    vi.setSystemTime(Date.now() + 11 * 60_000);
    await runDurableObjectAlarm(account());
    const { results } = await env.CATALOG.prepare("SELECT name, listed FROM databases").run();
    expect(results).toEqual([{ name, listed: 1 }]);
    expect(await problemsAs(DEGRADED)).toEqual(["listing-failed"]);
    await setFaults("*", []);
    await night();
    expect(await problemsAs(OK)).toEqual([]);
  });

  it("that was made anew is failing until the next listing, and knows the rest with the next runs", async () => {
    expectLog("run-failed");
    const database = await createDatabase("CREATE TABLE a (x);");
    await night();
    await env.CATALOG.exec("DELETE FROM databases");
    vi.setSystemTime(Date.now() + 11 * 60_000);
    expect(await problemsAs(FAILING)).toEqual(["catalog-behind"]);
    await setFaults(database.id, [{ on: "download", fault: "empty" }]);
    await night({ force: true });
    expect(await problemsAs(DEGRADED)).toEqual([`run-failed ${database.name}`]);
    const row = await env.CATALOG.prepare("SELECT fresh_at, last_backup_id FROM databases").first();
    expect(row).toEqual({
      fresh_at: expect.any(String),
      last_backup_id: expect.stringContaining(database.name),
    });
  });
});

describe("the configuration", () => {
  const admin = { Authorization: "Bearer admin-token-for-tests" };

  it.each<[string, object]>([
    ["without an account", { CLOUDFLARE_ACCOUNT_ID: "" }],
    ["with a recipient that is none", { AGE_RECIPIENTS: "age1nobody" }],
  ])("%s is failing, and said to whom has a token", async (_, changes) => {
    const response = await ask("/healthz", changes);
    expect([response.status, await response.text()]).toEqual(FAILING);
    const told = await ask("/api/health", changes, admin);
    expect(told.status).toBe(200);
    expect(told.headers.get("Cache-Control")).toBe("no-store");
    expect(healthSchema.parse(await told.json())).toMatchObject({
      status: "failing",
      problems: [{ code: "configuration", detail: expect.stringContaining(Object.keys(changes)[0] ?? "") }],
    });
    expect((await ask("/api/health", changes)).status).toBe(401);
  });

  it("that lets nobody in by mistake is failing", async () => {
    const response = await ask("/healthz", { ADMIN_TOKEN: "short" });
    expect([response.status, await response.text()]).toEqual(FAILING);
  });
});

describe("who asks", () => {
  it("/healthz needs no token, and its answer is not stored anywhere", async () => {
    const response = await exports.default.fetch("http://worker.test/healthz");
    expect(response.status).toBe(200);
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    const posted = await exports.default.fetch("http://worker.test/healthz", { method: "POST" });
    expect(posted.status).toBe(405);
  });

  it("/healthz very often does not make it look each time", async () => {
    expect(await monitored()).toEqual(DEGRADED);
    await env.CATALOG.exec("ALTER TABLE databases RENAME TO databases_away");
    vi.setSystemTime(Date.now() + STATUS_KEPT_MS - 1);
    const soon = await exports.default.fetch("http://worker.test/healthz");
    expect([soon.status, await soon.text()]).toEqual(DEGRADED);
    expect(await monitored()).toEqual(FAILING);
    await env.CATALOG.exec("ALTER TABLE databases_away RENAME TO databases");
    expect(await monitored()).toEqual(DEGRADED);
  });

  it("/healthz while it is being looked up gets the last answer", async () => {
    expectLog("account-silent");
    expect(await monitored()).toEqual(DEGRADED);
    let asked = 0;
    const released = Promise.withResolvers<void>();
    const held = {
      health: async () => {
        asked++;
        await released.promise;
        throw new Error("no answer after all");
      },
    };
    const changes = { ACCOUNT_COORDINATOR: { getByName: () => held } };
    vi.setSystemTime(Date.now() + STATUS_KEPT_MS);
    const looking = ask("/healthz", changes);
    const meanwhile = await Promise.all([ask("/healthz", changes), ask("/healthz", changes)]);
    for (const response of meanwhile) expect([response.status, await response.text()]).toEqual(DEGRADED);
    expect(asked).toBe(1);
    released.resolve();
    // An account that does not answer is no reason not to answer.
    expect([(await looking).status, await (await looking).text()]).toEqual(FAILING);
    expect(await monitored()).toEqual(DEGRADED);
  });

  it("/api/health needs a viewer", async () => {
    expect((await exports.default.fetch("http://worker.test/api/health")).status).toBe(401);
    const viewer = { Authorization: "Bearer viewer-token-for-tests" };
    expect((await call("/api/health", { headers: viewer })).status).toBe(200);
  });
});
