/** The errors of Cloudflare's API that this product can meet, with the status they come with. */
const ERRORS = {
  unauthorized: { status: 401, code: 10000, message: "Authentication error" },
  forbidden: { status: 403, code: 10000, message: "Authentication error" },
  noRoute: {
    status: 404,
    code: 7003,
    message: "Could not route to this path, perhaps your object identifier is invalid?",
  },
  notFound: { status: 404, code: 7404, message: "The database could not be found" },
  invalid: { status: 400, code: 7400, message: "The request is malformed" },
  sql: { status: 400, code: 7500, message: "D1_ERROR" },
  nameTaken: { status: 400, code: 7502, message: "A database with that name already exists" },
  tooMany: {
    status: 400,
    code: 7406,
    message: "The maximum number of databases for this account is reached",
  },
  unavailable: { status: 503, code: 7009, message: "Upstream service unavailable" },
  internal: { status: 500, code: 7500, message: "An internal error occurred" },
  throttled: { status: 429, code: 971, message: "Please wait and consider throttling your request speed" },
} as const;

/** The name of one of the API's errors. */
export type ApiError = keyof typeof ERRORS;

/** An answer that succeeded, in Cloudflare's envelope. */
export function success(result: unknown, status = 200, more: object = {}): Response {
  return Response.json({ result, success: true, errors: [], messages: [], ...more }, { status });
}

/** An answer that failed, in Cloudflare's envelope; the message replaces the usual one. */
export function failure(error: ApiError, message?: string, headers: HeadersInit = {}): Response {
  const { status, code, message: usual } = ERRORS[error];
  return failureWith(status, code, message ?? usual, headers);
}

/** A failed answer for any status, with this code and message or those that usually come with the status. */
export function failureOfStatus(
  status: number,
  retryAfterSeconds: number,
  code?: number,
  message?: string,
): Response {
  const known = Object.values(ERRORS).find((error) => error.status === status);
  const headers: HeadersInit = status === 429 ? { "retry-after": String(retryAfterSeconds) } : {};
  return failureWith(
    status,
    code ?? known?.code ?? 10001,
    message ?? known?.message ?? `Emulated failure ${status}`,
    headers,
  );
}

function failureWith(status: number, code: number, message: string, headers: HeadersInit): Response {
  return Response.json(
    { result: null, success: false, errors: [{ code, message }], messages: [] },
    { status, headers },
  );
}
