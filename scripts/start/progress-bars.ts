import { MultiBar, type SingleBar } from "cli-progress";
import { styleText } from "node:util";
import type { Run } from "./backup-round.ts";
import { sizeText } from "./figures.ts";

/** How far one database has come. The last two states are this program's own. */
export interface Stage {
  readonly state: Run["state"] | "not covered" | "reading back";
  readonly bytesDone: number | null;
  readonly bytesTotal: number | null;
  readonly message: string | null;
}

export interface ProgressDisplay {
  show(database: string, stage: Stage): void;
  /** Leaves the terminal as it was found. */
  close(): void;
}

/** Bars that move where somebody watches; else a line for each change of state. */
export function progressDisplay(databases: readonly string[], output: NodeJS.WriteStream): ProgressDisplay {
  const width = Math.max(...databases.map((name) => name.length));
  return output.isTTY ? movingBars(databases, width, output) : plainLines(width, output);
}

export function stageOf(run: Run): Stage {
  const state = isNotCovered(run) ? "not covered" : run.state;
  return { ...run.progress, state, message: run.error?.code ?? run.progress.message };
}

/** What this release says clearly that it cannot do yet; nothing has gone wrong. */
export function isNotCovered(run: Run): boolean {
  return run.state === "failed" && run.error?.code === "virtual-tables";
}

const BAR_CELLS = 24;
const STATE_CELLS = 13;
const BYTES_CELLS = 19;

function movingBars(
  databases: readonly string[],
  width: number,
  output: NodeJS.WriteStream,
): ProgressDisplay {
  const bars = new MultiBar({
    stream: output,
    format: (_options, { progress }, payload: { text: (done: number) => string }) => payload.text(progress),
    fps: 12,
    hideCursor: true,
    gracefulExit: false,
    emptyOnZero: true,
  });
  const byName = new Map<string, SingleBar>();
  for (const name of databases) {
    byName.set(name, bars.create(1, 0, { text: () => `  ${name}` }));
  }
  return {
    show(name, stage) {
      byName
        .get(name)
        ?.update(shareDone(stage), { text: (done: number) => barLine(name.padEnd(width), done, stage) });
    },
    close: () => bars.stop(),
  };
}

function barLine(name: string, done: number, stage: Stage): string {
  const full = Math.round(done * BAR_CELLS);
  const color = colorOf(stage.state);
  const bar = styleText(color, "█".repeat(full)) + styleText("gray", "░".repeat(BAR_CELLS - full));
  const state = styleText(color, stage.state.padEnd(STATE_CELLS));
  return `  ${name}  ${bar}  ${state}${bytesText(stage).padEnd(BYTES_CELLS)}${styleText("gray", stage.message ?? "")}`.trimEnd();
}

function colorOf(state: Stage["state"]): "green" | "red" | "yellow" | "cyan" {
  if (state === "complete" || state === "unchanged") return "green";
  if (state === "failed" || state === "cancelled") return "red";
  return state === "not covered" ? "yellow" : "cyan";
}

/** The stages of one backup as shares of one bar: roughly what each takes of the time. */
const STAGES = {
  queued: [0, 0],
  exporting: [0.05, 0.05],
  copying: [0.15, 0.7],
  verifying: [0.7, 0.85],
  "reading back": [0.85, 1],
  complete: [1, 1],
  unchanged: [1, 1],
  failed: [0, 0],
  cancelled: [0, 0],
  "not covered": [0, 0],
} as const satisfies Record<Stage["state"], readonly [number, number]>;

function shareDone({ state, bytesDone, bytesTotal }: Stage): number {
  const [from, to] = STAGES[state];
  const part = bytesDone === null || bytesTotal === null || bytesTotal === 0 ? 0 : bytesDone / bytesTotal;
  return from + (to - from) * Math.min(part, 1);
}

function bytesText({ bytesDone, bytesTotal }: Stage): string {
  if (bytesTotal === null) return "";
  return bytesDone === null ? sizeText(bytesTotal) : `${sizeText(bytesDone)} / ${sizeText(bytesTotal)}`;
}

function plainLines(width: number, output: NodeJS.WriteStream): ProgressDisplay {
  const last = new Map<string, string>();
  return {
    show(name, stage) {
      if (last.get(name) === stage.state) return;
      last.set(name, stage.state);
      const message = stage.state === "failed" || stage.state === "not covered" ? stage.message : null;
      output.write(`  ${name.padEnd(width)}  ${stage.state}${message === null ? "" : ` (${message})`}\n`);
    },
    close: () => undefined,
  };
}
