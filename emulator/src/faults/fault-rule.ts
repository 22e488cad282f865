import { z } from "zod";
import { OPERATIONS, type Operation } from "../wire/operation.ts";
import { FAULTS, kindOf, type FaultName } from "./fault-kinds.ts";

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
    code: count.optional(),
    message: z.string().optional(),
    text: z.string().optional(),
  })
  .check((context) => {
    const { on, fault, value, code, message: words, text } = context.value;
    const kind = kindOf(fault);
    if (kind.on !== undefined && on !== "any" && !kind.on.includes(on)) {
      const message = `${fault} can strike on ${kind.on.join(", ")} only`;
      context.issues.push({ code: "custom", message, path: ["on"], input: on });
    }
    if (value === undefined && kind.value !== undefined && kind.fallback === undefined) {
      const message = `${fault} needs a value: ${kind.value}`;
      context.issues.push({ code: "custom", message, path: ["value"], input: value });
    }
    if ((text === undefined) !== (kind.text === undefined)) {
      const message =
        kind.text === undefined ? `${fault} takes no text` : `${fault} needs a text: ${kind.text}`;
      context.issues.push({ code: "custom", message, path: ["text"], input: text });
    }
    if (kind.words === undefined && (code ?? words) !== undefined) {
      const message = `${fault} takes neither a code nor a message`;
      context.issues.push({ code: "custom", message, path: ["message"], input: words });
    }
  });

export type FaultRule = z.infer<typeof faultSchema>;

/** A fault that strikes the request at hand. */
export interface Fault {
  name: FaultName;
  value: number;
  /** The code of Cloudflare's error, and what it says, where the test has chosen them. */
  code: number | undefined;
  message: string | undefined;
  text: string;
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
export function struckBy({ fault, value, code, message, text }: FaultRule): Fault {
  return { name: fault, value: value ?? kindOf(fault).fallback ?? 0, code, message, text: text ?? "" };
}
