import { fstatSync } from "node:fs";

/** Why the program should end, and its exit code if the work is not done. */
export interface Ending {
  readonly reason: string;
  readonly exitCode: number;
}

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** An input that ends sooner than this was never connected. */
const NEVER_THERE_MS = 1_000;

/** npm forwards a Ctrl-C that the terminal has also sent to us: that is one request, not two. */
const ECHO_MS = 1_000;

/**
 * Resolves when the program should end: on a signal, or when its terminal or the other end of its input or output is
 * gone. Calls `again` on a second request.
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

/** Ending npm ends its shell too, but sends no signal to us. So this watches for another parent process. */
function followNpm(gone: () => void): void {
  if (process.env["npm_lifecycle_event"] !== "start") return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    gone();
  }, 200);
}

/** Only a pipe is read: a terminal reports its end by SIGHUP, and reading from one would stop a background program. */
function isPipe(): boolean {
  try {
    const input = fstatSync(0);
    return input.isFIFO() || input.isSocket();
  } catch {
    return false;
  }
}
