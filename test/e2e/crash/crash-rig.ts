import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { freePort, runWrangler, startWranglerDev, type WranglerDev } from "../../../scripts/wrangler-dev.ts";
import { ACCOUNT, createSource, type SourceContents, type SourceDatabase } from "./emulated-source.ts";
import { KillSwitch } from "./kill-switch.ts";

export interface CrashRigOptions {
  readonly volumeBytes: number;
  readonly compression: "gzip" | "none";
}

/** Who dies. */
export type Victims = "everything" | "the Worker";

const runSchema = z.object({
  id: z.string(),
  state: z.string(),
  progress: z.object({ step: z.string(), bytesDone: z.number().nullable() }),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
  backupId: z.string().nullable(),
});
export type RunAnswer = z.infer<typeof runSchema>;

const MEBIBYTE = 1024 * 1024;
export const IN_FIVE_VOLUMES: CrashRigOptions = { volumeBytes: MEBIBYTE, compression: "gzip" };
/** Volumes of this size go through multipart uploads. */
export const IN_PARTS: CrashRigOptions = { volumeBytes: 16 * MEBIBYTE, compression: "none" };
export const PARTED_DUMP: SourceContents = { syntheticBytes: 40 * MEBIBYTE };

const WORKER_CONFIG = fileURLToPath(new URL("wrangler.jsonc", import.meta.url));
const EMULATOR_CONFIG = fileURLToPath(new URL("../../../emulator/wrangler.jsonc", import.meta.url));
const ADMIN_TOKEN = "admin-token-of-the-crash-rig";

/** Long enough for an export to be under way for a while; done when the first poll comes, a second later. */
const EXPORT_MS = "700";

/** A recovery that takes longer is none. D1 itself keeps a database busy for 15 s after an export is lost. */
const RECOVERY_LIMIT_MS = 90_000;

/** The Worker under test and the emulator, each a process group of its own, that die and come back on one folder. */
export class CrashRig {
  readonly killSwitch: KillSwitch;
  readonly #folder: string;
  readonly #options: CrashRigOptions;
  readonly #ports: { worker: number; emulator: number };
  readonly #alive: { worker: WranglerDev | null; emulator: WranglerDev | null } = {
    worker: null,
    emulator: null,
  };

  private constructor(
    folder: string,
    options: CrashRigOptions,
    ports: { worker: number; emulator: number },
    killSwitch: KillSwitch,
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#ports = ports;
    this.killSwitch = killSwitch;
  }

  static async start(options: CrashRigOptions): Promise<CrashRig> {
    const folder = await mkdtemp(join(tmpdir(), "d1-nightly-crash-"));
    const ports = { worker: await freePort(), emulator: await freePort() };
    const rig = new CrashRig(folder, options, ports, await KillSwitch.listen());
    try {
      const catalog = ["d1", "migrations", "apply", "CATALOG", "--local"];
      await runWrangler([...catalog, "-c", WORKER_CONFIG, "--persist-to", join(folder, "worker")]);
      await rig.bringBack();
      return rig;
    } catch (error) {
      await rig.close();
      throw error;
    }
  }

  /** SIGKILL. Resolves when every process is gone and the ports are closed. */
  async kill(victims: Victims): Promise<void> {
    const dying = victims === "everything" ? (["worker", "emulator"] as const) : (["worker"] as const);
    await Promise.all(dying.map((name) => this.#alive[name]?.kill("SIGKILL")));
    for (const name of dying) this.#alive[name] = null;
  }

  /** Starts what is dead, on the folders and ports that it had. */
  async bringBack(): Promise<void> {
    // Both are waited for and kept, so that the one that came up is killed in the end if the other one did not.
    const starts = await Promise.allSettled([
      this.#start("worker", () => this.#startWorker()),
      this.#start("emulator", () => this.#startEmulator()),
    ]);
    for (const start of starts) if (start.status === "rejected") throw start.reason;
  }

  async close(): Promise<void> {
    await this.kill("everything");
    await this.killSwitch.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** All of its backups are kept: what retention deletes would not be told from what a crash has lost. */
  async createSource(name: string, contents: SourceContents): Promise<SourceDatabase> {
    const source = await createSource(this.#emulatorUrl, name, contents);
    const policy = { retention: { keepLast: 10_000 } };
    await this.json(`/api/databases/${source.id}/policy`, { method: "PUT", body: JSON.stringify(policy) });
    return source;
  }

  /** The next download of the database's dump sends so many bytes and then nothing more, without an end. */
  async stallNextDownload(database: SourceDatabase, afterBytes: number): Promise<void> {
    const response = await fetch(`${this.#emulatorUrl}/_emulator/databases/${database.id}/faults`, {
      method: "PUT",
      body: JSON.stringify([{ on: "download", fault: "stall", value: afterBytes, times: 1 }]),
    });
    if (!response.ok) throw new Error(`the fault was refused: ${await response.text()}`);
  }

  /** Asks for a backup, examined, so that the first is as the others are; returns the id of its run. */
  async requestBackup(database: SourceDatabase): Promise<string> {
    const answer = z.object({ run: runSchema });
    const path = `/api/databases/${database.id}/backups`;
    return answer.parse(await this.json(path, { method: "POST", body: '{"force":true,"examine":true}' })).run
      .id;
  }

  async run(id: string): Promise<RunAnswer> {
    return runSchema.parse(await this.json(`/api/runs/${id}`));
  }

  async runUntil(id: string, reached: (run: RunAnswer) => boolean): Promise<RunAnswer> {
    return eventually(
      `run ${id}`,
      () => this.run(id),
      (run) => reached(run),
    );
  }

  /** Waits for the end of the run, however it ends. */
  runToItsEnd(id: string): Promise<RunAnswer> {
    return this.runUntil(id, ({ state }) => ["complete", "failed", "cancelled", "unchanged"].includes(state));
  }

  async json(path: string, init: RequestInit = {}): Promise<unknown> {
    const response = await this.fetch(path, init);
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
    return fetch(`http://127.0.0.1:${this.#ports.worker}${path}`, { ...init, headers });
  }

  get #emulatorUrl(): string {
    return `http://127.0.0.1:${this.#ports.emulator}`;
  }

  async #start(name: "worker" | "emulator", start: () => Promise<WranglerDev>): Promise<void> {
    this.#alive[name] ??= await start();
  }

  #startWorker(): Promise<WranglerDev> {
    return startWranglerDev({
      config: WORKER_CONFIG,
      port: this.#ports.worker,
      persistTo: join(this.#folder, "worker"),
      vars: {
        CLOUDFLARE_ACCOUNT_ID: ACCOUNT,
        CLOUDFLARE_API_TOKEN: "emulated-token",
        CLOUDFLARE_API_BASE_URL: `${this.#emulatorUrl}/client/v4`,
        ADMIN_TOKEN,
        VOLUME_BYTES: String(this.#options.volumeBytes),
        COMPRESSION: this.#options.compression,
        KILL_SWITCH_URL: this.killSwitch.url,
      },
    });
  }

  #startEmulator(): Promise<WranglerDev> {
    return startWranglerDev({
      config: EMULATOR_CONFIG,
      port: this.#ports.emulator,
      persistTo: join(this.#folder, "emulator"),
      vars: { EXPORT_MS },
    });
  }
}

/** Asks again and again until the answer is the wanted one. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T>,
  wanted: (answer: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + RECOVERY_LIMIT_MS;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    if (Date.now() > deadline)
      throw new Error(`${what} did not get there, and is at ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}
