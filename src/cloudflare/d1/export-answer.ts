import { z } from "zod";
import type { ExportAnswer } from "../../core/d1/api.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import { bookmarkText } from "./database-answers.ts";
import { type Asked, said, signalOf, unreadable } from "./envelope.ts";

/** It is stored with the run. */
const addressText = z.string().max(16_000);

const exportSchema = z.object({
  success: z.boolean().optional(),
  // An empty one could not be polled with.
  at_bookmark: bookmarkText.transform((text) => text || null).nullish(),
  status: z.string().optional(),
  // They are shown and nothing else.
  messages: z.array(z.string()).nullish().catch(null),
  error: z.string().nullish(),
  signed_url: addressText.nullish(),
  result: z.object({ signed_url: addressText.nullish() }).nullish(),
});

/** Reads an export's status on every level at which it can say no. A missing status means pending. */
export function readExport(result: unknown, asked: Asked): Result<ExportAnswer> {
  const { what, baseUrl } = asked;
  const parsed = exportSchema.safeParse(result);
  if (!parsed.success) return failed(unreadable(what));
  const answer = parsed.data;
  const error = answer.error ?? "";
  const signal = signalOf(error);
  if (signal === "busy" || signal === "lost") return ok({ kind: signal });
  // A complete export with an error is not complete.
  const hasFailed = answer.success === false || answer.status === "error";
  if (hasFailed || (answer.status === "complete" && error !== ""))
    return ok({ kind: "error", virtualTables: signal === "virtual-tables", message: said(error, asked) });
  const bookmark = answer.at_bookmark ?? null;
  if (answer.status === "complete") {
    const signedUrl = answer.result?.signed_url ?? answer.signed_url ?? null;
    if (signedUrl === null || bookmark === null) return failed(unreadable(what));
    if (!mayBeFetched(signedUrl, baseUrl)) return failed(unsafeAddress(what));
    return ok({ kind: "complete", bookmark, signedUrl });
  }
  const message = answer.messages?.[0] ?? null;
  return ok({ kind: "active", bookmark, message: message === null ? null : said(message, asked, 200) });
}

/**
 * Whether a dump may lie at this address: by https; by http on this machine, or on the host of an API that is itself
 * spoken to by http, as an emulator's. A `data:` or `file:` is no address of a dump, and D1's hold no password, which
 * would have to be kept out of what is told.
 */
function mayBeFetched(address: string, baseUrl: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, hostname, username, password } = new URL(address);
  if (username !== "" || password !== "") return false;
  if (protocol !== "http:") return protocol === "https:";
  const api = new URL(baseUrl);
  return LOOPBACK.test(hostname) || (api.protocol === "http:" && api.hostname === hostname);
}

/** As a parsed URL writes it. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

function unsafeAddress(what: string): Failure {
  return {
    code: "api-answer-invalid",
    detail: `Cloudflare's API gave a URL of the dump that is not one of D1's (${what}).`,
    hint: "Check CLOUDFLARE_API_BASE_URL, and whether there is a proxy in between.",
    retryable: true,
  };
}
