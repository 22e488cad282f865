import { isCI, isTTY, unicodeOr } from "@clack/prompts";
import { createLogUpdate } from "log-update";
import type { Writable } from "node:stream";
import { styleText } from "node:util";
import type { Run } from "../round/backup-round.ts";
import { sharedSizeText, sizeText } from "./figures.ts";

/** The progress of one database. The last two states are this program's own. */
export interface Stage {
  readonly state: Run["state"] | "not covered" | "reading back";
  /** The step within the state, as the user sees it. */
  readonly step: string;
  readonly bytesDone: number | null;
  readonly bytesTotal: number | null;
  readonly message: string | null;
}

export interface ProgressDisplay {
  show(database: string, stage: Stage): void;
  /** Restores the terminal. May run twice. */
  close(): void;
}

/** A terminal, or a pipe or file, which has no columns. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Moving bars in a terminal, otherwise a line for each step. */
export function progressDisplay(databases: readonly string[], output: Output): ProgressDisplay {
  const watched = isTTY(output) && !isCI() && process.env["TERM"] !== "dumb";
  return watched ? movingBars(databases, output) : plainLines(databases, output);
}

export function stageOf(run: Run): Stage {
  const message = run.error?.code ?? run.progress.message;
  const over = isNotCovered(run) ? "not covered" : run.state;
  const step = run.finishedAt === null ? run.progress.step : over;
  return { ...run.progress, state: over, step, message };
}

/** A database that this release knowingly does not cover yet, which is no error. */
export function isNotCovered(run: Run): boolean {
  return run.state === "failed" && run.error?.code === "virtual-tables";
}

const FRAME_MS = 80;
const USUAL_COLUMNS = 80;
const FULL = unicodeOr("━", "=");
const EMPTY = unicodeOr("─", "-");
const CUT = unicodeOr("…", "~");

/** The cells of a line. The bar gets the rest of the terminal's width. */
const NAME_CELLS = 24;
const STEP_CELLS = 14;
const BYTES_CELLS = 26;
const BAR_CELLS = 24;
const LEAST_BAR_CELLS = 4;

const QUEUED: Stage = { state: "queued", step: "queued", bytesDone: null, bytesTotal: null, message: null };
const NOTHING_YET = { stage: QUEUED, share: 0 };

function movingBars(databases: readonly string[], output: Output): ProgressDisplay {
  const update = createLogUpdate(output);
  const nameCells = Math.min(NAME_CELLS, longest(databases));
  const shown = new Map<string, { stage: Stage; share: number }>();
  const draw = (): void => {
    // A line as wide as the terminal would wrap in some of them.
    const columns = (output.columns ?? USUAL_COLUMNS) - 1;
    const barCells = Math.min(BAR_CELLS, columns - nameCells - STEP_CELLS - BYTES_CELLS - 6);
    const lines = databases.map((name) =>
      barLine(cut(name, nameCells).padEnd(nameCells), barCells, shown.get(name)),
    );
    update(lines.join("\n"));
  };
  draw();
  const timer = setInterval(draw, FRAME_MS);
  let closed = false;
  return {
    show(name, stage) {
      // The bar does not move back in a step that counts no bytes.
      const share = isBad(stage) ? 0 : Math.max(shareDone(stage), shown.get(name)?.share ?? 0);
      shown.set(name, { stage, share });
    },
    close() {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      draw();
      update.done();
    },
  };
}

function barLine(name: string, barCells: number, { stage, share } = NOTHING_YET): string {
  const color = colorOf(stage);
  const step = styleText(color, stage.step.padEnd(STEP_CELLS));
  const line = [name, ...(barCells < LEAST_BAR_CELLS ? [] : [bar(share, barCells, color)]), step];
  return `  ${line.join("  ")}${cut(detailOf(stage), BYTES_CELLS)}`.trimEnd();
}

function bar(share: number, cells: number, color: Color): string {
  const full = Math.round(share * cells);
  return styleText(color, FULL.repeat(full)) + styleText("gray", EMPTY.repeat(cells - full));
}

type Color = "green" | "red" | "yellow" | "cyan";

function colorOf(stage: Stage): Color {
  if (isBad(stage)) return "red";
  if (stage.state === "not covered") return "yellow";
  return stage.state === "complete" || stage.state === "unchanged" ? "green" : "cyan";
}

function isBad({ state }: Stage): boolean {
  return state === "failed" || state === "cancelled";
}

/** The states of one backup as shares of one bar: roughly what each takes of the time. */
const SHARES = {
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
  const [from, to] = SHARES[state];
  const part = bytesDone === null || bytesTotal === null || bytesTotal === 0 ? 0 : bytesDone / bytesTotal;
  return from + (to - from) * Math.min(part, 1);
}

/** The bytes of the step and what they are bytes of, or why there are none. */
function detailOf({ state, bytesDone, bytesTotal, message }: Stage): string {
  if (state === "failed" || state === "not covered") return message ?? "";
  if (bytesTotal === null) return "";
  const bytes = bytesDone === null ? sizeText(bytesTotal) : sharedSizeText(bytesDone, bytesTotal);
  switch (state) {
    case "copying":
    case "complete":
    case "unchanged":
      return `${bytes} of SQL`;
    case "verifying":
    case "reading back":
      return `${bytes} stored`;
    default:
      return `${bytes} database`;
  }
}

function plainLines(databases: readonly string[], output: Output): ProgressDisplay {
  const width = longest(databases);
  const last = new Map<string, string>();
  return {
    show(name, stage) {
      if (last.get(name) === stage.step) return;
      last.set(name, stage.step);
      // The progress would be out of date before anybody reads it.
      const detail = detailOf({ ...stage, bytesDone: null });
      output.write(`  ${name.padEnd(width)}  ${stage.step.padEnd(STEP_CELLS)}${detail}`.trimEnd() + "\n");
    },
    close: () => undefined,
  };
}

function longest(names: readonly string[]): number {
  return Math.max(...names.map((name) => name.length));
}

function cut(text: string, cells: number): string {
  return text.length <= cells ? text : `${text.slice(0, cells - 1)}${CUT}`;
}
