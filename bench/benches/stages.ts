import type { BenchWorker } from "../harness/bench-worker.ts";
import type { Dump } from "../harness/emulated-dumps.ts";
import { STAGES } from "../worker/stages.ts";
import { median } from "../harness/statistics.ts";
import { table } from "../harness/table.ts";

const MIB = 1024 * 1024;
/** A lean step and one of the default size, which a plan's CPU has to suffice for. */
const LEAN_MIB = 6;
const VOLUME_MIB = 128;

/** The Worker's own CPU, without the network and the bucket: seconds for a GiB of dump, milliseconds for a volume. */
export async function stages(worker: BenchWorker, dump: Dump, rounds: number): Promise<string> {
  const rows: string[][] = [];
  for (const stage of STAGES) {
    await worker.stage(dump, stage);
    const perGiB: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const { cpuSeconds, bytes } = await worker.stage(dump, stage);
      perGiB.push((cpuSeconds * 1024 * MIB) / bytes);
    }
    const seconds = median(perGiB);
    const volume = stage === "lean" ? LEAN_MIB : VOLUME_MIB;
    rows.push([
      stage,
      seconds.toFixed(2),
      `${((seconds * 1_000 * volume) / 1024).toFixed(0)} (${volume} MiB)`,
    ]);
  }
  return table("CPU of single stages, in memory", ["", "s/GiB of dump", "ms/volume"], rows);
}
