import { z } from "zod";

/**
 * The budget of calls to Cloudflare's API. Cloudflare allows a user 1,200 in 5 minutes, for all tools together. This
 * product uses only a part of them, and less if the headers of an answer say that few are left.
 *
 * Polls of running exports are never refused, because a late one loses the export. So another call is admitted only if
 * it leaves room, in each coming window of 5 minutes, for all polls that the running exports may make in it. As each
 * start of an export is such a call, no window ever exceeds the limit.
 */
export const WINDOW_MS = 5 * 60_000;
export const CLOUDFLARE_LIMIT = 1_200;

/** This product's default limit: four fifths. */
export const DEFAULT_CALLS = 960;

/** Calls are counted in buckets. A bucket that is partly in the window counts in full, so the count is never too low. */
const BUCKET_MS = 5_000;

/**
 * A twentieth of the limit belongs to readers, and the rest to work. Neither takes from the other: however much is
 * read, no backup waits for it, and while work has used up its part, something can still be read.
 */
const READERS_PART = 20;

/** A step makes several calls, and starts again if one is refused. So a refused caller comes back for so many calls. */
const CALLS_A_STEP = 4;

/** Each waiting caller comes back a little after the previous one. */
const SPREAD_MS = 250;

/** Refused callers that are kept apart. Those beyond come back with the last of them. */
const MOST_WAITING = 200;

/** The longest wait before a caller must ask again. */
export const LONGEST_HOLD_MS = 10 * 60_000;

/** The wait if running exports leave no room at all, as one of them may end at any time. */
const NO_ROOM_MS = 30_000;

const moment = z.number();

/** Calls per bucket of 5 s (its number since the epoch), the oldest first. */
const bucketsSchema = z.array(z.tuple([z.number().int(), z.number().int().nonnegative()]));
type Buckets = z.infer<typeof bucketsSchema>;

/** The state to store. */
export const apiBudgetSchema = z.object({
  /** What work has called, polls included. */
  calls: bucketsSchema,
  /** What readers have called. */
  read: bucketsSchema,
  /** When refused work will come back. */
  waiting: z.array(moment),
  /** Only polls are admitted before then. */
  heldUntil: moment.nullable(),
});
export type ApiBudget = z.infer<typeof apiBudgetSchema>;

export const NOTHING_CALLED: ApiBudget = { calls: [], read: [], waiting: [], heldUntil: null };

export interface Call {
  readonly kind: CallKind;
  /** Calls in 5 minutes, those of readers included. */
  readonly limit: number;
  /** Exports that run or may start: held leases. */
  readonly exports: number;
  /** So many additional calls must fit, for more urgent work. */
  readonly spare: number;
}

/** Counts the call and returns 0; or counts nothing, and returns how long to wait before asking again. */
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

/** A refused reader takes no place among waiting work. */
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

/** Admits only polls for so long. */
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
 * How many exports may run at the same time: as many as configured, but not more than the budget has polls for, with a
 * quarter left for everything else, and for polls that fail and are repeated sooner.
 */
export function exportSlots(wished: number, limit: number): number {
  return Math.max(1, Math.min(wished, Math.floor((limit * 3) / 4 / pollsWithin(1, WINDOW_MS))));
}

/** The wait of a caller behind so many others. */
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

/** Drops past counts, and future ones, which come from a clock that has been set back since. */
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
 * The kinds of calls to Cloudflare's API, for which the entire account has one budget. A poll of a running export is
 * counted and never refused, because a late one loses the export. Work waits. A refused reader must try again later.
 */
export type CallKind = "poll" | "work" | "reader";
