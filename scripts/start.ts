import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { styleText } from "node:util";
import { z } from "zod";
import { adminToken, writeVariables } from "./start/admin-token.ts";
import { followRun, startBackups, type Run } from "./start/backup-round.ts";
import { whenToEnd } from "./start/ending.ts";
import { requireFree, requireFreePort } from "./start/held-state.ts";
import { HttpClient } from "./start/http-client.ts";
import { LocalWorkers } from "./start/local-workers.ts";
import { HELP, readOptions, type StartOptions } from "./start/options.ts";
import { isNotCovered, progressDisplay, stageOf, type ProgressDisplay } from "./start/progress-bars.ts";
import { latestBackupId, readBack } from "./start/read-back.ts";
import { outcomeTable, wayIn, whatLies, type Outcome } from "./start/summary.ts";
import { paragraphOf } from "./start/trouble.ts";

/** How long the emulated export takes, so that there is something to see. */
const EXPORT_MS = 2_000;

const root = join(import.meta.dirname, "..");
process.chdir(root);

const wish = readOptions(process.argv.slice(2), root);
if (wish.kind === "help") {
  console.log(HELP);
} else if (wish.kind === "mistake") {
  console.error(`${wish.problem}\n\n${HELP}`);
  process.exitCode = 2;
} else {
  process.exit(await main(wish.options));
}

/** Runs until the work is done or somebody ends it; returns the exit code. No process is left behind. */
async function main(options: StartOptions): Promise<number> {
  mkdirSync(options.data, { recursive: true });
  const workers = new LocalWorkers(options.data);
  const ending = whenToEnd(!options.once, () => {
    workers.kill();
    process.exit(130);
  });
  const displays: ProgressDisplay[] = [];
  let result: number | null = null;
  try {
    const story = tell(options, workers, displays).then(({ exitCode, broken }) => {
      result = exitCode;
      return options.once ? { exitCode, reason: null } : broken;
    });
    const end = await Promise.race([story, ending]);
    closeAll(displays);
    if (end.reason !== null) console.log(`\n${end.reason}: ending the Worker and the emulator …`);
    // Ctrl-C is how this is meant to end once everything is there: it is no failure then.
    return result ?? end.exitCode;
  } catch (error) {
    closeAll(displays);
    console.error(`\n${styleText("red", "✗", { stream: process.stderr })} ${paragraphOf(error)}\n`);
    return 1;
  } finally {
    await workers.stop();
  }
}

interface Told {
  readonly exitCode: number;
  /** Rejects when one of the Workers ends by itself. */
  readonly broken: Promise<never>;
}

