import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { runWrangler } from "../../scripts/wrangler-dev.ts";
import type { EmulatedDumps } from "../harness/emulated-dumps.ts";
import { startWorker } from "../harness/local-worker.ts";
import { timesAsMuch } from "../harness/outcome.ts";
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

/** A run that has ended as one of these will never be complete. */
const OVER = new Set(["failed", "unchanged", "cancelled"]);

const startedSchema = z.object({ run: z.object({ id: z.string() }) });
const runSchema = z.object({ state: z.string(), error: z.unknown() });

/**
 * From the request for a backup of a small database until it is complete, with the product as it is deployed; beside
 * an export and a download of the same database by hand.
 */
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
  const database = await source.createDatabase("small", smallDatabase());
  const worker = await startWorker({ config, persistTo: folder, vars });
  try {
    await secondsToComplete(worker.url, adminToken);
    const rows: string[][] = [];
    for (const exportMs of EXPORTS_MS) {
      await source.setExportMs(exportMs);
      const bare: number[] = [];
      const complete: number[] = [];
      for (let round = 0; round < rounds; round++) {
        bare.push(await source.secondsByHand(database));
        complete.push(await secondsToComplete(worker.url, adminToken));
      }
      const [byHand, seconds] = [median(bare), median(complete)];
      const beyond = seconds - exportMs / 1_000;
      rows.push([
        `export of ${exportMs} ms`,
        byHand.toFixed(2),
        seconds.toFixed(2),
        timesAsMuch(seconds, byHand),
        beyond.toFixed(2),
        verdict(beyond, AIM_SECONDS),
      ]);
    }
    return table(
      "Seconds from the request to a complete backup of 50 kB; beyond the export's own, the wait for the next poll stays in",
      ["", "by hand", "seconds", "× by hand", "beyond the export", `≤ ${AIM_SECONDS}`],
      rows,
    );
  } finally {
    await source.setExportMs(0);
    await worker.kill();
  }
}

async function secondsToComplete(url: string, token: string): Promise<number> {
  const startedAt = performance.now();
  // Nothing is written to the database meanwhile: a backup that is not forced would find it unchanged.
  const wish = { force: true };
  const { run } = startedSchema.parse(await ask("POST", `${url}/api/databases/small/backups`, token, wish));
  while (performance.now() - startedAt < PATIENCE_MS) {
    const { state, error } = runSchema.parse(await ask("GET", `${url}/api/runs/${run.id}`, token));
    if (state === "complete") return (performance.now() - startedAt) / 1_000;
    if (OVER.has(state)) throw new Error(`the run ended as ${state}: ${JSON.stringify(error)}`);
    await sleep(LOOK_MS);
  }
  throw new Error(`the backup was not complete after ${PATIENCE_MS / 1_000} s`);
}

async function ask(method: string, url: string, token: string, body?: object): Promise<unknown> {
  const response = await fetch(url, {
    method,
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
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
