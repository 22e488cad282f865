import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { runWrangler, startWranglerDev } from "../../scripts/wrangler-dev.ts";
import type { EmulatedDumps } from "../harness/emulated-dumps.ts";
import { median } from "../harness/statistics.ts";
import { table, verdict } from "../harness/table.ts";

const AIM_SECONDS = 2;
/** How often the run is looked at: what is measured is at most so much too long. */
const LOOK_MS = 10;
const PATIENCE_MS = 60_000;
/** A row's INSERT has about 100 bytes. */
const ROWS = 500;

/** Exports that take so long: one that is complete at once, and one that the first poll, after 1 s, finds complete. */
const EXPORTS_MS = [0, 500];

const startedSchema = z.object({ run: z.object({ id: z.string() }) });
const runSchema = z.object({ state: z.string(), error: z.unknown() });

/** From the request for a backup of a small database until it is complete, with the product as it is deployed. */
export async function latency(source: EmulatedDumps, folder: string, rounds: number): Promise<string> {
  const root = join(import.meta.dirname, "../..");
  const config = join(root, "wrangler.jsonc");
  await runWrangler(
    ["d1", "migrations", "apply", "CATALOG", "--local", "-c", config, "--persist-to", folder],
    {},
    root,
  );
  const adminToken = randomBytes(16).toString("hex");
  const vars = {
    CLOUDFLARE_ACCOUNT_ID: "emulated-account",
    CLOUDFLARE_API_TOKEN: "bench",
    CLOUDFLARE_API_BASE_URL: source.apiBaseUrl,
    ADMIN_TOKEN: adminToken,
  };
  await source.createDatabase("small", smallDatabase());
  const worker = await startWranglerDev({ config, persistTo: folder, vars });
  try {
    await secondsToComplete(worker.url, adminToken);
    const rows: string[][] = [];
    for (const exportMs of EXPORTS_MS) {
      await source.setExportMs(exportMs);
      const beyond: number[] = [];
      for (let round = 0; round < rounds; round++) {
        beyond.push((await secondsToComplete(worker.url, adminToken)) - exportMs / 1_000);
      }
      const seconds = median(beyond);
      rows.push([`export of ${exportMs} ms`, seconds.toFixed(2), verdict(seconds, AIM_SECONDS)]);
    }
    return table(
      "Seconds from the request to a complete backup of 50 kB, less the export's own (the wait for the next poll stays in)",
      ["", "seconds", `≤ ${AIM_SECONDS}`],
      rows,
    );
  } finally {
    await source.setExportMs(0);
    await worker.kill();
  }
}

async function secondsToComplete(url: string, token: string): Promise<number> {
  const startedAt = performance.now();
  const { run } = startedSchema.parse(await ask("POST", `${url}/api/databases/small/backups`, token));
  while (performance.now() - startedAt < PATIENCE_MS) {
    const { state, error } = runSchema.parse(await ask("GET", `${url}/api/runs/${run.id}`, token));
    if (state === "complete") return (performance.now() - startedAt) / 1_000;
    if (state === "failed") throw new Error(`the backup failed: ${JSON.stringify(error)}`);
    await sleep(LOOK_MS);
  }
  throw new Error(`the backup was not complete after ${PATIENCE_MS / 1_000} s`);
}

async function ask(method: string, url: string, token: string): Promise<unknown> {
  const response = await fetch(url, { method, headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

function smallDatabase(): string {
  const rows = Array.from(
    { length: ROWS },
    (_, id) => `INSERT INTO notes VALUES (${id}, 'Note ${id}: ${"water the plants ".repeat(4)}');`,
  );
  return ["CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);", ...rows].join("\n");
}