/** The whole story, from nothing to backups that were read back. */
async function tell(
  options: StartOptions,
  workers: LocalWorkers,
  displays: ProgressDisplay[],
): Promise<Told> {
  const { data, port, emulatorPort } = options;
  const state = { emulator: join(data, "emulator"), worker: join(data, "worker") };
  await requireFree([state.emulator, state.worker]);
  await requireFreePort(port, "--port");
  await requireFreePort(emulatorPort, "--emulator-port");

  console.log(
    "\nd1-nightly on this machine: no Cloudflare account, and nothing leaves it.\nStarting takes a few seconds.\n",
  );
  const token = adminToken(data);
  const envFile = writeVariables(data, {
    ADMIN_TOKEN: token,
    CLOUDFLARE_ACCOUNT_ID: "emulated-account",
    CLOUDFLARE_API_TOKEN: "emulated-token",
    CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${emulatorPort}/client/v4`,
  });
  const [emulator, worker] = await Promise.all([
    startEmulator(options, workers, state.emulator),
    startWorker(options, workers, state.worker, envFile),
  ]);
  const broken = Promise.race([workers.watch("the emulator", emulator), workers.watch("the Worker", worker)]);

  const outcomes = await Promise.race([backUpAll(new HttpClient(worker.url, token), data, displays), broken]);
  const from = process.env["INIT_CWD"] ?? process.cwd();
  console.log(`\n${outcomeTable(outcomes)}\n\n${whatLies(outcomes, from)}\n`);
  if (!options.once) {
    console.log(`${wayIn(`http://localhost:${port}`, token)}\n\nCtrl-C ends it.`);
  }
  return { exitCode: outcomes.some(({ kind }) => kind === "failed") ? 1 : 0, broken };
}

async function startEmulator({ emulatorPort }: StartOptions, workers: LocalWorkers, persistTo: string) {
  const emulator = await workers.start({
    name: "the emulator",
    config: "emulator/wrangler.jsonc",
    port: emulatorPort,
    persistTo,
  });
  const control = new HttpClient(`${emulator.url}/_emulator`);
  await control.send("PUT", "/settings", { exportMs: EXPORT_MS }, z.unknown());
  const samples = await control.send("POST", "/samples", {}, z.record(z.string(), z.string()));
  step(`Cloudflare's API, emulated, with ${Object.keys(samples).length} sample databases`, emulator.url);
  return emulator;
}

async function startWorker(
  { port }: StartOptions,
  workers: LocalWorkers,
  persistTo: string,
  envFile: string,
) {
  const apply = ["d1", "migrations", "apply", "CATALOG", "--local", "--persist-to", persistTo];
  await workers.run("Applying the catalogue's migrations", apply);
  const worker = await workers.start({
    name: "the Worker",
    config: "wrangler.jsonc",
    port,
    persistTo,
    envFile,
  });
  step("the Worker", `http://localhost:${port}`);
  return worker;
}

/** One backup of each database, followed to its end and then read back. In the order of their names. */
async function backUpAll(api: HttpClient, data: string, displays: ProgressDisplay[]): Promise<Outcome[]> {
  const runs = (await startBackups(api)).toSorted((a, b) => (a.databaseName < b.databaseName ? -1 : 1));
  console.log("\nOne backup of each database:\n");
  const display = progressDisplay(
    runs.map((run) => run.databaseName),
    process.stdout,
  );
  displays.push(display);
  const outcomes = await Promise.all(runs.map((run) => backUpOne(api, run, join(data, "backups"), display)));
  display.close();
  return outcomes;
}

async function backUpOne(
  api: HttpClient,
  begun: Run,
  target: string,
  display: ProgressDisplay,
): Promise<Outcome> {
  const name = begun.databaseName;
  const run = await followRun(api, begun, (seen) => {
    // What is complete has still to be read back.
    if (seen.backupId === null && seen.state !== "unchanged") display.show(name, stageOf(seen));
  });
  if (run.state !== "complete" && run.state !== "unchanged") {
    const reason = run.error ?? {
      code: run.state,
      detail: `The run was ${run.state}.`,
      hint: "Start again.",
    };
    return { kind: isNotCovered(run) ? "not-covered" : "failed", run, reason };
  }
  try {
    const backupId = run.backupId ?? (await latestBackupId(api, name));
    const backup = await readBack(api, backupId, target, (bytesDone, bytesTotal) =>
      display.show(name, { state: "reading back", bytesDone, bytesTotal, message: null }),
    );
    display.show(name, {
      state: run.state,
      bytesDone: null,
      bytesTotal: backup.manifest.dump.bytes,
      message: null,
    });
    return { kind: "stored", run, backup };
  } catch (error) {
    const hint =
      "What lies in the bucket is not what its manifest says, or could not be fetched. Start again.";
    const reason = { code: "read-back-failed", detail: paragraphOf(error), hint };
    display.show(name, { state: "failed", bytesDone: null, bytesTotal: null, message: reason.code });
    return { kind: "failed", run, reason };
  }
}

function step(what: string, where: string): void {
  console.log(`  ${styleText("green", "✓")} ${what}  ${styleText("gray", where)}`);
}

function closeAll(displays: readonly ProgressDisplay[]): void {
  for (const display of displays) display.close();
}
