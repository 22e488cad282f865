import { redacted } from "./redaction.ts";

/**
 * Expected failures are values. An exception is a bug.
 *
 * `detail` says what happened, `hint` what to do about it, and `retryable` whether trying the same thing
 * again can help. None of them ever holds a token, a signed URL or a row of somebody's data.
 */
export interface Failure {
  readonly code: FailureCode;
  readonly detail: string;
  readonly hint: string;
  readonly retryable: boolean;
  /** How long the other side asked us to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

export const FAILURE_CODES = [
  // the Cloudflare API
  "api-unreachable",
  "api-unavailable",
  "api-rate-limited",
  "api-budget-spent",
  "api-answer-invalid",
  "api-request-refused",
  "api-token-refused",
  "account-not-found",
  "database-not-found",
  "database-busy",
  "sql-error",
  // the export
  "own-catalog",
  "virtual-tables",
  "table-not-found",
  "open-comment",
  "export-lost",
  "export-refused",
  "export-busy",
  // the dump
  "dump-url-expired",
  "dump-unreachable",
  "dump-empty",
  "dump-truncated",
  "dump-size-unknown",
  "dump-oversized",
  "dump-not-from-d1",
  "dump-incomplete-statement",
  "dump-foreign-statement",
  "dump-changed",
  "dump-incomplete",
  // the bucket
  "bucket-unavailable",
  "folder-taken",
  "stored-object-missing",
  "stored-object-resized",
  "stored-object-altered",
  "stored-object-readable",
  "stored-object-locked",
  "stored-object-oversized",
  "manifest-conflict",
  "manifest-unproven",
  "backup-gone",
  "format-newer",
  // the run
  "deadline-exceeded",
  "copy-cut-off",
  "account-silent",
  "policy-unreadable",
  "internal-error",
  // requests
  "catalog-unavailable",
  "configuration",
] as const;

export type FailureCode = (typeof FAILURE_CODES)[number];

export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: Failure };

export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function failed(failure: Failure): { readonly ok: false; readonly failure: Failure } {
  return { ok: false, failure };
}

/**
 * An exception's kind and text, redacted for the outside. `secrets` are the secrets that were passed to the code that
 * threw.
 */
export function describeException(error: unknown, secrets: readonly string[] = []): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : textOf(error);
  return redacted(text, secrets);
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    // It has no text, like an object without a prototype.
    return typeof thrown;
  }
}
