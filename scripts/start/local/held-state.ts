import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { promisify } from "node:util";
import { Trouble } from "../trouble.ts";

/** A process, and its command line as far as that helps to recognise it. */
export interface Holder {
  readonly pid: number;
  readonly command: string;
}

const run = promisify(execFile);

/**
 * Throws if a process still has files in these folders open, or was started to keep its state there. A workerd whose
 * wrangler was killed keeps serving; a second one on the same files would damage the data of both.
 */
export async function requireFree(folders: readonly string[]): Promise<void> {
  const found = await holdersOf(folders);
  if (found.length === 0) return;
  const pids = found.map(({ pid }) => pid).join(" ");
  throw new Trouble(
    `Other processes still use the state in ${folders.join(" and ")}, and a second start would damage it:\n\n` +
      `${found.map(({ pid, command }) => `  pid ${pid}  ${command}`).join("\n")}\n\n` +
      "If d1-nightly runs in another terminal, use that one. If an earlier start left these processes, end them:\n\n" +
      `  kill ${pids}`,
  );
}

async function holdersOf(folders: readonly string[]): Promise<Holder[]> {
  if (process.platform !== "linux") return holdersByLsof(folders);
  const inside = (path: string): boolean =>
    folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
  const all = everyProcess();
  const holders = all.filter(({ pid }) => {
    // wrangler itself opens nothing there, its workerd does.
    const words = argumentsOf(pid);
    const keepsStateThere = words.some((word, index) => words[index - 1] === "--persist-to" && inside(word));
    return keepsStateThere || openFiles(pid).some(inside);
  });
  // A second workerd of the same wrangler listens for it and holds the port: it has to go too.
  const groups = new Set(holders.map(({ pid }) => groupOf(pid)));
  return all.filter(
    (process) =>
      holders.includes(process) ||
      (process.command.startsWith("workerd ") && groups.has(groupOf(process.pid))),
  );
}

/** The process that listens on the port, on any address; null if it cannot be found. */
export async function listenerOn(port: number): Promise<Holder | null> {
  if (process.platform !== "linux") {
    const [first] = await lsof(["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"]);
    return first ?? null;
  }
  const sockets = new Set(listeningInodes(port).map((inode) => `socket:[${inode}]`));
  return everyProcess().find(({ pid }) => openFiles(pid).some((file) => sockets.has(file))) ?? null;
}

/** The sockets that listen on a port, from the kernel's tables: state 0A is LISTEN, the port is hexadecimal. */
function listeningInodes(port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) =>
    textOf(table)
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => state === "0A" && local?.endsWith(suffix))
      .map((columns) => columns[9] ?? ""),
  );
}

function everyProcess(): Holder[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((name) => ({ pid: Number(name), command: shown(argumentsOf(Number(name))) }));
}

/** The process group, third field after the parenthesised name; a name may contain anything. */
function groupOf(pid: number): string {
  const stat = textOf(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2] ?? "";
}

/** The files that the process has open; none if it has ended or belongs to another user. */
function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((descriptor) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
      } catch {
        return "";
      }
    });
  } catch {
    return [];
  }
}

function argumentsOf(pid: number): string[] {
  return textOf(`/proc/${pid}/cmdline`).split("\0").filter(Boolean);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

async function holdersByLsof(folders: readonly string[]): Promise<Holder[]> {
  const found = await Promise.all(folders.map((folder) => lsof(["-t", "+D", folder])));
  return [...new Map(found.flat().map((holder) => [holder.pid, holder])).values()];
}

/** The processes that lsof names; none where there is no lsof, or it finds nothing, or its folder is missing. */
async function lsof(args: string[]): Promise<Holder[]> {
  // It ends with 1 when any file of many could not be looked at, and still names what it found.
  const output = await run("lsof", args).catch((error: unknown) => error);
  const text =
    typeof output === "object" && output !== null && "stdout" in output ? String(output.stdout) : "";
  const pids = text.split("\n").filter((line) => /^\d+$/.test(line));
  return Promise.all(
    pids.map(async (pid) => {
      const listed = await run("ps", ["-o", "command=", "-p", pid]).catch(() => ({ stdout: "" }));
      return { pid: Number(pid), command: shown(listed.stdout.trim().split(/\s+/)) };
    }),
  );
}

/** On one line, short enough to read, and with no secret that somebody gave on a command line. */
function shown([program = "", ...words]: readonly string[]): string {
  const line = [basename(program), ...words].join(" ").replace(/[\s\p{Cc}]+/gu, " ");
  const command = line.replace(/(--var[ =][^ :]+):\S*/g, "$1:…");
  // node's own options and the long path to wrangler help nobody.
  const short = command.replace(/^node (?:--\S+ )*\S*\/node_modules\/(\w+)\/\S+/, "node … $1");
  return short.length > 90 ? `${short.slice(0, 90)}…` : short;
}
