import { z } from "zod";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import { redacted } from "../../core/redaction.ts";

/** Read as far as it goes: a refusal in another form is one all the same. */
const errorSchema = z
  .union([
    z.string().transform((message) => ({ code: undefined, message })),
    z.object({
      code: z
        .union([z.number(), z.string().regex(/^\d+$/).transform(Number)])
        .optional()
        .catch(undefined),
      message: z.string().catch(""),
    }),
  ])
  .catch({ message: "" });

const envelopeSchema = z.object({
  success: z.boolean(),
  errors: z.array(errorSchema).nullish().catch(null),
  result: z.unknown().optional(),
  // An invalid total counts as none: then the list is read up to an empty page.
  result_info: z
    .object({ total_count: z.number().int().nonnegative().nullish().catch(null) })
    .nullish()
    .catch(null),
});
export type Envelope = z.infer<typeof envelopeSchema>;

/** The request, with which its answer is compared. */
export interface Asked {
  /** In words, for a failure. */
  readonly what: string;
  /** Of the API itself. */
  readonly baseUrl: string;
  /** Must not be repeated, whatever the answer quotes. */
  readonly token: string;
}

/** What Cloudflare says in words alone: no code of its API tells these apart from other errors. */
type Signal = "busy" | "lost" | "virtual-tables" | "other";

export function signalOf(message: string): Signal {
  if (/currently processing a long-running export/i.test(message)) return "busy";
  if (/not currently exporting|no poll\(\) received/i.test(message)) return "lost";
  return /virtual table/i.test(message) ? "virtual-tables" : "other";
}

/** What Cloudflare says, as far as it may be repeated. */
export function said(message: string, { token }: Asked, limit = 300): string {
  return redacted(message, [token], limit) || "no reason given";
}

const TOKEN_HINT =
  "Make a token with the permission Account · D1 · Edit for this account (Read is refused for exports), " +
  "store it with `wrangler secret put CLOUDFLARE_API_TOKEN`, and check CLOUDFLARE_ACCOUNT_ID.";

/** Opens the outer envelope, or says what the HTTP status and Cloudflare's error codes mean for us. */
export function openEnvelope(
  status: number,
  retryAfter: string | null,
  text: string,
  asked: Asked,
): Result<Envelope> {
  const { what } = asked;
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // handled below: by its status, or as an answer that is not JSON
  }
  const parsed = envelopeSchema.safeParse(json);
  const envelope = parsed.success ? parsed.data : null;
  const first = envelope?.errors?.[0];
  if (status === 429) {
    return failed({
      code: "api-rate-limited",
      detail: `Cloudflare's API asked us to slow down (${what}).`,
      hint: "There is nothing to do: the run waits and continues. The limit is 1,200 requests in 5 minutes per user, shared with your other tools.",
      retryable: true,
      retryAfterMs: retryAfterMs(retryAfter),
    });
  }
  if (status >= 500 || first?.code === 7009) {
    return failed({
      code: "api-unavailable",
      detail: `Cloudflare's API answered ${status} (${what}).`,
      hint: "This usually resolves itself. See https://www.cloudflarestatus.com.",
      retryable: true,
    });
  }
  if (status < 300 && envelope?.success === true) return ok(envelope);
  // Only Cloudflare's own no is final: a proxy's page, whatever its status, says nothing of a token or a database.
  const isRefusal = envelope?.success === false && (status >= 400 || (status < 300 && first !== undefined));
  if (!isRefusal) {
    return failed({
      code: "api-answer-invalid",
      detail: `Cloudflare's API answered ${status} without its usual JSON (${what}).`,
      hint: "Check CLOUDFLARE_API_BASE_URL, and whether there is a proxy in between.",
      retryable: true,
    });
  }
  return failed(refusal(status, first?.code, first?.message ?? "", asked));
}

function refusal(status: number, code: number | undefined, message: string, asked: Asked): Failure {
  const told = `Cloudflare said: ${said(message, asked)}${code === undefined ? "" : ` [code ${code}]`} (${asked.what}).`;
  if (code === 7404 || (status === 404 && code === undefined)) {
    return {
      code: "database-not-found",
      detail: `The database does not exist, or no longer. ${told}`,
      hint: "It may have been deleted or recreated. Its existing backups are kept.",
      retryable: false,
    };
  }
  if (code === 7003 || code === 7000) {
    return {
      code: "account-not-found",
      detail: told,
      hint: "Check CLOUDFLARE_ACCOUNT_ID (`wrangler whoami` shows the account's id) and, if it is set, CLOUDFLARE_API_BASE_URL.",
      retryable: false,
    };
  }
  if (code === 10000 || code === 9109 || status === 401 || status === 403) {
    return { code: "api-token-refused", detail: told, hint: TOKEN_HINT, retryable: false };
  }
  if (signalOf(message) === "busy") {
    return {
      code: "database-busy",
      detail: "The database is busy with another export.",
      hint: "There is nothing to do: the database becomes free when that export ends, at the latest some minutes after its last poll.",
      retryable: true,
    };
  }
  if (signalOf(message) === "lost") {
    return {
      code: "export-lost",
      detail: "D1 no longer knows of the export.",
      hint: "Nothing to do: a new one is started, a few times.",
      retryable: true,
    };
  }
  if (code === 7500) {
    return {
      code: "sql-error",
      detail: told,
      hint: "D1 could not read its own schema table. Look at the database in the dashboard.",
      retryable: true,
    };
  }
  return {
    code: "api-request-refused",
    detail: told,
    hint: "Cloudflare's API may have changed. Look for a newer release of d1-nightly.",
    retryable: false,
  };
}

/** `retry-after` in seconds; a minute when it is missing, a date, or unreadable. */
function retryAfterMs(header: string | null): number {
  const seconds = Number(header);
  if (header !== null && Number.isFinite(seconds)) return Math.min(Math.max(seconds, 1), 600) * 1_000;
  return 60_000;
}

export function unreadable(what: string): Failure {
  return {
    code: "api-answer-invalid",
    detail: `The answer of Cloudflare's API has an unknown form (${what}).`,
    hint: "If this persists, Cloudflare's API has changed. Look for a newer release of d1-nightly.",
    retryable: true,
  };
}
