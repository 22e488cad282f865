import { join } from "node:path";
import { z } from "zod";
import { startWranglerDev } from "../../scripts/wrangler-dev.ts";
import { table, verdict } from "../harness/table.ts";

const AIM_MS = 50;

const filledSchema = z.object({ seconds: z.number() });
const measuredSchema = z.array(z.object({ list: z.string(), ms: z.number(), items: z.number() }));

/** The lists of a catalogue of 1,000,000 backups, 10,000 databases and 100,000 runs: a page of 100 of each. */
export async function catalog(persistTo: string): Promise<string> {
  const worker = await startWranglerDev({
    config: join(import.meta.dirname, "../wrangler.jsonc"),
    persistTo,
  });
  try {
    const { seconds } = filledSchema.parse(await post(new URL("/catalog/fill", worker.url)));
    const measured = measuredSchema.parse(await post(new URL("/catalog/measure", worker.url)));
    return table(
      `Milliseconds for a page of 100 in a catalogue of 1,000,000 backups, 10,000 databases and 100,000 runs (filled in ${Math.round(seconds)} s)`,
      ["", "items", "ms", `≤ ${AIM_MS}`],
      measured.map(({ list, items, ms }) => [list, String(items), ms.toFixed(1), verdict(ms, AIM_MS)]),
    );
  } finally {
    await worker.kill();
  }
}

async function post(url: URL): Promise<unknown> {
  const response = await fetch(url, { method: "POST", signal: AbortSignal.timeout(600_000) });
  if (!response.ok)
    throw new Error(`${url.pathname}: ${response.status} ${(await response.text()).slice(0, 1_000)}`);
  return response.json();
}
