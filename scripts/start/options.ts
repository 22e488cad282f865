import { resolve } from "node:path";
import { parseArgs } from "node:util";

export interface StartOptions {
  /** Stop after the backups instead of running until Ctrl-C. */
  readonly once: boolean;
  /** Delete the files of earlier starts, and start over. */
  readonly fresh: boolean;
  /** The folder for all files of this command. */
  readonly data: string;
  readonly port: number;
  readonly emulatorPort: number;
}

export type Wish =
  | { readonly kind: "start"; readonly options: StartOptions }
  | { readonly kind: "help" }
  | { readonly kind: "mistake"; readonly problem: string };

export const HELP = `Usage: npm start [-- options]

Runs d1-nightly on this machine, without a Cloudflare account: an emulator of
Cloudflare's API with sample databases, the Worker, and one backup of each
database. It runs until you press Ctrl-C.

  --once             stop after the backups. The exit code is 0 only if every
                     database has a backup that was read back in full from
                     the bucket
  --fresh            delete the files of earlier starts in DIR, and start over
  --port N           the Worker's port (8787)
  --emulator-port N  the emulator's port (8788)
  --data DIR         the folder for local state and downloaded backups (.data)
  --help             show this text

Exit codes: 0 as above, 1 a backup or the start failed, 2 a mistake in the
options, 129, 130 or 143 a signal ended it before the backups were done.
`;

export function readOptions(args: readonly string[], root: string): Wish {
  const parsed = parse(args);
  if (typeof parsed === "string") return { kind: "mistake", problem: parsed };
  if (parsed.help) return { kind: "help" };
  const port = portOf(parsed.port);
  const emulatorPort = portOf(parsed["emulator-port"]);
  if (port === null || emulatorPort === null)
    return { kind: "mistake", problem: "A port is a number from 1 to 65535." };
  if (port === emulatorPort)
    return { kind: "mistake", problem: `The Worker and the emulator cannot both have port ${port}.` };
  const { once, fresh, data } = parsed;
  return { kind: "start", options: { once, fresh, data: resolve(root, data), port, emulatorPort } };
}

/** The values of the options, or the error in the arguments. */
function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        once: { type: "boolean", default: false },
        fresh: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        data: { type: "string", default: ".data" },
        port: { type: "string", default: "8787" },
        "emulator-port": { type: "string", default: "8788" },
      },
    }).values;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function portOf(text: string): number | null {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : null;
}
