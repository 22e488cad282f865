import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createServer, connect } from "node:net";
import { createRequire } from "node:module";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, resolve as resolvePath } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export type OnSpawn = (pid: number) => void | Promise<void>;

export interface WranglerDevOptions {
  /** A wrangler.jsonc. */
  readonly config: string;
  /** A free one is taken when left out. */
  readonly port?: number;
  /** Holds its temporary files as well: one that is killed leaves nothing outside of this folder. */
  readonly persistTo: string;
  readonly vars?: Readonly<Record<string, string>>;
  /** Read instead of `.dev.vars`: for values that must not be on a command line or in wrangler's output. */
  readonly envFile?: string;
  /** Called with the process group before anything runs in it, so that a caller can end it early: it is awaited. */
  readonly onSpawn?: OnSpawn;
  readonly readyTimeoutMs?: number;
}

export interface WranglerDev {
  readonly url: string;
  readonly port: number;
  /** The leader of a separate process group, with wrangler, its inner Node and workerd. */
  readonly pid: number;
  output(): string;
  /** Ends the whole group; resolves when every process is gone and the port is closed. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
}

const require = createRequire(import.meta.url);
/** Beside the package's manifest: the package does not export its command. */
export const WRANGLER = join(dirname(require.resolve("wrangler/package.json")), "bin", "wrangler.js");

/** wrangler without colours, questions and update notices. */
function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
    CI: "1",
    FORCE_COLOR: "0",
    NO_COLOR: "1",
  };
}

/**
 * A shell that becomes the command behind it when it is told to. Until then its group can be written down by whoever has
 * to end it: if we are killed before that, its input ends, and so does the shell.
 */
const HELD = ["-c", 'read -r go && exec "$@" </dev/null', "sh"] as const;

async function release(child: ChildProcessWithoutNullStreams, onSpawn: OnSpawn | undefined): Promise<void> {
  // One that could not be started, or was ended by then, reads no more.
  child.stdin.on("error", () => undefined);
  if (child.pid !== undefined) await onSpawn?.(child.pid);
  child.stdin.end("go\n");
}

/** A killed process leaves its temporary files behind; the next one on the same state deletes them. */
export function emptyTemporaryFolder(persistTo: string): string {
  const folder = resolvePath(persistTo, "tmp");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Starts `wrangler dev` and resolves when it answers. Rejects with its output when it does not come up. */
export async function startWranglerDev(options: WranglerDevOptions): Promise<WranglerDev> {
  const port = options.port ?? (await freePort());
  const vars = Object.entries(options.vars ?? {}).flatMap(([name, value]) => ["--var", `${name}:${value}`]);
  const args = [WRANGLER, "dev", "-c", options.config, "--ip", "127.0.0.1"];
  args.push(
    "--port",
    String(port),
    "--inspector-port",
    "0",
    "--persist-to",
    options.persistTo,
    "--test-scheduled",
    ...vars,
    ...(options.envFile === undefined ? [] : ["--env-file", options.envFile]),
  );
  const child = spawn("sh", [...HELD, process.execPath, ...args], {
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...environment(),
      TMPDIR: emptyTemporaryFolder(options.persistTo),
      // wrangler's own store of traces would keep whole addresses on disk, signed ones too
      X_LOCAL_OBSERVABILITY: "false",
    },
  });
  let output = "";
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-200_000);
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const pid = child.pid;
  if (pid === undefined) throw new Error("wrangler could not be started");
  await release(child, options.onSpawn);
  const kill = async (signal: "SIGKILL" | "SIGTERM" = "SIGTERM"): Promise<void> => {
    await endGroup(pid, signal);
    const patience = Date.now() + 10_000;
    while (await accepts(port)) {
      if (Date.now() > patience) throw new Error(`port ${port} outlives its process group ${pid}`);
      await sleep(20);
    }
  };
  const deadline = Date.now() + (options.readyTimeoutMs ?? 60_000);
  while (!(await answers(port))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      await kill("SIGKILL");
      throw new Error(`wrangler dev -c ${options.config} did not start:\n${output}`);
    }
    await sleep(50);
  }
  return { url: `http://127.0.0.1:${port}`, port, pid, output: () => output, kill };
}

/**
 * Runs one wrangler command to its end; rejects with its output when it fails. With `onSpawn` it runs in a
 * process group of its own, whose leader is told, so that it can be ended early.
 */
export async function runWrangler(
  args: readonly string[],
  env: Record<string, string> = {},
  cwd?: string,
  onSpawn?: OnSpawn,
): Promise<string> {
  const child = spawn("sh", [...HELD, process.execPath, WRANGLER, ...args], {
    detached: onSpawn !== undefined,
    stdio: ["pipe", "pipe", "pipe"],
    cwd,
    env: { ...environment(), ...env },
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  });
  await release(child, onSpawn);
  const code = await ended;
  if (code !== 0) throw new Error(`wrangler ${args.join(" ")} ended with ${code}:\n${output}`);
  return output;
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}

/** Whether anything listens on the port. */
export async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5_000) });
    await response.body?.cancel();
    return true;
  } catch {
    return false;
  }
}

/** Ends every process of a group, with SIGKILL after ten seconds; resolves when the last one is gone. */
export async function endGroup(pid: number, signal: "SIGKILL" | "SIGTERM" = "SIGTERM"): Promise<void> {
  signalGroup(pid, signal);
  const patience = Date.now() + 10_000;
  while (groupMembers(pid).length > 0) {
    if (Date.now() > patience) signalGroup(pid, "SIGKILL");
    if (Date.now() > patience + 10_000) throw new Error(`processes of group ${pid} outlive SIGKILL`);
    await sleep(20);
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** The living processes of a group; zombies that nobody has waited for yet do not count. */
export function groupMembers(group: number): number[] {
  if (process.platform !== "linux") return signalled(group) ? [group] : [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        return Number(processGroup) === group && state !== "Z";
      } catch {
        return false;
      }
    });
}

function signalled(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}
