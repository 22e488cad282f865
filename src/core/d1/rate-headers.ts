import { type List, parseList, Token } from "structured-headers";
import { CLOUDFLARE_LIMIT, LONGEST_HOLD_MS } from "./api-budget.ts";

/** What an answer's headers say about Cloudflare's own count, which includes other tools' calls. */
export interface RateSeen {
  readonly remaining: number;
  /** The time until the count restarts. */
  readonly resetMs: number;
  readonly quota: number;
}

/**
 * Reads `Ratelimit: "default";r=50;t=30` and `Ratelimit-Policy: "default";q=1200;w=300`: of several items the tightest.
 * Null when there is none; what makes no sense is passed over.
 */
export function readRate(rateLimit: string | null, policy: string | null): RateSeen | null {
  const quotas = new Map(limits(policy).map(({ name, value }) => [name, value("q")]));
  const seen: RateSeen[] = [];
  for (const { name, value } of limits(rateLimit)) {
    const [remaining, resetS] = [value("r"), value("t")];
    if (remaining === null || resetS === null) continue;
    const quota = quotas.get(name) ?? CLOUDFLARE_LIMIT;
    seen.push({ remaining, quota, resetMs: Math.min(resetS * 1_000, LONGEST_HOLD_MS) });
  }
  return seen.sort((a, b) => callsLeft(a) - callsLeft(b))[0] ?? null;
}

/** How many calls may still be made: a tenth of the quota is left to others. */
export function callsLeft({ remaining, quota }: RateSeen): number {
  return remaining - quota / 10;
}

interface Limit {
  readonly name: string;
  value(parameter: string): number | null;
}

/** The limits that a header lists (RFC 9651): a name each, with parameters. None when the header is malformed. */
function limits(header: string | null): Limit[] {
  return listed(header ?? "").flatMap(([bare, parameters]) => {
    if (typeof bare !== "string" && !(bare instanceof Token)) return [];
    const value = (parameter: string): number | null => {
      const number = parameters.get(parameter);
      return typeof number === "number" && Number.isInteger(number) && number >= 0 ? number : null;
    };
    return [{ name: bare.toString(), value }];
  });
}

function listed(header: string): List {
  try {
    return parseList(header);
  } catch {
    // The RFC wants a header with any error in it to be ignored as a whole.
    return [];
  }
}
