import { DAY_MS } from "../time.ts";

/**
 * Whether something that is to happen every so many days is due: on the database's own day of the period, so that a
 * thousand databases do not all do it in one night, and never later than the period allows. 0 days means never.
 */
export function isDue(databaseId: string, every: number, last: number | null, now: number): boolean {
  if (every === 0) return false;
  const ownDay = Math.floor(now / DAY_MS) % every === positionOf(databaseId, every);
  if (last === null) return ownDay;
  // A quarter of a day less, because a night starts some minutes earlier or later than the one before.
  const age = now - last + DAY_MS / 4;
  return age >= every * DAY_MS || (ownDay && age >= DAY_MS);
}

/** A number below `places` that a UUID always gives, spread evenly over all UUIDs. */
export function positionOf(databaseId: string, places: number): number {
  let hash = 2_166_136_261;
  for (let i = 0; i < databaseId.length; i++)
    hash = Math.imul(hash ^ databaseId.charCodeAt(i), 16_777_619) >>> 0;
  return hash % places;
}
