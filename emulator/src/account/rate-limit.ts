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

/** What every answer tells of the limit, as Cloudflare writes it. */
export function rateHeaders(limit: RateLimit, window: RateWindow, now: number): Record<string, string> {
  const resetSeconds = Math.max(0, Math.ceil((window.startedAt + limit.windowMs - now) / 1000));
  return {
    ratelimit: `"default";r=${Math.max(0, limit.requests - window.requests)};t=${resetSeconds}`,
    "ratelimit-policy": `"default";q=${limit.requests};w=${Math.ceil(limit.windowMs / 1000)}`,
  };
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
