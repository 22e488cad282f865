import { z } from "zod";
import { isUuid } from "../../core/bucket/object-keys.ts";
import type { ExportAnswer } from "../../core/d1/api.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";

/** The shapes of Cloudflare's answers, as far as this product reads them. */

const envelopeSchema = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number().optional(), message: z.string() })).nullish(),
  result: z.unknown(),
  result_info: z.object({ total_count: z.number().int().optional() }).nullish(),
});
export type Envelope = z.infer<typeof envelopeSchema>;

export const databaseSchema = z.object({
  // It becomes a part of addresses and of keys.
  uuid: z.string().refine(isUuid),
  name: z.string(),
  created_at: z.string().nullish(),
  file_size: z.number().int().nonnegative().nullish(),
});

export const schemaRowsSchema = z
  .array(
    z.object({
      success: z.literal(true),
      results: z.array(z.object({ type: z.string(), name: z.string(), sql: z.string().nullable() })),
    }),
  )
  .length(1);

export const bookmarkSchema = z.object({ bookmark: z.string().min(1) });

/** An answer to each statement. */
export const queryRowsSchema = z.array(
  z.object({
    success: z.literal(true),
    results: z.array(z.record(z.string(), z.unknown())),
    meta: z.object({ rows_read: z.number().nonnegative().optional() }).nullish(),
  }),
);

const TOKEN_HINT =
  "Make a token with the permission Account · D1 · Edit for this account (Read is refused for exports), " +
  "store it with `wrangler secret put CLOUDFLARE_API_TOKEN`, and check CLOUDFLARE_ACCOUNT_ID.";

/** Opens the outer envelope, or says what the HTTP status and Cloudflare's error codes mean for us. */
export function openEnvelope(
  status: number,
  retryAfter: string | null,
  text: string,
  what: string,
): Result<Envelope> {
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // judged below: by its status, or as an answer that is no JSON
  }
  const parsed = envelopeSchema.safeParse(json);
  const envelope = parsed.success ? parsed.data : null;
  const first = envelope?.errors?.[0];
  if (status === 429) {
    return failed({
      code: "api-rate-limited",
      detail: `Cloudflare's API asked us to slow down (${what}).`,
      hint: "Nothing to do: the run waits and goes on. The limit is 1,200 requests in 5 minutes per user, shared with your other tools.",
      retryable: true,
      retryAfterMs: retryAfterMs(retryAfter),
    });
  }
  if (status >= 500 || first?.code === 7009) {
    return failed({
      code: "api-unavailable",
      detail: `Cloudflare's API answered ${status} (${what}).`,
      hint: "Usually passes by itself; https://www.cloudflarestatus.com tells more.",
      retryable: true,
    });
  }
  if (status < 400 && envelope?.success === true) return ok(envelope);
  if (envelope === null && status < 400) {
    return failed({
      code: "api-answer-invalid",
      detail: `Cloudflare's API answered ${status} with something that is not its JSON (${what}).`,
      hint: "Is a proxy in between? Check CLOUDFLARE_API_BASE_URL.",
      retryable: true,
    });
  }
  return failed(refusal(status, first?.code, first?.message ?? "no reason given", what));
}

function refusal(status: number, code: number | undefined, message: string, what: string): Failure {
  const said = `Cloudflare said: ${message.slice(0, 300)}${code === undefined ? "" : ` [code ${code}]`} (${what}).`;
  if (code === 7404 || (status === 404 && code === undefined)) {
    return {
      code: "database-not-found",
      detail: `The database does not exist, or no longer. ${said}`,
      hint: "Was it deleted or created anew? Backups made before are kept.",
      retryable: false,
    };
  }
  if (code === 7003 || code === 7000) {
    return {
      code: "account-not-found",
      detail: said,
      hint: "Check CLOUDFLARE_ACCOUNT_ID (`wrangler whoami` shows the account's id) and, when it is set, CLOUDFLARE_API_BASE_URL.",
      retryable: false,
    };
  }
  if (code === 10000 || code === 9109 || status === 401 || status === 403) {
    return { code: "api-token-refused", detail: said, hint: TOKEN_HINT, retryable: false };
  }
  if (message.includes("Currently processing a long-running export")) {
    return {
      code: "database-busy",
      detail: "The database is busy with another export.",
      hint: "Nothing to do: it becomes free when that export ends, at the latest some minutes after nobody polls it.",
      retryable: true,
    };
  }
  if (code === 7500) {
    return {
      code: "sql-error",
      detail: said,
      hint: "D1 could not read its own schema table; look at the database in the dashboard.",
      retryable: true,
    };
  }
  return {
    code: "api-request-refused",
    detail: said,
    hint: "This looks like a change in Cloudflare's API; look for a newer release of d1-nightly.",
    retryable: false,
  };
}

/** `retry-after` in seconds; a minute when it is missing, a date, or unreadable. */
function retryAfterMs(header: string | null): number {
  const seconds = Number(header);
  if (header !== null && Number.isFinite(seconds)) return Math.min(Math.max(seconds, 1), 600) * 1_000;
  return 60_000;
}

const exportSchema = z.object({
  success: z.boolean().optional(),
  at_bookmark: z.string().nullish(),
  status: z.string().optional(),
  messages: z.array(z.string()).nullish(),
  error: z.string().nullish(),
  signed_url: z.string().nullish(),
  result: z.object({ signed_url: z.string().nullish() }).nullish(),
});

/** Reads an export's status on every level at which it can say no. A missing status means pending. */
export function readExport(result: unknown, what: string): Result<ExportAnswer> {
  const parsed = exportSchema.safeParse(result);
  if (!parsed.success) return failed(unreadable(what));
  const answer = parsed.data;
  const error = answer.error ?? "";
  if (error.includes("Currently processing a long-running export")) return ok({ kind: "busy" });
  if (error.includes("Not currently exporting") || error.includes("no poll() received"))
    return ok({ kind: "lost" });
  if (answer.success === false || answer.status === "error") {
    return ok({ kind: "error", message: error.slice(0, 300) || "no reason given" });
  }
  const bookmark = answer.at_bookmark ?? null;
  if (answer.status === "complete") {
    const signedUrl = answer.result?.signed_url ?? answer.signed_url ?? null;
    if (signedUrl === null || !isWebAddress(signedUrl) || bookmark === null) return failed(unreadable(what));
    return ok({ kind: "complete", bookmark, signedUrl });
  }
  return ok({ kind: "active", bookmark, message: answer.messages?.[0]?.slice(0, 200) ?? null });
}

/** Anything else, a `data:` or `file:` among them, is no address of a dump. */
function isWebAddress(text: string): boolean {
  return URL.canParse(text) && ["https:", "http:"].includes(new URL(text).protocol);
}

export function unreadable(what: string): Failure {
  return {
    code: "api-answer-invalid",
    detail: `Cloudflare's API answered in a form that we do not know (${what}).`,
    hint: "If it stays, Cloudflare's API has changed: look for a newer release of d1-nightly.",
    retryable: true,
  };
}
