import { z } from "zod";
import { BenchWorker } from "../harness/bench-worker.ts";
import { timesAsMuch } from "../harness/outcome.ts";
import type { CatalogSizes } from "../harness/sizes.ts";
import { table, verdict } from "../harness/table.ts";

const AIM_MS = 50;

const filledSchema = z.object({ seconds: z.number() });
const measuredSchema = z.object({
  bareMs: z.number(),
  lists: z.array(z.object({ list: z.string(), ms: z.number(), items: z.number() })),
});

/** A page of 100 of each list of a large catalogue, beside a bare page of backups by their primary key. */
export async function catalog(persistTo: string, sizes: CatalogSizes): Promise<string> {
  const worker = await BenchWorker.start(persistTo);
  try {
    const { seconds } = await worker.ask("/catalog/fill", sizes, filledSchema);
    const { bareMs, lists } = await worker.ask("/catalog/measure", sizes, measuredSchema);
    const empty = lists.filter(({ list, items }) => items === 0 && /all|databases/.test(list));
    if (empty.length > 0) throw new Error(`nothing stands in ${empty.map(({ list }) => list).join(", ")}`);
    const { backups, databases, runs } = sizes;
    return table(
      `Milliseconds for a page of 100 in a catalogue of ${backups} backups, ${databases} databases and ${runs} runs (filled in ${Math.round(seconds)} s)`,
      ["", "items", "× bare", "ms", `≤ ${AIM_MS}`],
      [
        ["a bare page of backups, by id", "100", timesAsMuch(bareMs, bareMs), bareMs.toFixed(1), ""],
        ...lists.map(({ list, items, ms }) => [
          list,
          String(items),
          timesAsMuch(ms, bareMs),
          ms.toFixed(1),
          verdict(ms, AIM_MS),
        ]),
      ],
    );
  } finally {
    await worker.close();
  }
}
