import { z } from "zod";
import { recipientProblem } from "./cloudflare/codecs/age.ts";
import { COMPRESSIONS } from "./core/bucket/object-keys.ts";
import { DEFAULT_CALLS } from "./core/d1/api-budget.ts";
import type { Settings } from "./core/platform.ts";

/** The only reader of the environment. It names every problem with its fix, not only the first. */
const MIB = 1024 * 1024;

/** An empty variable counts as not set. */
const optional = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => (value === "" ? undefined : value), schema.optional());

const DEFAULT_EXPORTS = 6;

const wholeNumber = (what: string, least: number, most: number, usual: number) => {
  const error = `must be a whole number of ${what} from ${least} to ${most}; the default is ${usual}`;
  return z.coerce.number({ error }).int(error).min(least, error).max(most, error);
};

/**
 * A secret that is sent in a header, character by character. One that was stored with a line end, a space or quotes
 * around it never equals what somebody sends, and nobody could tell from the answers why.
 */
const sent = (name: string) =>
  z
    .string()
    .regex(
      /^[!#-&(-_a-~]*$/,
      `contains a space, a line end, a quote or another invalid character: store it again with \`wrangler secret put ${name}\``,
    );

const ownToken = (name: string) =>
  sent(name).min(
    16,
    `is shorter than 16 characters: make one with \`openssl rand -hex 32\` and store it with \`wrangler secret put ${name}\``,
  );

const MAKE_API_TOKEN =
  "make a token with the permission Account · D1 · Edit and store it with `wrangler secret put CLOUDFLARE_API_TOKEN`";

const jobSchema = z.object({
  BACKUPS: z.custom<R2Bucket>((value) => typeof value === "object" && value !== null, {
    error: "is not an R2 bucket: add the binding BACKUPS to r2_buckets in wrangler.jsonc",
  }),
  CATALOG: z.custom<D1Database>((value) => typeof value === "object" && value !== null, {
    error: "is not a D1 database: add the binding CATALOG to d1_databases in wrangler.jsonc",
  }),
  CLOUDFLARE_ACCOUNT_ID: z
    .string({
      error:
        "is missing: `wrangler whoami` shows the account's id; set it under vars in wrangler.jsonc or as a secret",
    })
    .regex(/^[\w-]{1,64}$/, "is not an account id: `wrangler whoami` shows it (32 hexadecimal digits)"),
  CLOUDFLARE_API_TOKEN: z
    .string({ error: `is missing: ${MAKE_API_TOKEN}` })
    .min(1, `is empty: ${MAKE_API_TOKEN}`)
    .pipe(sent("CLOUDFLARE_API_TOKEN")),
  CLOUDFLARE_API_BASE_URL: optional(
    z
      .url({
        protocol: /^https?$/,
        error: "is not an http(s) URL: leave it out to use https://api.cloudflare.com/client/v4",
      })
      .regex(
        /^[^\s?#@]*$/,
        "contains a space, a line end, a query or a password: leave it out to use https://api.cloudflare.com/client/v4",
      ),
  ),
  CATALOG_DATABASE_NAME: z
    .string({
      error:
        "is missing: set it to the catalogue's database_name in wrangler.jsonc, so that the catalogue is not backed up",
    })
    .min(1, "is empty: set it to the catalogue's database_name in wrangler.jsonc")
    .regex(
      /^(?:[^\s"'`](?:[^\p{Cc}]*[^\s"'`])?)?$/u,
      "begins or ends with a space, a line end or a quote: set it to the catalogue's database_name in wrangler.jsonc",
    ),
  COMPRESSION: optional(z.enum(COMPRESSIONS, { error: 'must be "gzip" (the default), "zstd" or "none"' })),
  AGE_RECIPIENTS: optional(z.string().transform(readRecipients)),
  VOLUME_BYTES: optional(
    z.coerce
      .number({ error: "must be a number of bytes; the default is 134217728" })
      .int("must be a whole number of bytes; the default is 134217728")
      .min(MIB, "must be 1048576 (1 MiB) or more; the default is 134217728")
      .max(4096 * MIB, "must be 4294967296 (4 GiB) or less; the default is 134217728"),
  ),
  EXPORTS_AT_ONCE: optional(wholeNumber("exports", 1, 50, DEFAULT_EXPORTS)),
  API_CALLS_PER_5_MINUTES: optional(wholeNumber("calls", 100, 1_200, DEFAULT_CALLS)),
  KEY_PREFIX: optional(
    z
      .string()
      .max(200, "is longer than 200 characters")
      .regex(/^(?!\/)[^\p{Cc}\\]*\/$/u, 'must end with "/" and not begin with it; the default is "d1/"'),
  ),
});

/**
 * Somebody who sets AGE_RECIPIENTS wants encryption, so an invalid value stops every backup. The error repeats no part
 * of the value, because it may be a private key that was pasted by mistake.
 */
function readRecipients(text: string, check: z.RefinementCtx): string[] {
  const recipients = text.split(",").map((recipient) => recipient.trim());
  recipients.forEach((recipient, index) => {
    const problem = recipientProblem(recipient);
    if (problem !== null) check.addIssue(`has no usable age recipient at position ${index + 1}: ${problem}`);
  });
  return [...new Set(recipients)];
}

const accessSchema = z.object({
  ADMIN_TOKEN: optional(ownToken("ADMIN_TOKEN")),
  VIEWER_TOKEN: optional(ownToken("VIEWER_TOKEN")),
  ACCESS_AUD: optional(
    z
      .string()
      .regex(/^[\w-]{16,}$/, "is not an audience tag: copy it from the Access application's overview"),
  ),
  ACCESS_ADMINS: optional(z.string().transform(readAddresses)),
});

/** The admins' addresses, in small letters: what is no address would name nobody, without a word. */
function readAddresses(text: string, check: z.RefinementCtx): string[] {
  const addresses = text.split(",").map((address) => address.trim().toLowerCase());
  const named = addresses.filter((address) => address !== "");
  for (const [index, address] of named.entries())
    if (!/^[^\s@"'`<>;]+@[^\s@"'`<>;]+$/.test(address))
      check.addIssue(
        `holds no e-mail address at position ${index + 1}: separate addresses by commas, and use no quotes`,
      );
  return named;
}

/** The settings, and what is spoken to with them. */
export interface JobConfig extends Omit<Settings, "tool"> {
  readonly bucket: R2Bucket;
  readonly catalog: D1Database;
  readonly apiToken: string;
  readonly apiBaseUrl: string;
}

export interface AccessConfig {
  readonly adminToken: string | null;
  readonly viewerToken: string | null;
  readonly accessAudience: string | null;
  readonly accessAdmins: readonly string[];
}

/** A problem names the variable and says how to fix it; it never shows the value. */
export interface ConfigProblem {
  readonly name: string;
  readonly problem: string;
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: ConfigProblem[] };

export function readJobConfig(env: unknown): Parsed<JobConfig> {
  const parsed = jobSchema.safeParse(env);
  if (!parsed.success) return { ok: false, problems: problemsOf(parsed.error) };
  const value = parsed.data;
  return {
    ok: true,
    value: {
      bucket: value.BACKUPS,
      catalog: value.CATALOG,
      accountId: value.CLOUDFLARE_ACCOUNT_ID,
      apiToken: value.CLOUDFLARE_API_TOKEN,
      apiBaseUrl: value.CLOUDFLARE_API_BASE_URL ?? "https://api.cloudflare.com/client/v4",
      catalogDatabaseName: value.CATALOG_DATABASE_NAME,
      compression: value.COMPRESSION ?? "gzip",
      volumeBytes: value.VOLUME_BYTES ?? 128 * MIB,
      recipients: value.AGE_RECIPIENTS ?? [],
      keyPrefix: value.KEY_PREFIX ?? "d1/",
      exportsAtOnce: value.EXPORTS_AT_ONCE ?? DEFAULT_EXPORTS,
      apiBudget: value.API_CALLS_PER_5_MINUTES ?? DEFAULT_CALLS,
    },
  };
}

export function readAccessConfig(env: unknown): Parsed<AccessConfig> {
  const parsed = accessSchema.safeParse(env);
  if (!parsed.success) return { ok: false, problems: problemsOf(parsed.error) };
  const value = parsed.data;
  if (value.ADMIN_TOKEN !== undefined && value.ADMIN_TOKEN === value.VIEWER_TOKEN) {
    return {
      ok: false,
      problems: [
        { name: "VIEWER_TOKEN", problem: "is the same as ADMIN_TOKEN: every viewer would be admin" },
      ],
    };
  }
  return {
    ok: true,
    value: {
      adminToken: value.ADMIN_TOKEN ?? null,
      viewerToken: value.VIEWER_TOKEN ?? null,
      accessAudience: value.ACCESS_AUD ?? null,
      accessAdmins: value.ACCESS_ADMINS ?? [],
    },
  };
}

function problemsOf(error: z.ZodError): ConfigProblem[] {
  return error.issues.map((issue) => ({ name: String(issue.path[0] ?? ""), problem: issue.message }));
}
