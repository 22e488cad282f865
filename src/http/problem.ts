import type { Failure, FailureCode } from "../core/failure.ts";

export interface Problem {
  readonly title: string;
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 413 | 416 | 500 | 502 | 503;
  readonly detail: string;
  /** What to do about it. */
  readonly hint: string;
  readonly [extension: string]: unknown;
}

/** An error in the format of RFC 9457. */
export function problem(content: Problem, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ type: "about:blank", ...content }), {
    status: content.status,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store", ...headers },
  });
}

/** The response to an API call that ended in an expected failure. */
export function failureProblem(failure: Failure): Response {
  const { code, detail, hint } = failure;
  const status = STATUS[code];
  const waitS = failure.retryAfterMs === undefined ? null : Math.ceil(failure.retryAfterMs / 1_000);
  return problem(
    { title: TITLES[status], status, code, detail, hint },
    waitS === null ? {} : { "Retry-After": String(waitS) },
  );
}

const TITLES = {
  404: "Not found",
  502: "Cloudflare's API failed",
  503: "Not available",
  500: "The operation failed",
} as const;

/** The HTTP status of each failure. A code that is missing here is a compile error. */
const STATUS = {
  "api-unreachable": 503,
  "api-unavailable": 503,
  "api-rate-limited": 503,
  "api-budget-spent": 503,
  "api-answer-invalid": 502,
  "api-request-refused": 502,
  "api-token-refused": 502,
  "account-not-found": 502,
  "database-not-found": 404,
  "database-busy": 503,
  "sql-error": 502,
  "own-catalog": 500,
  "virtual-tables": 500,
  "table-not-found": 500,
  "open-comment": 500,
  "export-lost": 500,
  "export-refused": 500,
  "export-busy": 500,
  "dump-url-expired": 500,
  "dump-unreachable": 500,
  "dump-empty": 500,
  "dump-truncated": 500,
  "dump-size-unknown": 500,
  "dump-oversized": 500,
  "dump-not-from-d1": 500,
  "dump-incomplete-statement": 500,
  "dump-foreign-statement": 500,
  "dump-changed": 500,
  "dump-incomplete": 500,
  "bucket-unavailable": 503,
  "folder-taken": 500,
  "stored-object-missing": 500,
  "stored-object-resized": 500,
  "stored-object-altered": 500,
  "stored-object-readable": 500,
  "stored-object-locked": 500,
  "stored-object-oversized": 500,
  "manifest-conflict": 500,
  "manifest-unproven": 500,
  "backup-gone": 500,
  "format-newer": 500,
  "deadline-exceeded": 500,
  "copy-cut-off": 500,
  "account-silent": 503,
  "policy-unreadable": 503,
  "internal-error": 500,
  "catalog-unavailable": 503,
  configuration: 503,
} as const satisfies Record<FailureCode, keyof typeof TITLES>;
