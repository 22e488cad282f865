import { attemptLimit, backoffMs } from "../../core/backoff.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { ListingStore, ListingUnderWay } from "./listing-store.ts";

/** As many as Cloudflare gives without being asked; it may give fewer. */
const PER_PAGE = 1_000;

/** The most pages that one alarm reads: the free plan allows 50 subrequests per invocation. */
const PAGES_AT_ONCE = 10;

/** So many rows that cannot be read are remembered. */
const ODD_ROWS = 1_000;

/**
 * `short`: read to its end, and yet not known to be all, or with rows that cannot be read: who is not on it may be
 * there all the same.
 */
export type Reading = "whole" | "short" | "more";

/**
 * Reads pages until the list is read to its end or this invocation has read enough (`more`). What fails can be asked
 * again from the page that failed.
 */
export async function readPages(
  store: ListingStore,
  begun: ListingUnderWay,
  platform: Platform,
): Promise<Result<Reading>> {
  let listing = begun;
  for (let read = 0; read < PAGES_AT_ONCE; read++) {
    const page = await platform.api.listDatabases(listing.page, PER_PAGE);
    if (!page.ok) return page;
    const { databases, unreadable, total } = page.value;
    const rows = databases.length + unreadable.length;
    const seen = listing.seen + rows;
    const known = listing.unreadable;
    const odd = [...known, ...unreadable];
    listing = { ...listing, page: listing.page + 1, seen, unreadable: odd.slice(0, ODD_ROWS), attempt: 0 };
    const added = store.savePage(databases, listing);
    // A page may be shorter than asked for: only the total, or an empty one, tells the end. One that brings nothing new
    // ends it too, or a list that goes in a circle would be read for ever.
    const all = total !== null && seen >= total;
    const hasNew = added > 0 || (known.length < ODD_ROWS && unreadable.some((row) => !known.includes(row)));
    if (hasNew && !all) continue;
    const readable = store.count();
    if (readable === 0 && odd.length > 0) return failed(nothingReadable(odd.length));
    // A database deleted meanwhile moves the others up by one place, past the page that was read: look again.
    const short = total !== null && readable + odd.length < total;
    // One that cannot be read may be any that is known, and so may one that a circle leaves out: nobody is gone by such
    // a list.
    const isUnsure = short || odd.length > 0 || (total === null && rows > 0);
    if (!short || listing.passes > 0) return ok(isUnsure ? "short" : "whole");
    listing = { ...listing, page: 1, passes: 1, seen: 0, unreadable: [] };
    store.save(listing);
  }
  return ok("more");
}

function nothingReadable(rows: number): Failure {
  return {
    code: "api-answer-invalid",
    detail: `Cloudflare's API lists ${rows} databases in a form that we do not know.`,
    hint: "If it stays, Cloudflare's API has changed: look for a newer release of d1-nightly.",
    retryable: true,
  };
}

/** The listing as it continues after a failure; null if it is abandoned. */
export function afterListingFailure(
  listing: ListingUnderWay,
  failure: Failure,
  platform: Platform,
): ListingUnderWay | null {
  const now = platform.now();
  if (failure.code === "api-budget-spent")
    return { ...listing, dueAt: now + (failure.retryAfterMs ?? 1_000) };
  if (!failure.retryable || listing.attempt + 1 >= attemptLimit(failure.code)) return null;
  const delay = failure.retryAfterMs ?? backoffMs(listing.attempt, platform.random());
  return { ...listing, attempt: listing.attempt + 1, dueAt: now + delay };
}
