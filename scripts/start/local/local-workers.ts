import { spawn, type ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  emptyTemporaryFolder,
  endGroup,
  groupMembers,
  runWrangler,
  startWranglerDev,
  type WranglerDev,
} from "../../wrangler-dev.ts";
import { Trouble } from "../trouble.ts";

export interface WorkerToStart {
  /** As the person reads it. */
  readonly name: "the emulator" | "the Worker";
  readonly config: string;
  readonly port: number;
  readonly persistTo: string;
  readonly envFile?: string;
}

const WATCH_MS = 500;

/** Every process that `npm start` starts. stop() ends them all, and so does our own death. */
export class LocalWorkers {
  readonly #groups = new Set<number>();
  readonly #logs: string;
  readonly #watchdog: ChildProcess;
  #stopped = false;

  constructor(logs: string) {
    this.#logs = logs;
    // The folder is for whoever reads the list of processes.
    this.#watchdog = spawn(process.execPath, [join(import.meta.dirname, "watchdog.ts"), logs], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    // A watchdog that somebody killed must not end us too.
    this.#watchdog.stdin?.on("error", () => undefined);
    this.#watchdog.on("error", () => undefined);
  }

  /** Resolves when the Worker answers. */
  async start(worker: WorkerToStart): Promise<WranglerDev> {
    const { name, ...options } = worker;
    try {
      return await startWranglerDev({ ...options, onSpawn: (pid) => this.#own(pid) });
    } catch (error) {
      throw this.#troubleOf(`${name} did not start`, error);
    }
  }

  /** Runs one wrangler command on this state to its end. */
  async run(purpose: string, args: readonly string[], persistTo: string): Promise<void> {
    const started: number[] = [];
    const own = (pid: number): Promise<void> => {
      started.push(pid);
      return this.#own(pid);
    };
    try {
      const all = [...args, "--persist-to", persistTo];
      await runWrangler(all, { TMPDIR: emptyTemporaryFolder(persistTo) }, undefined, own);
    } catch (error) {
      throw this.#troubleOf(`${purpose} failed`, error);
    } finally {
      for (const pid of started) this.#groups.delete(pid);
    }
  }

  /** Never resolves; rejects if one of them ends unexpectedly. */
  async watch(name: string, worker: WranglerDev): Promise<never> {
    while (this.#stopped || groupMembers(worker.pid).includes(worker.pid)) await sleep(WATCH_MS);
    throw this.#troubleOf(`${name} ended unexpectedly`, new Error(worker.output()));
  }

  /** Ends all of them; resolves when no process is left. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const ended = await Promise.allSettled([...this.#groups].map((group) => endGroup(group)));
    const survivor = ended.find((result) => result.status === "rejected");
    if (survivor !== undefined) throw new Trouble(String(survivor.reason));
    await this.#dismissWatchdog();
  }

  /** Kills all of them immediately. */
  kill(): void {
    // The watchdog does that as soon as its input ends.
    this.#watchdog.stdin?.end();
  }

  /** Resolves when the watchdog will know the group, whatever becomes of us. */
  async #own(group: number): Promise<void> {
    this.#groups.add(group);
    const { stdin } = this.#watchdog;
    await new Promise<void>((resolve) => {
      if (stdin === null) resolve();
      else stdin.write(`${group}\n`, () => resolve());
    });
    if (this.#stopped) void endGroup(group, "SIGKILL").catch(() => undefined);
  }

  async #dismissWatchdog(): Promise<void> {
    if (this.#watchdog.exitCode !== null || this.#watchdog.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#watchdog.once("exit", resolve));
    this.#watchdog.stdin?.end("bye\n");
    await gone;
  }

  /** A paragraph with the end of wrangler's output; all of it goes into a file. */
  #troubleOf(what: string, error: unknown): Trouble {
    const words = error instanceof Error ? error.message : String(error);
    // wrangler logs the requests; their signatures are left out.
    const output = words.replace(/\?[\w%-]+=\S*/g, "?…");
    const log = join(this.#logs, "wrangler.log");
    writeFileSync(log, output);
    const lines = output.split("\n").filter((line) => line.trim() !== "");
    const tail = lines.slice(-8).map((line) => `  ${line.slice(0, 200)}`);
    return new Trouble(
      `${capitalized(what)}. The end of wrangler's output (all of it is in ${log}):\n\n${tail.join("\n")}`,
    );
  }
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
