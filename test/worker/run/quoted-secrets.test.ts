import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createDatabase, type Fault } from "../kit/emulated-account.ts";
import { backUp, call, holdTheClock } from "../kit/run-driver.ts";

const VIEWER = { Authorization: "Bearer viewer-token-for-tests" };

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

/** As an error of Cloudflare's could quote a signed address, the Worker's token, and a row. */
const message = `D1 Export error: could not upload to https://r2.example/dump.sql?X-Amz-Signature=5ecretsign as emulated-token: near "row of ann": syntax error`;

it.each<[string, Fault[]]>([
  ["an export that ends with an error", [{ on: "export.start", fault: "export-error", message }]],
  ["a refused call", [{ on: "any", fault: "status", value: 400, message }]],
])("%s tells nobody what Cloudflare quotes", async (_, faults) => {
  const database = await createDatabase("CREATE TABLE t (a)");
  const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const run = await backUp(database, { force: true }, faults);
  expect(run).toMatchObject({
    state: "failed",
    error: { detail: expect.stringContaining("could not upload") },
  });
  const told = [JSON.stringify(run), JSON.stringify(log.mock.calls)];
  for (const path of [`/api/runs?database=${database.id}`, `/api/databases/${database.id}`, "/api/health"])
    told.push(await (await call(path, { headers: VIEWER })).text());
  for (const table of ["runs", "databases"])
    told.push(JSON.stringify((await env.CATALOG.prepare(`SELECT * FROM ${table}`).run()).results));
  for (const text of told) expect(text).not.toMatch(/5ecretsign|r2\.example|emulated-token|ann/);
  vi.restoreAllMocks();
});
