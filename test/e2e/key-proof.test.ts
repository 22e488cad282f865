import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { startWranglerDev, type WranglerDev } from "../../scripts/wrangler-dev.ts";
import { pathOf } from "../kit/programs.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "d1-nightly-key-"));
const key = join(folder, "key.txt");
let worker: WranglerDev;

beforeAll(async () => {
  const identity = await generateX25519Identity();
  writeFileSync(key, `${identity}\n`);
  worker = await startWranglerDev({
    config: "wrangler.jsonc",
    persistTo: join(folder, "state"),
    vars: {
      AGE_RECIPIENTS: await identityToRecipient(identity),
      ADMIN_TOKEN: "admin-token-for-tests",
      CLOUDFLARE_ACCOUNT_ID: "emulated-account",
      CLOUDFLARE_API_TOKEN: "emulated-token",
    },
  });
});

afterAll(async () => {
  await worker?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const view = z.object({ items: z.array(z.object({ proven: z.boolean(), challenge: z.string() })) });

async function keyProof(init: RequestInit = {}): Promise<z.infer<typeof view>> {
  const headers = { Authorization: "Bearer admin-token-for-tests" };
  const response = await fetch(`${worker.url}/api/key-proof`, { ...init, headers });
  return view.parse(await response.json());
}

it("Debian's age decrypts a challenge, and what it prints is the proof", async () => {
  const { items } = await keyProof();
  expect(items).toMatchObject([{ proven: false }]);
  const challenge = join(folder, "challenge.age");
  writeFileSync(challenge, items[0]?.challenge ?? "");
  const { stdout } = await run(pathOf("age"), ["-d", "-i", key, challenge]);
  const proven = await keyProof({ method: "POST", body: JSON.stringify({ answers: [stdout] }) });
  expect(proven.items).toMatchObject([{ proven: true }]);
});

it("a Worker whose catalogue has no tables is failing, and says so to whom has a token", async () => {
  const monitored = await fetch(`${worker.url}/healthz`);
  expect([monitored.status, await monitored.json()]).toEqual([503, { status: "failing" }]);
  const headers = { Authorization: "Bearer admin-token-for-tests" };
  const health = await fetch(`${worker.url}/api/health`, { headers });
  expect(await health.json()).toMatchObject({
    problems: [{ code: "catalog-unreadable", hint: expect.stringContaining("migrations apply") }],
  });
});
