import type { Failure } from "../core/failure.ts";

export interface Problem {
  readonly title: string;
  readonly status: 400 | 401 | 403 | 404 | 409 | 416 | 500 | 502 | 503;
  readonly detail: string;
  /** What to do about it. */
  readonly hint: string;
  readonly [extension: string]: unknown;
}

/** An error as RFC 9457 wants it. */
export function problem(content: Problem, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ type: "about:blank", ...content }), {
    status: content.status,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store", ...headers },
  });
}

/** What an expected failure means to somebody who called the API. */
export function failureProblem(failure: Failure): Response {
  const { code, detail, hint } = failure;
  const status = statusOf(failure);
  const waitS = failure.retryAfterMs === undefined ? null : Math.ceil(failure.retryAfterMs / 1_000);
  return problem(
    { title: TITLES[status], status, code, detail, hint },
    waitS === null ? {} : { "Retry-After": String(waitS) },
  );
}

const TITLES = {
  404: "Not found",
  502: "Cloudflare's API did not do as asked",
  503: "Not available",
  500: "Something went wrong",
} as const;

function statusOf({ code }: Failure): keyof typeof TITLES {
  switch (code) {
    case "database-not-found":
      return 404;
    case "configuration":
    case "catalog-unavailable":
    case "bucket-unavailable":
    case "api-rate-limited":
    case "api-budget-spent":
    case "account-silent":
    case "policy-unreadable":
    case "api-unreachable":
    case "api-unavailable":
    case "database-busy":
      return 503;
    case "api-answer-invalid":
    case "api-request-refused":
    case "api-token-refused":
    case "account-not-found":
    case "sql-error":
      return 502;
    default:
      return 500;
  }
}
