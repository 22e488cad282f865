import { z } from "zod";

/**
 * How many calls of Cloudflare's API may be made. Cloudflare allows 1,200 in 5 minutes to a user, whatever tool makes
 * them; this product keeps to a part of them, and to less when the headers of an answer say that little is left.
 *
 * Polls of running exports are never refused: a late one loses the export. So a call that is not a poll is admitted
 * only when it leaves room, in each window of 5 minutes that is still to come, for all polls that the running exports
 * may make in it. As each export's start is such a call, no window ever holds more than the limit.
 */
export const WINDOW_MS = 5 * 60_000;
export const CLOUDFLARE_LIMIT = 1_200;

/** What this product keeps to unless told otherwise: four fifths. */
export const DEFAULT_CALLS = 960;

/** Calls are counted in buckets. One that is partly in the window counts in full: never too few are counted. */
const BUCKET_MS = 5_000;

/**
 * A twentieth of the limit belongs to readers, and the rest to work. Neither takes from the other: however much is read,
 * no backup waits for it, and while work has used up its part, something can still be read.
 */
const READERS_PART = 20;

/** A step makes several calls, and begins anew when one of them is refused: who was refused comes back for so many. */
const CALLS_A_STEP = 4;

/** Who has to wait comes back a little after the one before. */
const SPREAD_MS = 250;

/** Refused callers that are kept apart. Those beyond come back with the last of them. */
const MOST_WAITING = 200;

/** Nobody is told to wait for longer without looking again. */
export const LONGEST_HOLD_MS = 10 * 60_000;

/** When exports that run leave no room at all: one of them may end at any time. */
const NO_ROOM_MS = 30_000;

const moment = z.number();

/** Calls per bucket of 5 s (its number since the epoch), the oldest first. */
const bucketsSchema = z.array(z.tuple([z.number().int(), z.number().int().nonnegative()]));
type Buckets = z.infer<typeof bucketsSchema>;

/** Everything that has to be remembered, ready to be stored. */
export const apiBudgetSchema = z.object({
  /** What work has called, polls included. */
  calls: bucketsSchema,
  /** What readers have called. */
  read: bucketsSchema,
  /** When work that was refused was told to come back. */
  waiting: z.array(moment),
  /** Nothing but polls before then. */
  heldUntil: moment.nullable(),
});
export type ApiBudget = z.infer<typeof apiBudgetSchema>;

export const NOTHING_CALLED: ApiBudget = { calls: [], read: [], waiting: [], heldUntil: null };

export interface Call {
  readonly kind: CallKind;
  /** Calls in 5 minutes, those of readers included. */
  readonly limit: number;
  /** Exports that run or may begin to: slots held. */
  readonly exports: number;
  /** So many calls more have to fit, for work that is more urgent than this. */
  readonly spare: number;
}

/** Counts the call and answers 0; or counts nothing, and says how long to wait before asking again. */
export function admit(before: ApiBudget, call: Call, now: number): { budget: ApiBudget; waitMs: number } {
  const budget = settled(before, now);
  if (call.kind === "poll") return { budget: counted(budget, now), waitMs: 0 };
  const held = budget.heldUntil === null ? 0 : budget.heldUntil - now;
  if (call.kind === "reader") return admitReader(budget, call, held, now);
  const limit = call.limit - readersPart(call.limit);
  if (held === 0 && waitFor(1 + call.spare, budget, call.exports, limit, now) === 0)
    return { budget: counted(budget, now), waitMs: 0 };
  const position = budget.waiting.length;
  const wait = Math.max(held, waitInLine(position, budget, call, limit, now)) + (position + 1) * SPREAD_MS;
  const waiting = [...budget.waiting, now + wait].slice(-MOST_WAITING);
  return { budget: { ...budget, waiting }, waitMs: Math.round(wait) };
}

/** Who reads and is refused takes no place among the work that waits. */
function admitReader(
  budget: ApiBudget,
  { limit }: Call,
  held: number,
  now: number,
): { budget: ApiBudget; waitMs: number } {
  const read = sumOf(budget.read);
  if (held === 0 && read < readersPart(limit))
    return { budget: { ...budget, read: oneMore(budget.read, now) }, waitMs: 0 };
  // The oldest calls leave the window first, and make room.
  const [oldest] = budget.read;
  const leaves =
    oldest === undefined || read < readersPart(limit) ? 0 : (oldest[0] + 1) * BUCKET_MS + WINDOW_MS - now;
  return { budget, waitMs: Math.max(held, leaves) + SPREAD_MS };
}

