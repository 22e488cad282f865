import type { ApiError } from "../wire/envelope.ts";
import type { Operation } from "../wire/operation.ts";

/** The only account that there is. */
export const ACCOUNT_ID = "emulated-account";

const READING = new Set<Operation>(["list", "get", "bookmark"]);

/**
 * Whether the token may do this in this account; undefined when it may. Like the real service, the answer
 * does not say which permission is missing.
 */
export function refusal(
  token: string | undefined,
  account: string,
  operation: Operation,
): ApiError | undefined {
  if (token === undefined || token === "" || token.startsWith("invalid")) return "unauthorized";
  // An id of the right shape may exist: then it is not ours. Any other leads nowhere.
  if (account !== ACCOUNT_ID) return /^[0-9a-f]{32}$/.test(account) ? "forbidden" : "noRoute";
  if (token.startsWith("read-only") && !READING.has(operation)) return "forbidden";
  return undefined;
}

/** The token of an Authorization header. */
export function bearerToken(header: string | null | undefined): string | undefined {
  return /^Bearer (.+)$/i.exec(header ?? "")?.[1];
}
