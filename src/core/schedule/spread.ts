import { DAY_MS } from "../time.ts";

/**
 * Whether something that happens every so many days is due. Each database has its own day of the period, so that a
 * thousand databases do not all do it in one night; none waits longer than the period. 0 days means never.
 */
export function isDue(databaseId: string, every: number, last: number | null, now: number): boolean {
  if (every === 0) return false;
  const ownDay = Math.floor(now / DAY_MS) % every === positionOf(databaseId, every);
  if (last === null) return ownDay;
  // A quarter of a day less, because a night may start some minutes earlier or later than the previous one.
  const age = now - last + DAY_MS / 4;
  return age >= every * DAY_MS || (ownDay && age >= DAY_MS);
}

/** A number below `places`, always the same for a UUID, and evenly spread over all UUIDs. */
export function positionOf(databaseId: string, places: number): number {
  let hash = 2_166_136_261;
  for (let i = 0; i < databaseId.length; i++)
    hash = Math.imul(hash ^ databaseId.charCodeAt(i), 16_777_619) >>> 0;
  return hash % places;
}
