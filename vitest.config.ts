import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-pool-workers";
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption";
import { build } from "esbuild";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** The emulator runs as a second Worker beside the one under test and answers all that it fetches. */
async function bundleEmulator(): Promise<string> {
  const outfile = ".build/emulator.js";
  await build({
    entryPoints: ["emulator/src/index.ts"],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd"],
    external: ["cloudflare:*", "node:*"],
  });
  return outfile;
}

/** A test takes some seconds on a machine that does much else. Only one that hangs takes longer. */
const PATIENCE_MS = 20_000;

/** The Worker, with the emulator behind it. */
function workerProject(name: string, moreBindings: () => Promise<Record<string, string>>) {
  return {
    plugins: [
      cloudflareTest(async () => ({
        main: "./src/index.ts",
        wrangler: { configPath: "./wrangler.jsonc" },
        miniflare: {
          bindings: {
            CLOUDFLARE_ACCOUNT_ID: "emulated-account",
            CLOUDFLARE_API_TOKEN: "emulated-token",
            CLOUDFLARE_API_BASE_URL: "http://emulator.test/client/v4",
            ADMIN_TOKEN: "admin-token-for-tests",
            VIEWER_TOKEN: "viewer-token-for-tests",
            VOLUME_BYTES: "1048576",
            TEST_MIGRATIONS: await readD1Migrations("migrations"),
            ...(await moreBindings()),
          },
          outboundService: "emulator",
          workers: [
            {
              name: "emulator",
              modules: true,
              scriptPath: await bundleEmulator(),
              compatibilityDate: "2026-10-01",
              durableObjects: {
                DATABASES: { className: "EmulatedDatabase", useSQLite: true },
                ACCOUNT: { className: "EmulatedAccount", useSQLite: true },
              },
              r2Buckets: ["DUMPS"],
            },
          ],
        },
      })),
    ],
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      setupFiles: ["test/worker/setup.ts"],
      testTimeout: PATIENCE_MS,
    },
  };
}

/** The emulator by itself, and how long its fuzzing goes on. */
function emulatorProject(name: string, include: string[], fuzzMs: number) {
  return {
    plugins: [
      cloudflareTest({
        main: "./emulator/src/index.ts",
        wrangler: { configPath: "./emulator/wrangler.jsonc" },
        miniflare: {
          // miniflare's own D1, whose export is what the emulator's dumps are compared with
          d1Databases: ["REFERENCE"],
          bindings: { POLL_WAIT_MS: "0", FUZZ_MS: `${fuzzMs}`, FUZZ_SEED: process.env["FUZZ_SEED"] ?? "1" },
        },
      }),
    ],
    test: { name, include, testTimeout: PATIENCE_MS },
  };
}

/** Two keys, of both kinds, whose private halves only the tests hold. */
async function encryption(): Promise<Record<string, string>> {
  const identities = [await generateX25519Identity(), await generateHybridIdentity()];
  const recipients = await Promise.all(identities.map((identity) => identityToRecipient(identity)));
  return { AGE_RECIPIENTS: recipients.join(","), TEST_IDENTITIES: identities.join(",") };
}

const e2e = {
  globalSetup: "test/kit/programs.ts",
  include: ["test/e2e/**/*.test.ts"],
  testTimeout: 120_000,
  hookTimeout: 120_000,
  fileParallelism: false,
};

/** `npm test` prints a dot for each test that passes, a run by hand their names. */
const reporter = process.env["npm_lifecycle_event"] === "test" ? "dot" : "default";

/** Where a report for machines goes, besides the one that people read. */
const report = process.env["VITEST_JSON"];

export default defineConfig({
  test: {
    globalSetup: ["test/kit/temporary-folder.ts", "test/kit/runtime-noise.ts"],
    // Vitest would leave one core to itself, and on two run one file after the other.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    reporters: report === undefined ? [reporter] : [reporter, ["json", { outputFile: report }]],
    projects: [
      // Pure: nothing to keep apart.
      { test: { name: "core", isolate: false, include: ["test/core/**/*.test.ts"] } },
      workerProject("worker", async () => ({})),
      workerProject("encrypted", encryption),
      // What takes long, for the soak.
      workerProject("long", async () => ({})),
      emulatorProject("emulator", ["test/emulator/**/*.test.ts"], 1_000),
      { test: { name: "e2e", ...e2e } },
      emulatorProject("fuzz", ["test/emulator/dump/fuzz.test.ts"], 75_000),
      { test: { name: "soak", ...e2e, include: ["test/soak/**/*.test.ts"], testTimeout: 1_200_000 } },
    ],
  },
});
