import { R2Vault } from "./cloudflare/bucket/vault.ts";
import { D1CatalogRepair } from "./cloudflare/catalog/catalog-repair.ts";
import { D1Catalog } from "./cloudflare/catalog/catalog.ts";
import { D1DatabaseIndex } from "./cloudflare/catalog/database-index.ts";
import { ciphers } from "./cloudflare/codecs/age.ts";
import { codecs } from "./cloudflare/codecs/codecs.ts";
import { D1Rest } from "./cloudflare/d1/d1-rest.ts";
import { SignedUrlSource } from "./cloudflare/d1/dump-source.ts";
import { type ConfigProblem, readAccessConfig, readJobConfig } from "./config.ts";
import { failed, type Failure, ok, type Result } from "./core/failure.ts";
import type { Platform } from "./core/platform.ts";
import type { AccessRules } from "./http/dependencies.ts";
import packageJson from "../package.json" with { type: "json" };

/** Builds the platform from the environment, or reports everything that is wrong with the environment. */
export function connect(env: Env): Result<Platform> {
  const config = readJobConfig(env);
  if (!config.ok) return failed(misconfigured(config.problems));
  const { bucket, catalog, accountId, apiToken, apiBaseUrl, ...settings } = config.value;
  return ok({
    settings: { ...settings, accountId, tool: { name: packageJson.name, version: packageJson.version } },
    api: new D1Rest(apiBaseUrl, accountId, apiToken),
    source: new SignedUrlSource(),
    vault: new R2Vault(bucket),
    codecs: codecs(),
    ciphers: ciphers(),
    catalog: new D1Catalog(catalog),
    databases: new D1DatabaseIndex(catalog),
    repair: new D1CatalogRepair(catalog),
    now: () => Date.now(),
    random: () => Math.random(),
  });
}

export function accessRules(env: Env): Result<AccessRules> {
  const config = readAccessConfig(env);
  if (config.ok) return ok(config.value);
  // Report all problems together, including those of the jobs' configuration.
  const jobs = readJobConfig(env);
  return failed(misconfigured([...config.problems, ...(jobs.ok ? [] : jobs.problems)]));
}

function misconfigured(problems: readonly ConfigProblem[]): Failure {
  return {
    code: "configuration",
    detail: problems.map(({ name, problem }) => `${name} ${problem}`).join(". "),
    hint: "Correct these variables; the next request or alarm reads them again.",
    retryable: true,
  };
}
