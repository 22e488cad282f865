/** A client that has not asked for this long is taken to have given up. */
const SILENCE_LIMIT_MS = 15_000;

/** Whether the client has been silent for too long. */
export function isAbandoned(session: { lastSeenAt: number }, now: number): boolean {
  return now - session.lastSeenAt > SILENCE_LIMIT_MS;
}
