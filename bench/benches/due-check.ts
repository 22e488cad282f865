import { join } from "node:path";
import { z } from "zod";
import { startWranglerDev } from "../../scripts/wrangler-dev.ts";
import { table, verdict } from "../harness/table.ts";

const DATABASES = 10_000;
const AIM_MS = 200;

const measuredSchema = z.array(z.object({ what: z.string(), ms: z.number(), answer: z.number() }));

/** The account's object with 10,000 databases, in workerd. */
export async function dueCheck(persistTo: string): Promise<string> {
  const worker = await startWranglerDev({
    config: join(import.meta.dirname, "../wrangler.jsonc"),
    persistTo,
  });
  try {
    const url = new URL(`/due-check?databases=${DATABASES}`, worker.url);
    const response = await fetch(url, { method: "POST", signal: AbortSignal.timeout(120_000) });
    if (!response.ok) throw new Error(`${response.status}: ${(await response.text()).slice(0, 1_000)}`);
    const measured = measuredSchema.parse(await response.json());
    return table(
      `The account's object with ${DATABASES} databases: milliseconds, no subrequest in any of them`,
      ["", "databases", "ms", `≤ ${AIM_MS}`],
      measured.map(({ what, ms, answer }) => [
        what,
        String(answer),
        String(ms),
        what.startsWith("a check") ? verdict(ms, AIM_MS) : "",
      ]),
    );
  } finally {
    await worker.kill();
  }
}
