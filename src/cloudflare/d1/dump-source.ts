import type { DumpSource, DumpStream } from "../../core/d1/dump-source.ts";
import { LARGEST_DUMP } from "../../core/d1/limits.ts";
import { describeException, failed, type Failure, ok, type Result } from "../../core/failure.ts";

const READ_BYTES = 512 * 1024;
const READ_AT_LEAST = 128 * 1024;

/** A source that sends nothing for this long is given up and read again from where it stopped. */
export const STALL_MS = 30_000;

const URL_HINT = "Nothing to do: the run asks for a fresh address, or exports anew.";

/**
 * The dump behind D1's signed URL, read by Range from any offset. The URL is a secret in itself: no token is
 * sent to it, no redirect followed, and it stands in no message.
 */
export class SignedUrlSource implements DumpSource {
  async open(
    signedUrl: string,
    offset: number,
    expected: { totalBytes: number; etag: string | null } | null,
  ): Promise<Result<DumpStream>> {
    const headers = new Headers({ Range: `bytes=${offset}-`, "Accept-Encoding": "identity" });
    const etag = expected?.etag ?? null;
    // If-Match compares strongly: a weak ETag would never match, so that one is compared below.
    if (etag !== null && !etag.startsWith("W/")) headers.set("If-Match", etag);
    const abort = new AbortController();
    let response: Response;
    const patience = setTimeout(() => abort.abort(), STALL_MS);
    try {
      response = await fetch(signedUrl, { headers, redirect: "manual", signal: abort.signal });
    } catch (error) {
      return failed(unreachable(`the connection failed: ${describeException(error, secretsOf(signedUrl))}`));
    } finally {
      clearTimeout(patience);
    }
    const judged = judge(response, offset, expected);
    if (!judged.ok || response.body === null) {
      await response.body?.cancel().catch(ignoreBrokenConnection);
      return judged.ok ? failed(unreachable("the answer had no body")) : judged;
    }
    const skip = response.status === 200 ? offset : 0;
    return ok(new RangeStream(response.body, judged.value, offset, skip, secretsOf(signedUrl)));
  }
}

/** The address, and each part of it that could be enough to read the dump. */
function secretsOf(signedUrl: string): string[] {
  const { pathname, search, searchParams } = new URL(signedUrl);
  return [signedUrl, pathname, search, ...searchParams.values()];
}

/** Whether this answer is the dump that we mean, from the offset that we asked for (or from its beginning, on 200). */
function judge(
  response: Response,
  offset: number,
  expected: { totalBytes: number; etag: string | null } | null,
): Result<{ totalBytes: number; etag: string | null }> {
  const { status } = response;
  const range = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(response.headers.get("Content-Range") ?? "");
  if (status === 412) return failed(changed("its ETag is different"));
  if (status === 416) {
    if (range?.[3] === "0") return failed(empty());
    if (expected !== null && range?.[3] !== String(expected.totalBytes))
      return failed(changed("its size is different"));
    return failed(unreachable("the server refused the range"));
  }
  if ([401, 403, 404, 410].includes(status)) {
    return failed({
      code: "dump-url-expired",
      detail: `The dump's URL is no longer valid (${status}).`,
      hint: URL_HINT,
      retryable: true,
    });
  }
  if (status >= 300 && status < 400) {
    const hint =
      "D1's URLs never redirect. Check CLOUDFLARE_API_BASE_URL, and whether there is a proxy in between.";
    return failed({ ...unreachable("the URL redirects, which is refused"), hint, retryable: false });
  }
  if (status !== 200 && status !== 206) return failed(unreachable(`the server answered ${status}`));
  if (status === 206 && range?.[1] !== String(offset))
    return failed(unreachable("the server sent a different range"));
  // Otherwise the bytes that we read are not those that the length counts.
  if (!["identity", ""].includes(response.headers.get("Content-Encoding") ?? ""))
    return failed(
      sizeUnknown("The dump arrives compressed, so the response does not state the dump's own size."),
    );
  const stated = status === 206 ? range?.[3] : response.headers.get("Content-Length");
  if (stated === undefined || stated === null || !/^\d+$/.test(stated)) {
    return failed(
      sizeUnknown(
        "The response does not state the dump's total size, so a truncated dump could go unnoticed.",
      ),
    );
  }
  const totalBytes = Number(stated);
  if (totalBytes === 0) return failed(empty());
  if (totalBytes > LARGEST_DUMP) return failed(oversized(stated));
  const etag = response.headers.get("ETag");
  if (expected !== null && expected.totalBytes !== totalBytes)
    return failed(changed("its size is different"));
  if (expected !== null && expected.etag !== etag) return failed(changed("its ETag is different"));
  return ok({ totalBytes, etag });
}

