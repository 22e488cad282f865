import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Policy } from "../src/core/policy/policy.ts";
import { HttpClient } from "./start/round/http-client.ts";
import { readBack, type StoredBackup } from "./start/round/read-back.ts";
import { runWrangler, startWranglerDev, type WranglerDev } from "./wrangler-dev.ts";

// Backups as the real Worker makes them, of databases in the emulator: for tests and for the golden backups.

const ACCOUNT = "emulated-account";
const TOKEN = "emulated-token";
export const ADMIN_TOKEN = "admin-token-of-this-machine";
const POLL_MS = 100;

/** A database of the emulated account. */
export interface Database {
  readonly id: string;
  readonly name: string;
}

const created = z.object({ uuid: z.string() });
const listed = z.object({ result: z.array(z.object({ uuid: z.string(), name: z.string() })) });
const answer = z.object({
  result: z.array(z.object({ results: z.object({ rows: z.array(z.array(z.unknown())) }) })),
});

export class EmulatedAccount {
  readonly #dev: WranglerDev;
  readonly #control: HttpClient;
  readonly #client: HttpClient;

  private constructor(dev: WranglerDev) {
    this.#dev = dev;
    this.#control = new HttpClient(`${dev.url}/_emulator`);
    this.#client = new HttpClient(`${dev.url}/client/v4/accounts/${ACCOUNT}/d1/database`, TOKEN);
  }

  static async start(folder: string): Promise<EmulatedAccount> {
    const persistTo = join(folder, "emulator");
    return new EmulatedAccount(await startWranglerDev({ config: "emulator/wrangler.jsonc", persistTo }));
  }

  /** What a client has to be told to speak to this account; the names are wrangler's. */
  get environment(): Record<
    "CLOUDFLARE_API_BASE_URL" | "CLOUDFLARE_API_TOKEN" | "CLOUDFLARE_ACCOUNT_ID",
    string
  > {
    return {
      CLOUDFLARE_API_BASE_URL: `${this.#dev.url}/client/v4`,
      CLOUDFLARE_API_TOKEN: TOKEN,
      CLOUDFLARE_ACCOUNT_ID: ACCOUNT,
    };
  }

  async create(name: string, sql: string): Promise<Database> {
    return { id: (await this.#control.send("POST", "/databases", { name, sql }, created)).uuid, name };
  }

  async samples(): Promise<Record<string, string>> {
    return this.#control.send("POST", "/samples", {}, z.record(z.string(), z.string()));
  }

  async find(name: string): Promise<Database> {
    const { result } = await this.#client.get(`?name=${encodeURIComponent(name)}`, listed);
    const found = result.find((database) => database.name === name);
    if (found === undefined) throw new Error(`the emulated account has no database ${name}`);
    return { id: found.uuid, name };
  }

  /** The rows of one query, as lists of their columns. */
  async rows(database: Database, sql: string): Promise<unknown[][]> {
    const { result } = await this.#client.send("POST", `/${database.id}/raw`, { sql }, answer);
    return result[0]?.results.rows ?? [];
  }

  close(): Promise<void> {
    return this.#dev.kill();
  }
}

const runSchema = z.object({
  id: z.string(),
  state: z.string(),
  finishedAt: z.string().nullable(),
  backupId: z.string().nullable(),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
});

export class LocalWorker {
  readonly #dev: WranglerDev;
  readonly #api: HttpClient;

  private constructor(dev: WranglerDev) {
    this.#dev = dev;
    this.#api = new HttpClient(dev.url, ADMIN_TOKEN);
  }

  /** A Worker with a bucket of its own in `folder`. */
  static async start(
    folder: string,
    account: EmulatedAccount,
    variables: Readonly<Record<string, string>>,
  ): Promise<LocalWorker> {
    mkdirSync(folder, { recursive: true });
    await runWrangler(["d1", "migrations", "apply", "CATALOG", "--local", "--persist-to", folder]);
    const vars = { ADMIN_TOKEN, ...account.environment, ...variables };
    return new LocalWorker(await startWranglerDev({ config: "wrangler.jsonc", persistTo: folder, vars }));
  }

  get url(): string {
    return this.#dev.url;
  }

  /** Backs the database up under this policy, whether it has changed or not, and fetches all files below `target`. */
  async backUp({ id }: Database, policy: Policy, target: string): Promise<StoredBackup> {
    await this.#api.send("PUT", `/api/databases/${id}/policy`, policy, z.unknown());
    const begun = z.object({ run: runSchema });
    let { run } = await this.#api.send("POST", `/api/databases/${id}/backups`, { force: true }, begun);
    while (run.finishedAt === null) {
      await sleep(POLL_MS);
      run = await this.#api.get(`/api/runs/${run.id}`, runSchema);
    }
    if (run.state !== "complete" || run.backupId === null)
      throw new Error(`the backup is ${run.state}: ${run.error?.code ?? ""} ${run.error?.detail ?? ""}`);
    return readBack(this.#api, run.backupId, target, () => undefined);
  }

  close(): Promise<void> {
    return this.#dev.kill();
  }
}
