import { BenchWorker, type Way } from "./bench-worker.ts";
import type { Dump } from "./emulated-dumps.ts";
import { median } from "./statistics.ts";
import { table, verdict } from "./table.ts";

/** How much more than a bare put's the pipeline's memory may grow from the small dump to the large one. */
const ALLOWANCE_MIB = 32;

/** The most resident memory of a process, in MiB, one figure for each round. */
class Peaks {
  readonly small: number[] = [];
  readonly large: number[] = [];

  get growth(): number {
    return median(this.large) - median(this.small);
  }

  row(name: string): string[] {
    return [name, ...[median(this.small), median(this.large), this.growth].map((peak) => peak.toFixed(0))];
  }
}

/** How much more memory a large dump takes than a small one, each copied by a fresh process. */
export async function memory(
  small: Dump,
  large: Dump,
  rounds: number,
  freshFolder: () => string,
): Promise<string> {
  const peak = async (dump: Dump, way: Way): Promise<number> => {
    const worker = await BenchWorker.start(freshFolder());
    try {
      return (await worker.copy(dump, way)).usage.peakMiB;
    } finally {
      await worker.close();
    }
  };
  const bare = new Peaks();
  const pipeline = new Peaks();
  for (let round = 0; round < rounds; round++) {
    bare.small.push(await peak(small, { way: "bare" }));
    pipeline.small.push(await peak(small, { way: "pipeline", compression: "gzip" }));
    bare.large.push(await peak(large, { way: "bare" }));
    pipeline.large.push(await peak(large, { way: "pipeline", compression: "gzip" }));
  }
  const aim = bare.growth + ALLOWANCE_MIB;
  return table(
    `Resident memory of workerd at most, in MiB (its bucket included)`,
    ["", "64 MiB dump", "1 GiB dump", "growth", `≤ bare + ${ALLOWANCE_MIB}`],
    [bare.row("bare put"), [...pipeline.row("pipeline, gzip"), verdict(pipeline.growth, aim)]],
  );
}
