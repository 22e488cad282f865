import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { startFront, type Front } from "../../emulator/front.ts";
import { runWrangler, startWranglerDev, type WranglerDev } from "../../scripts/wrangler-dev.ts";

// What only real sockets show: false lengths, bodies that end early, connections that drop. The Worker is the real one.

const folder = mkdtempSync(join(tmpdir(), "d1-nightly-front-"));
const authorization = { Authorization: "Bearer admin-token-for-tests" };
let emulator: WranglerDev;
let worker: WranglerDev;
let front: Front;

beforeAll(async () => {
  const migrate = ["d1", "migrations", "apply", "CATALOG", "--local", "--persist-to", join(folder, "worker")];
  [emulator] = await Promise.all([
    startWranglerDev({ config: "emulator/wrangler.jsonc", persistTo: join(folder, "emulator") }),
    runWrangler(migrate),
  ]);
  front = await startFront({ port: 0, target: emulator.port });
  worker = await startWranglerDev({
    config: "wrangler.jsonc",
    persistTo: join(folder, "worker"),
    vars: {
      CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${front.port}/client/v4`,
      CLOUDFLARE_ACCOUNT_ID: "emulated-account",
      CLOUDFLARE_API_TOKEN: "emulated-token",
      ADMIN_TOKEN: "admin-token-for-tests",
    },
  });
});

afterAll(async () => {
  await Promise.all([worker.kill(), emulator.kill()]);
  await front.close();
  rmSync(folder, { recursive: true });
});

const runSchema = z.object({
  state: z.string(),
  backupId: z.string().nullable(),
  error: z.object({ code: z.string() }).nullable(),
});

async function backUp(faults: readonly object[]): Promise<{ run: z.infer<typeof runSchema>; uuid: string }> {
  const name = `db-${crypto.randomUUID()}`;
  const sql = "CREATE TABLE t (a); INSERT INTO t VALUES ('one'), ('two'), ('three');";
  const created = await fetch(`${emulator.url}/_emulator/databases`, {
    method: "POST",
    body: JSON.stringify({ name, sql }),
  });
  const { uuid } = z.object({ uuid: z.string() }).parse(await created.json());
  const control = `${emulator.url}/_emulator/databases/${uuid}/faults`;
  expect((await fetch(control, { method: "PUT", body: JSON.stringify(faults) })).status).toBe(200);
  const started = await fetch(`${worker.url}/api/databases/${uuid}/backups`, {
    method: "POST",
    headers: authorization,
  });
  expect(started.status).toBe(202);
  const location = started.headers.get("Location") ?? "";
  for (;;) {
    const run = runSchema.parse(
      await (await fetch(worker.url + location, { headers: authorization })).json(),
    );
    if (["complete", "failed"].includes(run.state)) return { run, uuid };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function dumpOf(backupId: string | null): Promise<string> {
  return (await fetch(`${worker.url}/api/backups/${backupId}/dump.sql`, { headers: authorization })).text();
}

const DUMP = `PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE t (a);
INSERT INTO "t" ("a") VALUES('one');
INSERT INTO "t" ("a") VALUES('two');
INSERT INTO "t" ("a") VALUES('three');`;

describe("over real sockets, a run", () => {
  it.each([
    ["nothing goes wrong", []],
    ["the connection to the API drops before the headers", [{ on: "query", fault: "drop", times: 2 }]],
    ["the connection to the storage drops before the headers", [{ on: "download", fault: "drop", times: 2 }]],
    ["the body ends before what was announced", [{ on: "download", fault: "truncate", value: 60, times: 2 }]],
    ["the body is reset in the middle", [{ on: "download", fault: "reset", value: 60, times: 2 }]],
    [
      "a false Content-Length is announced once",
      [
        { on: "download", fault: "ignore-range", times: 1 },
        { on: "download", fault: "wrong-length", value: 1_000, times: 1 },
      ],
    ],
  ])(
    "completes when %s",
    async (_, faults) => {
      const { run } = await backUp(faults);
      expect(run).toMatchObject({ state: "complete", error: null });
      expect(await dumpOf(run.backupId)).toBe(DUMP);
    },
    60_000,
  );

  it.each([
    ["longer", 1_000, /dump-(truncated|changed|unreachable)/],
    ["shorter", 90, /dump-(changed|incomplete-statement)/],
  ])(
    "fails, and stores nothing, when the dump is always announced %s than it is",
    async (_, value, code) => {
      const { run } = await backUp([
        { on: "download", fault: "ignore-range" },
        { on: "download", fault: "wrong-length", value },
      ]);
      expect(run).toMatchObject({ state: "failed", backupId: null });
      expect(run.error?.code).toMatch(code);
    },
    120_000,
  );
});

it("no secret and no row stands in the Worker's log", () => {
  expect(worker.output()).toContain("/api/runs/");
  expect(worker.output()).not.toMatch(/_signed|emulated-token|admin-token-for-tests|'three'/);
});
