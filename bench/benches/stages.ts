import { LEAN_ENCRYPTED_VOLUME_BYTES, LEAN_VOLUME_BYTES } from "../../src/core/policy/backup-options.ts";
import type { BenchWorker } from "../harness/bench-worker.ts";
import type { Dump } from "../harness/emulated-dumps.ts";
import { timesAsMuch } from "../harness/outcome.ts";
import type { Sizes } from "../harness/sizes.ts";
import { median } from "../harness/statistics.ts";
import { table } from "../harness/table.ts";
import { type Stage, STAGES } from "../worker/stages.ts";

const MIB = 1024 * 1024;
/** Lean steps and one of the default size, which a plan's CPU has to suffice for. */
const VOLUME_MIB = 128;
const LEAN_MIB: Partial<Record<Stage, number>> = {
  lean: LEAN_VOLUME_BYTES / MIB,
  "lean + age": LEAN_ENCRYPTED_VOLUME_BYTES / MIB,
};

/**
 * The Worker's own CPU, without the network and the bucket: seconds for a GiB of dump, milliseconds for a volume, and
 * each beside SHA-256 by itself.
 */
export async function stages(
  worker: BenchWorker,
  dump: Dump,
  { rounds, stageRepetitions }: Sizes,
): Promise<string> {
  const measured = new Map<Stage, number>();
  for (const stage of STAGES) {
    await worker.stage(dump, stage, stageRepetitions);
    const perGiB: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const { cpuSeconds, bytes } = await worker.stage(dump, stage, stageRepetitions);
      perGiB.push((cpuSeconds * 1024 * MIB) / bytes);
    }
    measured.set(stage, median(perGiB));
  }
  const bare = measured.get("hash") ?? 0;
  const rows = [...measured].map(([stage, seconds]) => {
    const volume = LEAN_MIB[stage] ?? VOLUME_MIB;
    return [
      stage,
      timesAsMuch(seconds, bare),
      seconds.toFixed(2),
      `${((seconds * 1_000 * volume) / 1024).toFixed(0)} (${volume} MiB)`,
    ];
  });
  return table("CPU of single stages, in memory", ["", "× hash", "s/GiB of dump", "ms/volume"], rows);
}
