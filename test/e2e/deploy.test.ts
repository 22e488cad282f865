import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";
import { z } from "zod";
import { freePort } from "../../scripts/wrangler-dev.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "d1-nightly-deploy-"));
const config = readFileSync(join(root, "wrangler.jsonc"), "utf8");

const metadataSchema = z.object({
  bindings: z.array(z.object({ name: z.string(), type: z.string(), text: z.string().optional() })),
  keep_bindings: z.array(z.string()),
});

function deploy(args: readonly string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, ["scripts/deploy.ts", ...args], {
    cwd: root,
    encoding: "utf8",
    // A wrangler that has failed looks for a newer release, and keeps the answer in the temporary folder.
    env: {
      ...process.env,
      CI: "1",
      NO_COLOR: "1",
      WRANGLER_SEND_METRICS: "false",
      TMPDIR: folder,
      ...env,
    },
  });
}

/** The project's configuration with something replaced, elsewhere. */
function configWith(name: string, changes: Readonly<Record<string, string>>): string {
  let text = config
    .replaceAll('"./src/', `"${root}/src/`)
    .replace('"src/index.ts"', `"${root}/src/index.ts"`);
  for (const [from, to] of Object.entries(changes)) {
    expect(text).toContain(from);
    text = text.replace(from, to);
  }
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("npm run deploy", () => {
  let said = "";
  let bundle = "";
  let metadata: z.infer<typeof metadataSchema>;

  beforeAll(() => {
    const renamed = configWith("renamed.jsonc", {
      '"database_name": "d1-nightly-catalog"': '"database_name": "my-catalog"',
    });
    const upload = join(folder, "upload");
    const run = deploy(["--dry-run", "--outdir", folder, "--outfile", upload, "--config", renamed]);
    expect(run.status, run.stdout + run.stderr).toBe(0);
    said = run.stdout;
    bundle = readFileSync(join(folder, "index.js"), "utf8");
    const line = readFileSync(upload, "utf8")
      .split("\n")
      .find((text) => text.startsWith('{"main_module"'));
    metadata = metadataSchema.parse(JSON.parse(line ?? ""));
  });

  it("tells the Worker by which name its catalogue is bound, whatever vars say, and says so", () => {
    expect(metadata.bindings).toContainEqual({
      name: "CATALOG_DATABASE_NAME",
      type: "plain_text",
      text: "my-catalog",
    });
    expect(said).toContain('Setting CATALOG_DATABASE_NAME to "my-catalog"');
  });

  it("keeps the variables and secrets that were set elsewhere", () => {
    expect(metadata.keep_bindings).toEqual(expect.arrayContaining(["plain_text", "secret_text"]));
  });

  it("sends a Worker that encrypts by the platform's cipher, and brings no other along", () => {
    expect(bundle).toContain("chacha20-poly1305");
    // The constant that every implementation of ChaCha20 has to hold.
    expect(bundle).not.toMatch(/expand 32-byte k|expand 16-byte k/);
  });

  it("deploys nothing when the catalogue's tables cannot be brought up to date", async () => {
    const { status, stdout, stderr } = deploy([], {
      CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${await freePort()}/client/v4`,
      CLOUDFLARE_API_TOKEN: "any",
      CLOUDFLARE_ACCOUNT_ID: "nobody",
    });
    expect(status, stdout).toBe(1);
    expect(stdout + stderr).toMatch(/fetch failed|ECONNREFUSED/);
    expect(stdout).not.toContain("Total Upload");
  });

  it("stops when the catalogue's binding has no name", () => {
    const nameless = configWith("nameless.jsonc", { '"database_name": "d1-nightly-catalog", ': "" });
    const { status, stderr } = deploy(["--dry-run", "-c", nameless]);
    expect(status).toBe(1);
    expect(stderr).toContain("no database_name for the D1 binding CATALOG");
  });
});

describe("a Deploy to Cloudflare button", () => {
  const { r2_buckets, d1_databases, vars } = z
    .object({
      r2_buckets: z.array(z.record(z.string(), z.unknown())),
      d1_databases: z.array(z.record(z.string(), z.unknown())),
      vars: z.record(z.string(), z.unknown()),
    })
    .parse(unstable_readConfig({ config: join(root, "wrangler.jsonc") }));
  const asked = parseEnv(readFileSync(join(root, ".dev.vars.example"), "utf8"));
  const { cloudflare } = z
    .object({
      cloudflare: z.object({ bindings: z.record(z.string(), z.object({ description: z.string() })) }),
    })
    .parse(createRequire(import.meta.url)("../../package.json"));

  it("finds the names of what it has to make, and nobody's ids", () => {
    expect(r2_buckets).toEqual([{ binding: "BACKUPS", bucket_name: "d1-nightly-backups" }]);
    expect(d1_databases).toEqual([
      expect.objectContaining({ binding: "CATALOG", database_name: "d1-nightly-catalog" }),
    ]);
    expect(d1_databases[0]).not.toHaveProperty("database_id");
  });

  it("asks for what is needed and nothing else, with no value filled in", () => {
    expect(asked).toEqual({ CLOUDFLARE_ACCOUNT_ID: "", CLOUDFLARE_API_TOKEN: "", ADMIN_TOKEN: "" });
  });

  it("describes each thing that it asks for", () => {
    const named = [...r2_buckets, ...d1_databases].map(({ binding }) => String(binding));
    expect(Object.keys(cloudflare.bindings).sort()).toEqual(
      [...named, ...Object.keys(vars), ...Object.keys(asked)].sort(),
    );
  });
});
