import { readFileSync } from "node:fs";
import { groupMembers } from "../../scripts/wrangler-dev.ts";

/** What a Worker's process used while something ran. */
export interface Usage {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** The most resident memory that was seen. */
  readonly peakMiB: number;
}

/** How many times a second the kernel counts processor time: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const SAMPLE_MS = 50;

/**
 * Runs `work` and watches the workerd processes of a process group meanwhile. wrangler has one in front of the
 * Worker's own, which hardly works: the one that worked most is the Worker's.
 */
export async function watched<T>(
  group: number,
  work: () => Promise<T>,
): Promise<{ result: T; usage: Usage }> {
  const pids = groupMembers(group).filter(isWorkerd);
  const before = pids.map(cpuSeconds);
  const peaks = pids.map(residentMiB);
  const sampling = setInterval(() => {
    for (const [index, pid] of pids.entries()) {
      peaks[index] = Math.max(peaks[index] ?? 0, residentMiB(pid));
    }
  }, SAMPLE_MS);
  const startedAt = performance.now();
  try {
    const result = await work();
    const wallSeconds = (performance.now() - startedAt) / 1_000;
    const used = pids.map((pid, index) => cpuSeconds(pid) - (before[index] ?? 0));
    const cpuOfBusiest = Math.max(...used);
    const peakMiB = peaks[used.indexOf(cpuOfBusiest)] ?? 0;
    return { result, usage: { wallSeconds, cpuSeconds: cpuOfBusiest, peakMiB } };
  } finally {
    clearInterval(sampling);
  }
}

function isWorkerd(pid: number): boolean {
  return fieldsOf(pid)[0] === "workerd";
}

/** User and system time together. */
function cpuSeconds(pid: number): number {
  const fields = fieldsOf(pid);
  return (Number(fields[12]) + Number(fields[13])) / TICKS_PER_SECOND;
}

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}

/** The command's name without its parentheses, then the fields of /proc/…/stat that follow it. */
function fieldsOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const close = stat.lastIndexOf(")");
  return [stat.slice(stat.indexOf("(") + 1, close), ...stat.slice(close + 2).split(" ")];
}
