import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { z } from "zod";
import { startFront, type Front } from "../../emulator/front.ts";
import { runWrangler, startWranglerDev, type WranglerDev } from "../../scripts/wrangler-dev.ts";

// The real Worker, and the emulator behind its front, for the tests of the file that imports this.

const folder = mkdtempSync(join(tmpdir(), "d1-nightly-front-"));
const authorization = { Authorization: "Bearer admin-token-for-tests" };
let emulator: WranglerDev;
export let worker: WranglerDev;
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

/** Backs up a small database of its own under these faults, to the end of the run. */
export async function backUp(
  faults: readonly object[],
): Promise<{ run: z.infer<typeof runSchema>; uuid: string }> {
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

export async function dumpOf(backupId: string | null): Promise<string> {
  return (await fetch(`${worker.url}/api/backups/${backupId}/dump.sql`, { headers: authorization })).text();
}
