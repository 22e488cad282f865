import { describeException, failed, ok, type Result } from "../../core/failure.ts";

/**
 * What R2 refuses for good. Its errors carry no code but the number in their text: `put: … (10069)`. A refusal for the
 * sake of a lock rule is also known by its words; one of a busy database, "database is locked", is none.
 */
type Refusal = "locked" | "key-too-long" | "no-such-upload";

const REFUSALS: readonly (readonly [Refusal, RegExp])[] = [
  [
    "locked",
    /\b10069\b|\bobject is locked\b|\bbucket (policy|lock)|\block rule|\bretention (policy|period|rule)/i,
  ],
  ["key-too-long", /\b10020\b/],
  ["no-such-upload", /\b10024\b|\bupload does not exist\b/i],
];

/** Null for failures that may resolve themselves. */
export function refusalOf(error: unknown): Refusal | null {
  const text = error instanceof Error ? error.message : "";
  return REFUSALS.find(([, words]) => words.test(text))?.[0] ?? null;
}

/** Runs one operation on the bucket; what it throws becomes a failure. */
export async function attempt<T>(
  doing: string,
  key: string,
  operation: () => Promise<T>,
): Promise<Result<T>> {
  try {
    return ok(await operation());
  } catch (error) {
    const detail = `${doing} ${key.slice(0, 300)} in the bucket failed: ${describeException(error)}`;
    switch (refusalOf(error)) {
      case "locked":
        return failed({ code: "stored-object-locked", detail, hint: LOCKED_HINT, retryable: false });
      case "key-too-long":
        return failed({ code: "bucket-unavailable", detail, hint: KEY_HINT, retryable: false });
      default:
        return failed({ code: "bucket-unavailable", detail, hint: BUCKET_HINT, retryable: true });
    }
  }
}

const LOCKED_HINT =
  "A lock rule of the bucket protects it. You can change or delete it when the rule no longer applies. `npx wrangler r2 bucket lock list BUCKET` shows the rules.";

const KEY_HINT = "The database's name is too long for a key in the bucket, together with KEY_PREFIX.";

const BUCKET_HINT =
  "This usually resolves itself. If it persists, check the BACKUPS binding, the bucket's lock rules and https://www.cloudflarestatus.com.";

export function metadata(key: string): R2HTTPMetadata {
  return { contentType: contentTypeOf(key) };
}

/** The content type of an object of ours, by the end of its name. */
export function contentTypeOf(key: string): string {
  if (key.endsWith(".json")) return "application/json";
  if (key.endsWith(".md")) return "text/markdown; charset=utf-8";
  if (key.endsWith(".age")) return "application/octet-stream";
  if (key.endsWith(".zst")) return "application/zstd";
  if (key.endsWith(".gz")) return "application/gzip";
  if (key.endsWith(".sql")) return "application/sql";
  return "text/plain; charset=utf-8";
}
