import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runWrangler } from "../../scripts/wrangler-dev.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "d1-nightly-bundle-"));
let bundle = "";

beforeAll(async () => {
  await runWrangler(
    ["deploy", "--dry-run", "--outdir", folder, "-c", join(root, "wrangler.jsonc")],
    {},
    root,
  );
  bundle = readFileSync(join(folder, "index.js"), "utf8");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("what is deployed encrypts by the platform's cipher, and brings no other along", () => {
  expect(bundle).toContain("chacha20-poly1305");
  // The constant that every implementation of ChaCha20 has to hold.
  expect(bundle).not.toMatch(/expand 32-byte k|expand 16-byte k/);
});
