import { OPERATIONS, type Operation } from "../wire/operation.ts";

export interface FaultKind {
  /** Where it can strike; left out when it can strike anywhere. */
  on?: readonly Operation[];
  /** What `value` means; left out when the fault takes none. */
  value?: string;
  /** What `value` is when it is not given; without it, `value` is required. */
  fallback?: number;
  /** Whether `code` and `message` say what the error is; both may be left out. */
  words?: true;
  /** What `text` means, which is then required. */
  text?: string;
}

const DOWNLOAD = ["download"] as const;
const EXPORT = ["export.start", "export.poll"] as const;
const IMPORT = ["import.init", "import.ingest", "import.poll"] as const;
/** Whatever is answered in Cloudflare's envelope. */
const API = OPERATIONS.filter((operation) => operation !== "upload" && operation !== "download");

/** The table of faults: a new one needs a line here and a place where it acts. */
export const FAULTS = {
  status: { value: "the HTTP status", fallback: 500, words: true },
  garbage: {},
  "lose-answer": {},
  slow: { value: "milliseconds" },
  vanish: {},
  drop: {},
  pad: { on: API, value: "bytes" },
  "no-total-count": { on: ["list"] },
  busy: { on: ["export.start", "import.init", "import.ingest"] },
  "lose-export": { on: ["export.poll"] },
  "tell-again": { on: ["export.poll"] },
  "export-error": { on: EXPORT, words: true },
  "strict-options": { on: EXPORT },
  "stray-line": {
    on: ["export.start"],
    value: "the number of the statement that it precedes",
    text: "the line",
  },
  "too-slow": { on: ["query", "raw"], text: "what the SQL has in it that takes too long" },
  "import-error": { on: IMPORT, words: true },
  "reset-do": { on: ["import.ingest", "import.poll"] },
  expired: { on: ["download", "upload"] },
  "wrong-etag": { on: ["download", "upload"] },
  truncate: { on: DOWNLOAD, value: "bytes" },
  reset: { on: DOWNLOAD, value: "bytes" },
  stall: { on: DOWNLOAD, value: "bytes" },
  throttle: { on: DOWNLOAD, value: "bytes per second" },
  "no-content-length": { on: [...API, "download"] },
  "ignore-range": { on: DOWNLOAD },
  "wrong-length": { on: DOWNLOAD, value: "the false Content-Length" },
  change: { on: DOWNLOAD },
  empty: { on: DOWNLOAD },
  shorten: { on: DOWNLOAD, value: "bytes" },
  "not-a-dump": { on: DOWNLOAD },
  redirect: { on: DOWNLOAD },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof FAULTS;

/** What the table says of a fault, without the literal types of its line. */
export const kindOf = (name: FaultName): FaultKind => FAULTS[name];