class RangeStream implements DumpStream {
  readonly totalBytes: number;
  readonly etag: string | null;
  readonly #reader: ReadableStreamBYOBReader;
  readonly #secrets: readonly string[];
  #buffer: ArrayBuffer = new ArrayBuffer(READ_BYTES);
  /** The offset in the dump of the next byte from the connection. */
  #position: number;
  /** Bytes before the wanted offset that a server which ignores Range sends all the same. */
  #skip: number;
  #done = false;

  constructor(
    body: ReadableStream,
    { totalBytes, etag }: Pick<DumpStream, "totalBytes" | "etag">,
    offset: number,
    skip: number,
    secrets: readonly string[],
  ) {
    this.#reader = body.getReader({ mode: "byob" });
    this.totalBytes = totalBytes;
    this.etag = etag;
    this.#secrets = secrets;
    this.#position = offset - skip;
    this.#skip = skip;
  }

  async read(): Promise<Result<Uint8Array | null>> {
    while (!this.#done) {
      const chunk = await this.#receive();
      if (!chunk.ok) return chunk;
      this.#position += chunk.value.length;
      if (this.#position > this.totalBytes) return failed(changed("it is longer than stated"));
      if (this.#position === this.totalBytes) this.#done = true;
      const wanted = chunk.value.subarray(Math.min(this.#skip, chunk.value.length));
      this.#skip -= chunk.value.length - wanted.length;
      if (wanted.length > 0) return ok(wanted);
      if (chunk.value.length === 0) return failed(truncated(this.#position, this.totalBytes));
    }
    return ok(null);
  }

  /** At least one byte, or none at the end of the stream; a failure when the connection breaks or stalls. */
  async #receive(): Promise<Result<Uint8Array>> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stalled = new Promise<"stalled">((resolve) => {
      timer = setTimeout(() => resolve("stalled"), STALL_MS);
    });
    try {
      const want = Math.min(READ_AT_LEAST, this.totalBytes - this.#position);
      const read = this.#reader.readAtLeast(want, new Uint8Array(this.#buffer));
      const outcome = await Promise.race([read, stalled]);
      if (outcome === "stalled") {
        read.catch(ignoreBrokenConnection);
        return failed(unreachable(`no data came for ${STALL_MS / 1_000} s`));
      }
      if (outcome.value === undefined) return ok(new Uint8Array(0));
      this.#buffer = outcome.value.buffer;
      return ok(outcome.value);
    } catch (error) {
      return failed(unreachable(`the connection broke: ${describeException(error, this.#secrets)}`));
    } finally {
      clearTimeout(timer);
    }
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(ignoreBrokenConnection);
  }
}

/** A connection that we close may already be broken, which makes no difference. */
function ignoreBrokenConnection(): void {}

function unreachable(why: string): Failure {
  return {
    code: "dump-unreachable",
    detail: `The dump could not be read: ${why}.`,
    hint: URL_HINT,
    retryable: true,
  };
}

function changed(why: string): Failure {
  return {
    code: "dump-changed",
    detail: `The dump behind the URL has changed since the copy began: ${why}.`,
    hint: "There is nothing to do: the run discards what it copied and makes a new export.",
    retryable: true,
  };
}

function sizeUnknown(detail: string): Failure {
  return {
    code: "dump-size-unknown",
    detail,
    hint: "Check whether there is a proxy between the Worker and the storage. The response must have Content-Length or Content-Range.",
    retryable: true,
  };
}

function empty(): Failure {
  return {
    code: "dump-empty",
    detail: "D1 exported a dump of 0 bytes.",
    hint: "Even the dump of an empty database has a first line. Try again; if this persists, contact Cloudflare's support.",
    retryable: true,
  };
}

function oversized(stated: string): Failure {
  return {
    code: "dump-oversized",
    detail: `The dump is stated to have ${stated.slice(0, 40)} bytes. A D1 database holds 10 GB, so nothing beyond ${LARGEST_DUMP} bytes can be its dump; nothing was copied.`,
    hint: "Is a proxy between the Worker and the storage? Otherwise D1's storage states a wrong size: tell Cloudflare's support.",
    retryable: false,
  };
}

function truncated(at: number, total: number): Failure {
  return {
    code: "dump-truncated",
    detail: `The dump ended after ${at} of ${total} bytes.`,
    hint: "The download resumes where it stopped. If this persists, contact Cloudflare's support.",
    retryable: true,
  };
}
