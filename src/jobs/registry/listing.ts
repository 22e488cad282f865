import { attemptLimit, backoffMs } from "../../core/backoff.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { ListingStore, ListingUnderWay } from "./listing-store.ts";

/** As many as Cloudflare gives without being asked; it may give fewer. */
const PER_PAGE = 1_000;

/** The free plan allows 50 subrequests an invocation: so many pages and no more are read in one alarm. */
const PAGES_AT_ONCE = 10;

/** `short`: read to its end, but fewer than it says that there are: who is not on it may be there all the same. */
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
    const { databases, total } = page.value;
    const seen = listing.seen + databases.length;
    listing = { ...listing, page: listing.page + 1, seen, attempt: 0 };
    store.savePage(databases, listing);
    // A page may be shorter than asked for: only the total, or an empty one, tells the end.
    const all = total !== null && seen >= total;
    if (databases.length > 0 && !all) continue;
    // A database deleted meanwhile moves the others up by one place, past the page that was read: look again.
    const short = total !== null && store.count() < total;
    if (!short || listing.passes > 0) return ok(short ? "short" : "whole");
    listing = { ...listing, page: 1, passes: 1, seen: 0 };
    store.save(listing);
  }
  return ok("more");
}

/** The reading as it goes on after a failure; null when it is given up. */
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
