import { BenchWorker, type Way } from "../harness/bench-worker.ts";
import type { Dump } from "../harness/emulated-dumps.ts";
import { timesAsMuch } from "../harness/outcome.ts";
import { table, verdict } from "../harness/table.ts";

const MIB = 1024 * 1024;
/** How much more than a bare put's the pipeline's memory may grow from the small dump to the large one. */
const ALLOWANCE_MIB = 32;

/** The most resident memory of the process that copied the small dump, and of the one that copied the large, in MiB. */
interface Peaks {
  readonly small: number;
  readonly large: number;
}

/**
 * How much more memory a large dump takes than a small one, each copied by a fresh process. Measured once: from
 * one run to the next these figures differ by a few MiB.
 */
export async function memory(small: Dump, large: Dump, freshFolder: () => string): Promise<string> {
  const peak = async (dump: Dump, way: Way): Promise<number> => {
    const worker = await BenchWorker.start(freshFolder());
    try {
      return (await worker.copy(dump, way)).usage.peakMiB;
    } finally {
      await worker.close();
    }
  };
  const peaks = async (way: Way): Promise<Peaks> => ({
    small: await peak(small, way),
    large: await peak(large, way),
  });
  const bare = await peaks({ way: "bare" });
  const pipeline = await peaks({ way: "pipeline", compression: "gzip" });
  const row = (name: string, peaksOf: Peaks): string[] => [
    name,
    ...[peaksOf.small, peaksOf.large, growthOf(peaksOf)].map((figure) => figure.toFixed(0)),
    timesAsMuch(peaksOf.large, bare.large),
  ];
  return table(
    "Resident memory of workerd at most, in MiB (its bucket included)",
    [
      "",
      `${inMiB(small)} dump`,
      `${inMiB(large)} dump`,
      "growth",
      "× bare",
      `growth ≤ bare + ${ALLOWANCE_MIB}`,
    ],
    [
      row("bare put", bare),
      [...row("pipeline, gzip", pipeline), verdict(growthOf(pipeline), growthOf(bare) + ALLOWANCE_MIB)],
    ],
  );
}

function growthOf({ small, large }: Peaks): number {
  return large - small;
}

function inMiB({ bytes }: Dump): string {
  return `${Math.round(bytes / MIB)} MiB`;
}
