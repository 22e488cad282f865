import { fstatSync } from "node:fs";

/** Why the program is to end, and the exit code that says so when its work was not done. */
export interface Ending {
  readonly reason: string;
  readonly exitCode: number;
}

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** An input that ends sooner than this was never there: nobody was connected to it. */
const NEVER_THERE_MS = 1_000;

/** npm passes on a Ctrl-C that the terminal has sent to us as well: that is one wish, not two. */
const ECHO_MS = 1_000;

/**
 * Resolves when somebody wants the program to end: a signal, or its terminal or the other end of its input or
 * output is gone. `again` is called when they insist.
 */
export function whenToEnd(followInput: boolean, again: () => void): Promise<Ending> {
  return new Promise((resolve) => {
    let asked: number | null = null;
    for (const [signal, exitCode] of Object.entries(SIGNALS)) {
      process.on(signal, () => {
        asked ??= Date.now();
        if (Date.now() - asked > ECHO_MS) again();
        resolve({ reason: signal, exitCode });
      });
    }
    const gone = { reason: "the terminal is gone", exitCode: SIGNALS.SIGHUP };
    process.stdout.on("error", () => resolve(gone));
    process.stderr.on("error", () => resolve(gone));
    followNpm(() => resolve({ reason: "npm is gone", exitCode: SIGNALS.SIGTERM }));
    if (followInput && isPipe()) {
      const begun = Date.now();
      process.stdin.on("error", () => resolve(gone));
      process.stdin.on("end", () => {
        if (Date.now() - begun > NEVER_THERE_MS) resolve(gone);
      });
      process.stdin.resume();
    }
  });
}

/** Somebody who ends npm ends its shell too, but that passes no signal on to us: we see another parent then. */
function followNpm(gone: () => void): void {
  if (process.env["npm_lifecycle_event"] !== "start") return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    gone();
  }, 200);
}

/** A terminal tells its end by SIGHUP, and reading from one would stop a program in the background. */
function isPipe(): boolean {
  try {
    const input = fstatSync(0);
    return input.isFIFO() || input.isSocket();
  } catch {
    return false;
  }
}
