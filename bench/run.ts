import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startWranglerDev } from "../scripts/wrangler-dev.ts";
import { BenchWorker } from "./harness/bench-worker.ts";
import { catalog } from "./benches/catalog.ts";
import { dueCheck } from "./benches/due-check.ts";
import { EmulatedDumps } from "./harness/emulated-dumps.ts";
import { latency } from "./benches/latency.ts";
import { memory } from "./benches/memory.ts";
import { scale } from "./scale/nights.ts";
import { stages } from "./benches/stages.ts";
import { throughput } from "./benches/throughput.ts";

/**
 * Compares the product with a bare copy, and with its aims. Times are compared with each other in one run, never
 * with a figure of another machine. `--quick` measures once instead of three times, `--incompressible` copies a
 * dump of random text, `--levels` compares levels of compression, `--gib 4` makes the large dump of the memory's part
 * so large, and an argument, such as `memory`, measures that alone. A slow disk is in every figure:
 * TMPDIR may name a folder in memory instead. Editing src/ meanwhile makes wrangler restart what is measured.
 */
const PARTS = ["throughput", "stages", "memory", "latency", "catalog", "scale"] as const;
const MIB = 1024 * 1024;

const { values: options, positionals } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    incompressible: { type: "boolean", default: false },
    levels: { type: "boolean", default: false },
    gib: { type: "string", default: "1" },
  },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !PARTS.some((part) => part === name));
if (unknown.length > 0) throw new Error(`there is no ${unknown.join(" and no ")}: ${PARTS.join(", ")}`);
const wanted = PARTS.filter((part) => positionals.length === 0 || positionals.includes(part));
const rounds = options.quick ? 1 : 3;
const largeGiB = Number(options.gib);
if (!Number.isInteger(largeGiB) || largeGiB < 1) throw new Error("--gib takes a whole number, such as 4");

const data = mkdtempSync(join(tmpdir(), "d1-nightly-bench-"));
const freshFolder = (): string => mkdtempSync(join(data, "worker-"));
const startedAt = performance.now();

if (process.platform !== "linux") throw new Error("the bench reads /proc, so it takes Linux");
const emulator = await startWranglerDev({
  config: join(import.meta.dirname, "..", "emulator", "wrangler.jsonc"),
  persistTo: join(data, "emulator"),
});
try {
  print(`d1-nightly beside a bare put, median of ${rounds}, on ${cpus().length} processors\n\n`);
  const source = new EmulatedDumps(emulator.url);
  for (const part of wanted) print(`${await measure(part, source)}\n`);
} finally {
  await emulator.kill();
  rmSync(data, { recursive: true, force: true });
}
print(`Took ${Math.round((performance.now() - startedAt) / 1_000)} s.\n`);

async function measure(part: (typeof PARTS)[number], source: EmulatedDumps): Promise<string> {
  switch (part) {
    case "throughput": {
      const dump = await source.make("copied", 256 * MIB, !options.incompressible);
      const worker = await BenchWorker.start(freshFolder());
      try {
        return await throughput(worker, dump, rounds, options.levels);
      } finally {
        await worker.close();
      }
    }
    case "stages": {
      const dump = await source.make("staged", 16 * MIB, !options.incompressible);
      const worker = await BenchWorker.start(freshFolder());
      try {
        return await stages(worker, dump, rounds);
      } finally {
        await worker.close();
      }
    }
    case "memory": {
      const small = await source.make("small-dump", 64 * MIB);
      const large = await source.make("large-dump", largeGiB * 1024 * MIB);
      return memory(small, large, largeGiB, freshFolder);
    }
    case "catalog":
      return catalog(freshFolder());
    case "scale":
      return `${await scale()}\n${await dueCheck(freshFolder())}`;
    case "latency":
      return latency(source, freshFolder(), rounds);
  }
}

function print(text: string): void {
  process.stdout.write(text);
}
