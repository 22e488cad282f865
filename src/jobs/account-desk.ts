import type { PlaceKind, Places } from "../core/ports.ts";

/**
 * The account's object as seen from a database's. A call that fails costs nothing: who did not get a place asks
 * again, and a place that was not given back ends by itself.
 */
export function accountPlaces(account: Places): Places {
  return {
    async take(kind: PlaceKind, databaseId: string): Promise<boolean> {
      try {
        return await account.take(kind, databaseId);
      } catch {
        return false;
      }
    },
    async release(kind: PlaceKind, databaseId: string): Promise<void> {
      try {
        await account.release(kind, databaseId);
      } catch {
        // its lease runs out
      }
    },
  };
}
