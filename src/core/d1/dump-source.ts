import type { Result } from "../failure.ts";

export interface DumpStream {
  readonly totalBytes: number;
  readonly etag: string | null;
  /**
   * Bytes from the wanted offset on; null at the end. The array is reused by the next call.
   * Rejects with nothing: a broken or stalled connection is a failed result.
   */
  read(): Promise<Result<Uint8Array | null>>;
  /** Closes the connection. */
  cancel(): Promise<void>;
}

export interface DumpSource {
  /** Opens the dump at `offset`. With `expected`, another size or ETag is `dump-changed`. */
  open(
    signedUrl: string,
    offset: number,
    expected: { totalBytes: number; etag: string | null } | null,
  ): Promise<Result<DumpStream>>;
}
