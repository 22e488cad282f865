/** So many requests in so much time, for the whole account. */
export interface RateLimit {
  requests: number;
  windowMs: number;
}

/** The window that is counted now. */
export interface RateWindow {
  startedAt: number;
  requests: number;
}

/** What becomes of one more request: the window with it, and how long to wait when it is one too many. */
export interface RateVerdict {
  window: RateWindow;
  retryAfterSeconds: number | undefined;
}

/** Counts one more request. One that is refused is not counted. */
export function countRequest(limit: RateLimit, before: RateWindow | undefined, now: number): RateVerdict {
  const isOver = before === undefined || now >= before.startedAt + limit.windowMs;
  const window = isOver ? { startedAt: now, requests: 0 } : before;
  if (window.requests < limit.requests) {
    return { window: { ...window, requests: window.requests + 1 }, retryAfterSeconds: undefined };
  }
  const waitMs = window.startedAt + limit.windowMs - now;
  return { window, retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) };
}
