import { setTimeout as sleep } from "node:timers/promises";

/** What a bench has printed, or why it is of no use. */
export type Outcome =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly why: string };

const RATIO = /\d ×/;

/** How many times as much as something that was measured beside it. Throws when that was nothing. */
export function timesAsMuch(figure: number, bare: number): string {
  const times = figure / bare;
  if (!Number.isFinite(times) || times < 0) throw new Error(`${figure} and ${bare} give no ratio`);
  return `${times.toFixed(2)} ×`;
}

/**
 * Runs a bench to its end. One that throws, that takes longer than `limitMs`, or that prints no ratio has failed: a
 * figure that stands beside nothing cannot be compared on another machine. What hangs is left behind.
 */
export async function outcomeOf(limitMs: number, measure: () => Promise<string>): Promise<Outcome> {
  const timer = new AbortController();
  const late = sleep(limitMs, null, { signal: timer.signal }).catch(() => null);
  try {
    const text = await Promise.race([measure(), late]);
    if (text === null) return { ok: false, why: `it was not done after ${limitMs / 1_000} s` };
    if (!RATIO.test(text)) return { ok: false, why: `it has printed no ratio:\n${text}` };
    return { ok: true, text };
  } catch (error) {
    return { ok: false, why: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  } finally {
    timer.abort();
  }
}