function readersPart(limit: number): number {
  return Math.floor(limit / READERS_PART);
}

/** Nothing but polls for so long. */
export function slowDown(before: ApiBudget, forMs: number, now: number): ApiBudget {
  const budget = settled(before, now);
  const until = now + Math.min(Math.max(forMs, 0), LONGEST_HOLD_MS);
  return { ...budget, heldUntil: Math.max(budget.heldUntil ?? 0, until) };
}

/** Calls made in the last 5 minutes; up to 5 s more of them. */
export function callsInWindow(budget: ApiBudget, now: number): number {
  const { calls, read } = settled(budget, now);
  return sumOf(calls) + sumOf(read);
}

/** The most polls that so many exports can make in so much time: after 1 s, 2 s, then every 4 s. */
export function pollsWithin(exports: number, ms: number): number {
  return exports * (2 + Math.floor(ms / 4_000));
}

/**
 * How many exports may run at once: as many as are wished for, but no more than the budget has polls for, with a
 * quarter of it left for everything else, and for polls that fail and are repeated sooner.
 */
export function exportSlots(wished: number, limit: number): number {
  return Math.max(1, Math.min(wished, Math.floor((limit * 3) / 4 / pollsWithin(1, WINDOW_MS))));
}

/** The wait of somebody before whom so many others have to wait. */
function waitInLine(position: number, budget: ApiBudget, call: Call, limit: number, now: number): number {
  const atMost = limit - pollsWithin(call.exports, WINDOW_MS) - call.spare;
  const calls = Math.min((position + 1) * CALLS_A_STEP, Math.max(1, atMost));
  return waitFor(calls + call.spare, budget, call.exports, limit, now) ?? NO_ROOM_MS;
}

/**
 * How long until so many more calls fit into every window that ends then or later, when nothing but polls is called
 * meanwhile. Null when the polls alone leave no room.
 */
function waitFor(
  calls: number,
  budget: ApiBudget,
  exports: number,
  limit: number,
  now: number,
): number | null {
  if (calls + pollsWithin(exports, WINDOW_MS) > limit) return null;
  let used = 0;
  for (const [bucket, made] of budget.calls.toReversed()) {
    used += made;
    const leavesAfter = (bucket + 1) * BUCKET_MS + WINDOW_MS - now;
    const polls = pollsWithin(exports, Math.min(leavesAfter, WINDOW_MS));
    if (used + calls + polls > limit) return leavesAfter;
  }
  return 0;
}

function counted(budget: ApiBudget, now: number): ApiBudget {
  return { ...budget, calls: oneMore(budget.calls, now) };
}

function oneMore(calls: Buckets, now: number): Buckets {
  const bucket = Math.floor(now / BUCKET_MS);
  const last = calls.at(-1);
  return last?.[0] === bucket ? [...calls.slice(0, -1), [bucket, last[1] + 1]] : [...calls, [bucket, 1]];
}

function sumOf(calls: Buckets): number {
  return calls.reduce((sum, [, made]) => sum + made, 0);
}

function settled({ calls, read, waiting, heldUntil }: ApiBudget, now: number): ApiBudget {
  const isHeld = heldUntil !== null && heldUntil > now;
  return {
    calls: inWindow(calls, now),
    read: inWindow(read, now),
    waiting: waiting.filter((at) => at > now && at <= now + 2 * LONGEST_HOLD_MS),
    heldUntil: isHeld ? Math.min(heldUntil, now + LONGEST_HOLD_MS) : null,
  };
}

/** Forgets what is over. What lies in the future was counted by a clock that has been put back since. */
function inWindow(calls: Buckets, now: number): Buckets {
  const current = Math.floor(now / BUCKET_MS);
  const kept = calls.filter(([bucket]) => (bucket + 1) * BUCKET_MS > now - WINDOW_MS && bucket < current);
  const latest = calls.reduce((sum, [bucket, made]) => (bucket >= current ? sum + made : sum), 0);
  return latest === 0 ? kept : [...kept, [current, latest]];
}

/** Whether so many calls, until the count begins anew, are fewer than the polls that these exports need. */
export function isShort(left: number, resetMs: number, exports: number): boolean {
  return left < pollsWithin(exports, resetMs);
}

/**
 * Calls of Cloudflare's API, of which the whole account has a budget. A poll of a running export is counted and never
 * refused: a late one loses the export. Work waits; who reads at the API does without, or is told to come back.
 */
export type CallKind = "poll" | "work" | "reader";
