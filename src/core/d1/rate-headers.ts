import { CLOUDFLARE_LIMIT, LONGEST_HOLD_MS } from "./api-budget.ts";

/** What an answer's headers tell of Cloudflare's own count, which other tools' calls are in too. */
export interface RateSeen {
  readonly remaining: number;
  /** Until the count begins anew. */
  readonly resetMs: number;
  readonly quota: number;
}

/**
 * Reads `Ratelimit: "default";r=50;t=30` and `Ratelimit-Policy: "default";q=1200;w=300`: of several items the tightest.
 * Null when there is none; what makes no sense is passed over.
 */
export function readRate(rateLimit: string | null, policy: string | null): RateSeen | null {
  const quotas = new Map(items(policy).map(({ name, value }) => [name, value("q")]));
  const seen: RateSeen[] = [];
  for (const { name, value } of items(rateLimit)) {
    const [remaining, resetS] = [value("r"), value("t")];
    if (remaining === null || resetS === null) continue;
    const quota = quotas.get(name) ?? CLOUDFLARE_LIMIT;
    seen.push({ remaining, quota, resetMs: Math.min(resetS * 1_000, LONGEST_HOLD_MS) });
  }
  return seen.sort((a, b) => callsLeft(a) - callsLeft(b))[0] ?? null;
}

/** What may still be called: a tenth of the quota is left to others. */
export function callsLeft({ remaining, quota }: RateSeen): number {
  return remaining - quota / 10;
}

interface Item {
  readonly name: string;
  value(parameter: string): number | null;
}

/** The items of a list as these headers hold it: a name each, with parameters. */
function items(header: string | null): Item[] {
  const found = (header ?? "").matchAll(/("[^"]*"|[\w*.-]+)((?:\s*;\s*\w+=(?:"[^"]*"|[^;,"]*))*)/g);
  return [...found].map(([, name = "", parameters = ""]) => ({
    name: name.replaceAll('"', ""),
    value(parameter) {
      const text = new RegExp(`;\\s*${parameter}=(\\d{1,9})\\s*(?:;|$)`).exec(parameters)?.[1];
      return text === undefined ? null : Number(text);
    },
  }));
}
