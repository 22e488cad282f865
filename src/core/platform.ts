/**
 * What the core asks of the platform. src/cloudflare/ implements it, src/index.ts hands it in.
 * Every method may be called twice for the same thing, because any step may be repeated after a crash.
 * None throws for an expected failure.
 */
import type { Ciphers, Codecs } from "./bucket/codecs.ts";
import type { Compression } from "./bucket/object-keys.ts";
import type { Vault } from "./bucket/vault.ts";
import type { CatalogRepair } from "./catalog/catalog-repair.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { DatabaseIndex } from "./catalog/database-index.ts";
import type { D1Api } from "./d1/api.ts";
import type { DumpSource } from "./d1/dump-source.ts";
import type { Result } from "./failure.ts";

export interface Settings {
  readonly accountId: string;
  readonly catalogDatabaseName: string;
  readonly compression: Compression;
  readonly volumeBytes: number;
  /** The age recipients that every dump is encrypted to. If there are none, dumps are not encrypted. */
  readonly recipients: readonly string[];
  readonly keyPrefix: string;
  /** How many databases export at the same time. */
  readonly exportsAtOnce: number;
  /** The most calls to Cloudflare's API in 5 minutes, for everything that the Worker does. */
  readonly apiBudget: number;
  readonly tool: { readonly name: string; readonly version: string };
}

/** All of the platform that a job or a request needs. */
export interface Platform {
  readonly settings: Settings;
  readonly api: D1Api;
  readonly source: DumpSource;
  readonly vault: Vault;
  readonly codecs: Codecs;
  readonly ciphers: Ciphers;
  readonly catalog: Catalog;
  readonly databases: DatabaseIndex;
  readonly repair: CatalogRepair;
  now(): number;
  random(): number;
}

/** The platform, or why it cannot be had: a configuration that names each problem and its fix. */
export type Connect<Env> = (env: Env) => Result<Platform>;
