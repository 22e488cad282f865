import { describeException, failed, ok, type Result } from "../../core/failure.ts";

/** Runs one operation on the bucket; what it throws becomes a failure that may be tried again. */
export async function attempt<T>(
  doing: string,
  key: string,
  operation: () => Promise<T>,
): Promise<Result<T>> {
  try {
    return ok(await operation());
  } catch (error) {
    const said = describeException(error);
    // 10020: the key is longer than 1,024 bytes, and stays so.
    const tooLong = said.includes("10020");
    return failed({
      code: "bucket-unavailable",
      detail: `${doing} ${key.slice(0, 300)} in the bucket failed: ${said}`,
      hint: tooLong
        ? "The database's name is too long for a key in the bucket, together with KEY_PREFIX."
        : "Usually passes by itself. If it stays, check the BACKUPS binding, the bucket's lock rules and https://www.cloudflarestatus.com.",
      retryable: !tooLong,
    });
  }
}

export function metadata(key: string): R2HTTPMetadata {
  return { contentType: contentTypeOf(key) };
}

/** What an object of ours is, by the end of its name. */
export function contentTypeOf(key: string): string {
  if (key.endsWith(".json")) return "application/json";
  if (key.endsWith(".md")) return "text/markdown; charset=utf-8";
  if (key.endsWith(".age")) return "application/octet-stream";
  if (key.endsWith(".zst")) return "application/zstd";
  if (key.endsWith(".gz")) return "application/gzip";
  if (key.endsWith(".sql")) return "application/sql";
  return "text/plain; charset=utf-8";
}
