import { z } from "zod";

/** Everything that a client can ask for and that can be counted and made to fail. */
export const OPERATIONS = [
  "list",
  "get",
  "create",
  "delete",
  "query",
  "raw",
  "bookmark",
  "export.start",
  "export.poll",
  "import.init",
  "import.ingest",
  "import.poll",
  "upload",
  "download",
] as const;

export type Operation = (typeof OPERATIONS)[number];

interface FaultKind {
  /** Where it can strike; left out when it can strike anywhere. */
  on?: readonly Operation[];
  /** What `value` means; left out when the fault takes none. */
  value?: string;
  /** What `value` is when it is not given; without it, `value` is required. */
  fallback?: number;
}

const DOWNLOAD = ["download"] as const;
const EXPORT = ["export.start", "export.poll"] as const;

/** The table of faults: a new one needs a line here and a place where it acts. */
export const FAULTS = {
  status: { value: "the HTTP status", fallback: 500 },
  garbage: {},
  "lose-answer": {},
  slow: { value: "milliseconds" },
  vanish: {},
  drop: {},
  busy: { on: ["export.start", "import.init", "import.ingest"] },
  "lose-export": { on: ["export.poll"] },
  "tell-again": { on: ["export.poll"] },
  "export-error": { on: EXPORT },
  "reset-do": { on: ["import.ingest", "import.poll"] },
  expired: { on: ["download", "upload"] },
  "wrong-etag": { on: ["download", "upload"] },
  truncate: { on: DOWNLOAD, value: "bytes" },
  reset: { on: DOWNLOAD, value: "bytes" },
  stall: { on: DOWNLOAD, value: "bytes" },
  throttle: { on: DOWNLOAD, value: "bytes per second" },
  "no-content-length": { on: DOWNLOAD },
  "ignore-range": { on: DOWNLOAD },
  "wrong-length": { on: DOWNLOAD, value: "the false Content-Length" },
  change: { on: DOWNLOAD },
  empty: { on: DOWNLOAD },
  shorten: { on: DOWNLOAD, value: "bytes" },
  "not-a-dump": { on: DOWNLOAD },
  redirect: { on: DOWNLOAD },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof FAULTS;

const kindOf = (name: FaultName): FaultKind => FAULTS[name];

const count = z.int().min(0);

/** One fault as the control route takes it. */
export const faultSchema = z
  .strictObject({
    on: z.enum([...OPERATIONS, "any"]),
    // Object.keys loses the literal types that the table above has.
    fault: z.enum(Object.keys(FAULTS) as FaultName[]),
    times: count.optional(),
    skip: count.optional(),
    value: count.optional(),
  })
  .check((context) => {
    const { on, fault, value } = context.value;
    const kind = kindOf(fault);
    if (kind.on !== undefined && on !== "any" && !kind.on.includes(on)) {
      const message = `${fault} can strike on ${kind.on.join(", ")} only`;
      context.issues.push({ code: "custom", message, path: ["on"], input: on });
    }
    if (value === undefined && kind.value !== undefined && kind.fallback === undefined) {
      const message = `${fault} needs a value: ${kind.value}`;
      context.issues.push({ code: "custom", message, path: ["value"], input: value });
    }
  });

export type FaultRule = z.infer<typeof faultSchema>;

/** A fault that strikes the request at hand. */
export interface Fault {
  name: FaultName;
  value: number;
}

/** The fault of this name among those that strike. */
export function findFault(faults: readonly Fault[], name: FaultName): Fault | undefined {
  return faults.find((fault) => fault.name === name);
}

/** Whether the rule speaks of this operation. */
export function concerns(rule: FaultRule, operation: Operation): boolean {
  if (rule.on !== "any") return rule.on === operation;
  return kindOf(rule.fault).on?.includes(operation) ?? true;
}

/** The fault as it strikes, with its value or the one that stands for it. */
export function struckBy(rule: FaultRule): Fault {
  return { name: rule.fault, value: rule.value ?? kindOf(rule.fault).fallback ?? 0 };
}
