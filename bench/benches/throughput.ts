import { GZIP_LEVEL, ZSTD_LEVEL } from "../../src/cloudflare/codecs/codecs.ts";
import type { BenchWorker, Measured, Way } from "../harness/bench-worker.ts";
import type { Dump } from "../harness/emulated-dumps.ts";
import { timesAsMuch } from "../harness/outcome.ts";
import { median } from "../harness/statistics.ts";
import { table, verdict } from "../harness/table.ts";

const VOLUME_CPU_AIM = 10;
const HELD_AIM_MIB = 20;

const MIB = 1024 * 1024;
const VOLUMES_PER_GIB = 8;

interface Contender {
  readonly name: string;
  readonly way: Way;
  /** So many times a bare put's time at most, reading back included. */
  readonly aim: number;
}

/** What a user can choose. */
const CHOICES: readonly Contender[] = [
  { name: "none", way: { way: "pipeline", compression: "none" }, aim: 2 },
  { name: "gzip", way: { way: "pipeline", compression: "gzip" }, aim: 2 },
  { name: "zstd", way: { way: "pipeline", compression: "zstd" }, aim: 1.5 },
  { name: "gzip + age", way: { way: "pipeline", compression: "gzip", encrypted: true }, aim: 2.5 },
  { name: "zstd + age", way: { way: "pipeline", compression: "zstd", encrypted: true }, aim: 2.5 },
  { name: "none + age", way: { way: "pipeline", compression: "none", encrypted: true }, aim: 2.5 },
  { name: "lean", way: { way: "pipeline", compression: "none", lean: true }, aim: 2 },
];

/** What the product's levels were chosen from. */
const LEVELS: readonly Contender[] = [
  ...[1, 2, 3, 4, 6].map((level) => ofLevel("gzip", level, level === GZIP_LEVEL, 2)),
  ...[1, 2, 3, 4, 6].map((level) => ofLevel("zstd", level, level === ZSTD_LEVEL, 1.5)),
];

function ofLevel(compression: "gzip" | "zstd", level: number, chosen: boolean, aim: number): Contender {
  const name = `${compression} level ${level}${chosen ? " (ours)" : ""}`;
  return { name, way: { way: "pipeline", compression, level }, aim };
}

/** So many ways are compared with the bare put just before them. */
const WAYS_PER_BARE_PUT = 2;

/**
 * The pipeline beside a bare put of the same dump, by the same process. What is compared runs close together, so
 * that what else the machine does strikes both; the table shows the medians of their ratios.
 */
export async function throughput(
  worker: BenchWorker,
  dump: Dump,
  rounds: number,
  levels: boolean,
): Promise<string> {
  const contenders = levels ? LEVELS : CHOICES;
  const bare: Measured[] = [];
  const runs = new Map<string, { readonly measured: Measured; readonly ratio: number }[]>();
  for (const { way } of contenders.slice(0, 2)) await worker.copy(dump, way);
  await worker.copy(dump, { way: "bare" });
  for (let round = 0; round < rounds; round++) {
    let bareSeconds = 0;
    for (const [index, { name, way }] of contenders.entries()) {
      if (index % WAYS_PER_BARE_PUT === 0) {
        const put = await worker.copy(dump, { way: "bare" });
        bareSeconds = put.usage.wallSeconds;
        bare.push(put);
      }
      const measured = await worker.copy(dump, way);
      const ratio = measured.usage.wallSeconds / bareSeconds;
      runs.set(name, [...(runs.get(name) ?? []), { measured, ratio }]);
    }
  }
  const rows = [
    ["bare put", "1.00 ×", "", "100.0 %", ...cpuCells(bare, dump), ""],
    ...contenders.map(({ name, aim }) => {
      const pairs = runs.get(name) ?? [];
      const measured = pairs.map((pair) => pair.measured);
      const ratio = median(pairs.map((pair) => pair.ratio));
      const heldMiB = Math.max(...measured.map((one) => one.peakHeldBytes)) / MIB;
      const stored = median(measured.map((one) => one.storedBytes)) / dump.bytes;
      return [
        name,
        timesAsMuch(ratio, 1),
        `≤ ${aim.toFixed(1)} ${verdict(ratio, aim)}`,
        `${(stored * 100).toFixed(1)} %`,
        ...cpuCells(measured, dump),
        `${heldMiB.toFixed(1)} MiB ${verdict(heldMiB, HELD_AIM_MIB)}`,
      ];
    }),
  ];
  const seconds = median(bare.map((one) => one.usage.wallSeconds));
  return table(
    `Copy and read back ${Math.round(dump.bytes / MIB)} MiB; a bare put took ${seconds.toFixed(2)} s`,
    [
      "",
      "time, × bare",
      "aim",
      "stored",
      "CPU s/GiB",
      "CPU s/volume",
      `< ${VOLUME_CPU_AIM}`,
      `held, ≤ ${HELD_AIM_MIB} MiB`,
    ],
    rows,
  );
}

/** Of the whole process: the bucket, which is elsewhere in production, is part of it. */
function cpuCells(measured: readonly Measured[], dump: Dump): string[] {
  const perGiB = (median(measured.map((one) => one.usage.cpuSeconds)) * 1024 * MIB) / dump.bytes;
  const perVolume = perGiB / VOLUMES_PER_GIB;
  return [perGiB.toFixed(1), perVolume.toFixed(2), verdict(perVolume, VOLUME_CPU_AIM)];
}
