import { unicodeOr } from "@clack/prompts";
import { join } from "node:path";
import { styleText } from "node:util";
import { z } from "zod";
import { whenToEnd } from "./start/ending.ts";
import { requireFree } from "./start/local/held-state.ts";
import { LocalState } from "./start/local/local-state.ts";
import { LocalWorkers } from "./start/local/local-workers.ts";
import { requireFreePort } from "./start/local/port.ts";
import { HELP, readOptions, type StartOptions } from "./start/options.ts";
import { followRun, type Run, startBackups } from "./start/round/backup-round.ts";
import { HttpClient } from "./start/round/http-client.ts";
import { latestBackupId, readBack } from "./start/round/read-back.ts";
import { setSamplePolicy } from "./start/round/sample-policy.ts";
import { sizeText } from "./start/terminal/figures.ts";
import { folded } from "./start/terminal/folded.ts";
import { isNotCovered, type ProgressDisplay, progressDisplay, stageOf } from "./start/terminal/progress.ts";
import {
  exitCodeOf,
  howToCall,
  type Outcome,
  outcomeTable,
  seenFrom,
  whereTheyAre,
} from "./start/terminal/summary.ts";
import { paragraphOf } from "./start/trouble.ts";

/** How long the emulated export takes, so that its progress is visible. */
const EXPORT_MS = 2_000;

/** The width of the lines that say what has started. */
const STEP_CELLS = 47;

const root = join(import.meta.dirname, "..");
/** The user's current folder. */
const from = process.env["INIT_CWD"] ?? process.cwd();
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
  const state = new LocalState(options.data);
  try {
    await prepare(options, state);
  } catch (error) {
    console.error(failureText(error));
    return 1;
  }
  const workers = new LocalWorkers(state.folder);
  const ending = whenToEnd(!options.once, () => {
    workers.kill();
    process.exit(130);
  });
  const displays: ProgressDisplay[] = [];
  let result: number | null = null;
  try {
    const story = tell(options, state, workers, displays).then(({ exitCode, broken }) => {
      result = exitCode;
      return options.once ? { exitCode, reason: null } : broken;
    });
    const end = await Promise.race([story, ending]);
    closeAll(displays);
    if (end.reason !== null) console.log(`\n${end.reason}: ending the Worker and the emulator …`);
    // Once the backups are done, Ctrl-C is the normal end and no failure.
    return result ?? end.exitCode;
  } catch (error) {
    closeAll(displays);
    console.error(failureText(error));
    return 1;
  } finally {
    await workers.stop();
  }
}

/** Throws if the start would damage something or cannot succeed. Then creates the folder; empties it first for --fresh. */
async function prepare({ port, emulatorPort, fresh }: StartOptions, state: LocalState): Promise<void> {
  state.requireOurs();
  await requireFree([state.emulator, state.worker]);
  await requireFreePort(port, "--port", emulatorPort);
  await requireFreePort(emulatorPort, "--emulator-port", port);
  if (fresh) {
    const deleted = await state.delete();
    const list = deleted.map(({ path, bytes }) => `  ${seenFrom(from, path)}  ${sizeText(bytes)}`);
    console.log(
      list.length === 0 ? "\nThere was nothing to delete." : `\nDeleted, to start over:\n${list.join("\n")}`,
    );
  }
  state.make();
}

interface Told {
  readonly exitCode: number;
  /** Rejects if one of the Workers ends unexpectedly. */
  readonly broken: Promise<never>;
}

/** Starts both Workers, makes the backups, reads them back and prints the result. */
async function tell(
  options: StartOptions,
  state: LocalState,
  workers: LocalWorkers,
  displays: ProgressDisplay[],
): Promise<Told> {
  const { port, emulatorPort } = options;
  console.log(
    "\nThis runs d1-nightly on your machine only, without a Cloudflare account.\nStarting takes a few seconds.\n",
  );
  const token = state.adminToken();
  const envFile = state.writeVariables({
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

  const api = new HttpClient(worker.url, token);
  const outcomes = await Promise.race([backUpAll(api, state.backups, displays), broken]);
  console.log(`\n${outcomeTable(outcomes)}\n\n${whereTheyAre(outcomes, from)}\n`);
  if (!options.once) {
    console.log(
      `${howToCall(`http://localhost:${port}`, token, state, from)}\n\nPress Ctrl-C to stop. The next npm start keeps these backups;\nnpm start -- --fresh starts over.`,
    );
  }
  return { exitCode: exitCodeOf(outcomes), broken };
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
  step(`Cloudflare's API, emulated (${Object.keys(samples).length} sample databases)`, emulator.url);
  return emulator;
}

async function startWorker(
  { port }: StartOptions,
  workers: LocalWorkers,
  persistTo: string,
  envFile: string,
) {
  const apply = ["d1", "migrations", "apply", "CATALOG", "--local"];
  await workers.run("Applying the catalogue's migrations", apply, persistTo);
  const worker = await workers.start({
    name: "the Worker",
    config: "wrangler.jsonc",
    port,
    persistTo,
    envFile,
  });
  step("The Worker of d1-nightly", `http://localhost:${port}`);
  return worker;
}

/** One backup of each database, followed to its end and then read back. In the order of their names. */
async function backUpAll(api: HttpClient, target: string, displays: ProgressDisplay[]): Promise<Outcome[]> {
  await setSamplePolicy(api);
  const runs = (await startBackups(api)).toSorted((a, b) => (a.databaseName < b.databaseName ? -1 : 1));
  console.log("\nBacking up each database:\n");
  const display = progressDisplay(
    runs.map((run) => run.databaseName),
    process.stdout,
  );
  displays.push(display);
  const outcomes = await Promise.all(runs.map((run) => backUpOne(api, run, target, display)));
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
    // A complete backup still has to be read back.
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
      display.show(name, {
        state: "reading back",
        step: "reading back",
        bytesDone,
        bytesTotal,
        message: null,
      }),
    );
    display.show(name, {
      state: run.state,
      step: run.state,
      bytesDone: null,
      bytesTotal: backup.manifest.dump.bytes,
      message: null,
    });
    return { kind: "stored", run, backup };
  } catch (error) {
    const hint =
      "The files in the bucket differ from their manifest, or could not be downloaded. Start again.";
    const reason = { code: "read-back-failed", detail: paragraphOf(error), hint };
    display.show(name, {
      state: "failed",
      step: "failed",
      bytesDone: null,
      bytesTotal: null,
      message: reason.code,
    });
    return { kind: "failed", run, reason };
  }
}

function step(what: string, where: string): void {
  console.log(
    `  ${styleText("green", unicodeOr("✓", "+"))} ${what.padEnd(STEP_CELLS)}  ${styleText("gray", where)}`,
  );
}

function failureText(error: unknown): string {
  const mark = styleText("red", unicodeOr("✗", "x"), { stream: process.stderr });
  // Indented lines are commands and lists, which are not wrapped.
  const lines = paragraphOf(error).split("\n");
  const text = lines.map((line) => (line.startsWith("  ") ? line : folded(line))).join("\n");
  return `\n${mark} ${text}\n`;
}

function closeAll(displays: readonly ProgressDisplay[]): void {
  for (const display of displays) display.close();
}
