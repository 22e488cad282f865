import { z } from "zod";
import { BenchWorker } from "../harness/bench-worker.ts";
import { timesAsMuch } from "../harness/outcome.ts";
import { table, verdict } from "../harness/table.ts";

const AIM_MS = 200;

const measuredSchema = z.object({
  bareMs: z.number(),
  measured: z.array(z.object({ what: z.string(), ms: z.number(), answer: z.number() })),
});

/** The account's object with so many databases, in workerd, beside a bare read of all rows of their table. */
export async function dueCheck(persistTo: string, databases: number): Promise<string> {
  const worker = await BenchWorker.start(persistTo);
  try {
    const { bareMs, measured } = await worker.ask("/due-check", { databases }, measuredSchema);
    return table(
      `The account's object with ${databases} databases: milliseconds, no subrequest in any of them`,
      ["", "databases", "× bare", "ms", `≤ ${AIM_MS}`],
      [
        ["a bare read of all rows", String(databases), timesAsMuch(bareMs, bareMs), bareMs.toFixed(1), ""],
        ...measured.map(({ what, ms, answer }) => [
          what,
          String(answer),
          timesAsMuch(ms, bareMs),
          String(ms),
          what.startsWith("a check") ? verdict(ms, AIM_MS) : "",
        ]),
      ],
    );
  } finally {
    await worker.close();
  }
}
