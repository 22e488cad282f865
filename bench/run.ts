import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { catalog } from "./benches/catalog.ts";
import { dueCheck } from "./benches/due-check.ts";
import { latency } from "./benches/latency.ts";
import { memory } from "./benches/memory.ts";
import { stages } from "./benches/stages.ts";
import { throughput } from "./benches/throughput.ts";
import { BenchWorker } from "./harness/bench-worker.ts";
import { EmulatedDumps } from "./harness/emulated-dumps.ts";
import { endWorkers, startWorker } from "./harness/local-worker.ts";
import { outcomeOf } from "./harness/outcome.ts";
import { FULL, SHORT, type Sizes } from "./harness/sizes.ts";
import { scale } from "./scale/nights.ts";

/**
 * Compares the product with something bare, measured in the same run: never with a figure of another machine.
 *
 *   npm run bench                    all of it
 *   npm run bench -- memory scale    these alone
 *     --short                        tiny sizes: shows that each bench works, and is part of the soak
 *     --quick                        measures once instead of three times
 *     --incompressible               copies a dump of random text
 *     --levels                       compares levels of compression
 *     --gib 4                        makes the large dump of the memory's bench so large
 *
 * A bench that throws, that hangs or that prints no ratio has failed, and so has the command. A slow disk is in every
 * figure: TMPDIR may name a folder in memory instead. Editing src/ meanwhile makes wrangler restart what is measured.
 */
const BENCHES = ["throughput", "stages", "memory", "latency", "catalog", "due-check", "scale"] as const;
type Bench = (typeof BENCHES)[number];

const { values: options, positionals } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    incompressible: { type: "boolean", default: false },
    levels: { type: "boolean", default: false },
    gib: { type: "string", default: "1" },
  },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !BENCHES.some((bench) => bench === name));
if (unknown.length > 0) throw new Error(`there is no ${unknown.join(" and no ")}: ${BENCHES.join(", ")}`);
const wanted = BENCHES.filter((bench) => positionals.length === 0 || positionals.includes(bench));
const gib = Number(options.gib);
if (!Number.isInteger(gib) || gib < 1) throw new Error("--gib takes a whole number, such as 4");
const sizes: Sizes = options.short
  ? SHORT
  : { ...FULL, rounds: options.quick ? 1 : FULL.rounds, largeDumpBytes: gib * 1024 * 1024 * 1024 };

if (process.platform !== "linux") throw new Error("the bench reads /proc, so it takes Linux");
const data = mkdtempSync(join(tmpdir(), "d1-nightly-bench-"));
process.on("exit", () => rmSync(data, { recursive: true, force: true, maxRetries: 10 }));
const freshFolder = (): string => mkdtempSync(join(data, "worker-"));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void end(1));

const startedAt = performance.now();
const failed: Bench[] = [];
try {
  const emulator = await startWorker({
    config: join(import.meta.dirname, "..", "emulator", "wrangler.jsonc"),
    persistTo: join(data, "emulator"),
  });
  print(`d1-nightly beside something bare, median of ${sizes.rounds}, on ${cpus().length} processors\n\n`);
  const source = new EmulatedDumps(emulator.url);
  for (const bench of wanted) {
    const outcome = await outcomeOf(sizes.limitMs, () => measure(bench, source));
    if (!outcome.ok) failed.push(bench);
    print(outcome.ok ? `${outcome.text}\n` : `FAILED: ${bench}: ${outcome.why}\n\n`);
  }
  print(`Took ${Math.round((performance.now() - startedAt) / 1_000)} s.\n`);
  if (failed.length > 0) print(`Failed: ${failed.join(", ")}\n`);
} catch (error) {
  console.error(error);
  await end(1);
}
await end(failed.length > 0 ? 1 : 0);

/** Leaves nothing behind, even when a bench hangs. */
async function end(status: number): Promise<never> {
  await endWorkers();
  process.exit(status);
}

async function measure(bench: Bench, source: EmulatedDumps): Promise<string> {
  switch (bench) {
    case "throughput": {
      const dump = await source.make("copied", sizes.copiedBytes, !options.incompressible);
      return withWorker((worker) => throughput(worker, dump, sizes.rounds, options.levels));
    }
    case "stages": {
      const dump = await source.make("staged", sizes.stagedBytes, !options.incompressible);
      return withWorker((worker) => stages(worker, dump, sizes));
    }
    case "memory": {
      const small = await source.make("small-dump", sizes.smallDumpBytes);
      const large = await source.make("large-dump", sizes.largeDumpBytes);
      return memory(small, large, freshFolder);
    }
    case "latency":
      return latency(source, freshFolder(), sizes.rounds);
    case "catalog":
      return catalog(freshFolder(), sizes.catalog);
    case "due-check":
      return dueCheck(freshFolder(), sizes.databases);
    case "scale":
      return scale(sizes.databases);
  }
}

async function withWorker(work: (worker: BenchWorker) => Promise<string>): Promise<string> {
  const worker = await BenchWorker.start(freshFolder());
  try {
    return await work(worker);
  } finally {
    await worker.close();
  }
}

function print(text: string): void {
  process.stdout.write(text);
}
