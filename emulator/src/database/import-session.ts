import type { StatementMeta } from "../sql/statement-meta.ts";

export const NOT_IMPORTING = "Not currently importing anything.";
export const BUSY_IMPORTING =
  "Currently processing a long-running import. Cannot start a new import until that completes or times out.";
export const REFUSED_WHILE_IMPORTING = "D1_ERROR: Currently processing a long-running import.";
export const RESET_BY_DEPLOY = JSON.stringify({ D1_RESET_DO: true });

/** What a completed import tells. */
export interface ImportResult {
  num_queries: number;
  final_bookmark: string;
  meta: StatementMeta;
}

/** An import from its start until its end has been told. */
export interface ImportSession {
  bookmark: string;
  etag: string;
  key: string;
  /** Nothing is executed before: an import that is given up until then leaves no trace. */
  executeAt: number;
  lastSeenAt: number;
  state: "waiting" | "executing" | "done" | "failed";
  result: ImportResult | undefined;
  error: string | undefined;
}

/** What an import's start or poll is answered with. */
export type ImportAnswer =
  | { kind: "refused"; error: string }
  | { kind: "upload"; filename: string; key: string }
  | { kind: "active"; bookmark: string; messages: string[] }
  | { kind: "complete"; bookmark: string; result: ImportResult }
  | { kind: "failed"; bookmark: string; error: string };

/** The answer of the moment; `complete` and `failed` end the session. */
export function describeImport(session: ImportSession, queriesSoFar: number): ImportAnswer {
  const { bookmark, result, error } = session;
  if (session.state === "failed") return { kind: "failed", bookmark, error: error ?? "unknown" };
  if (result !== undefined) return { kind: "complete", bookmark, result };
  return { kind: "active", bookmark, messages: [`Processed ${queriesSoFar} queries.`] };
}

/** What the first poll after a silence that was too long is told. */
export function cancelledForSilence(queriesSoFar: number): string {
  return `Cancelled due to no poll() received in 15000ms. Latest messages: Processed ${queriesSoFar} queries.`;
}
