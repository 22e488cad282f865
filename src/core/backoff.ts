import type { FailureCode } from "./failure.ts";

/** Waiting times, in milliseconds. All randomness comes in as `random`, a number in [0, 1). */

/** When to poll a running export again: after 1 s, 2 s, then every 4 s. One that nobody polls for 15 s is cancelled. */
export function pollDelayMs(pollsSoFar: number): number {
  return pollsSoFar === 0 ? 1_000 : pollsSoFar === 1 ? 2_000 : 4_000;
}

/** Exponential backoff with full jitter over its upper half, so that many databases do not retry at the same time. */
export function backoffMs(attempt: number, random: number, baseMs = 1_000, capMs = 60_000): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}

/** While another export keeps the database busy: between 15 and 60 seconds. */
export function busyDelayMs(attempt: number, random: number): number {
  return backoffMs(attempt, random, 30_000, 60_000);
}

/** How long to wait for a busy database: an export without polls ends well before. */
export const BUSY_LIMIT_MS = 30 * 60_000;

/**
 * How many consecutive failures of one step the run tolerates: about ten minutes of an outage of Cloudflare's API or of
 * R2; fewer for a download, which holds a lease and has already been resumed several times.
 */
export function attemptLimit(code: FailureCode): number {
  return code === "dump-unreachable" || code === "dump-truncated" ? 6 : 20;
}

/** How often one run starts a new export (after a lost, expired or changed one). */
export const EXPORT_LIMIT = 5;

/** The longest wait between two tries, even if the other side asks for more: a waiting run blocks its database. */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** The longest duration of a run, from the start of its work. */
export const RUN_DEADLINE_MS = 6 * 60 * 60_000;

/** The longest wait before a poll is repeated: D1 cancels an export without a poll for 15 s. */
export const LATEST_POLL_MS = 8_000;
