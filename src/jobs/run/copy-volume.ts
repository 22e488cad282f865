import { backoffMs } from "../../core/backoff.ts";
import type { Volume } from "../../core/backup/manifest.ts";
import type { Digest, Encoder } from "../../core/bucket/codecs.ts";
import type { Gauge, VolumeWriter } from "../../core/bucket/vault.ts";
import type { DumpStream } from "../../core/d1/dump-source.ts";
import { D1_FORMAT, type DumpFormat, foreignStatement, strayEnd } from "../../core/dump/dump-format.ts";
import { incompleteStatement, PreambleCheck } from "../../core/dump/preamble.ts";
import { type Scanned, Tally } from "../../core/dump/tally.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { BackupOptions } from "../../core/policy/backup-options.ts";
import { bytesCopied, type Copy } from "../../core/run/run.ts";
import { StatementScanner, type StatementSet } from "../../core/sql/statements.ts";

/** A volume also ends after this time, so that a slow source fits into an alarm's 15 minutes. */
export const VOLUME_MS = 4 * 60_000;

const LF = 10;
const SEMICOLON = 59;

/** How many reconnections without progress one volume tolerates. */
const RECONNECTIONS = 3;

export interface VolumeJob {
  readonly signedUrl: string;
  readonly copy: Copy;
  readonly name: string;
  readonly key: string;
  readonly options: BackupOptions;
}

export interface CopiedVolume {
  readonly volume: Volume;
  readonly source: { totalBytes: number; etag: string | null };
  readonly scanned: Scanned;
  /** The dump ends with this volume. */
  readonly last: boolean;
}

/** What the copying object reports while it copies. */
export interface CopyObserver {
  readonly gauge: Gauge;
  /** The dump bytes of this volume so far, and of the entire dump. */
  progress(bytes: number, totalBytes: number): void;
  /** Awaited before a multipart upload sends its first part: its id must be saved by then. */
  uploadBegun(uploadId: string): Promise<void>;
  /** Aborted when the copy is no longer wanted: it aborts its upload, and throws the signal's reason. */
  readonly stop?: AbortSignal;
}

/**
 * Copies one volume: from the end of the finished ones to the first statement boundary after `volumeBytes` or after
 * four minutes, or to the dump's end. Memory is constant. Broken connections are resumed where they stopped. Any other
 * failure, including an exception, leaves nothing listed in the bucket, and the same call may be repeated.
 *
 * A lean volume is cut at its exact size. Then this code looks only at the dump's first and last bytes, and the
 * platform does the hashing.
 */
export async function copyVolume(
  platform: Platform,
  job: VolumeJob,
  observer: CopyObserver,
): Promise<Result<CopiedVolume>> {
  const { stop } = observer;
  stop?.throwIfAborted();
  const reader = new ResumingReader(platform, job, bytesCopied(job.copy), stop);
  const opened = await reader.open();
  if (!opened.ok) return opened;
  const writer = platform.vault.openVolume(job.key, observer.gauge, (uploadId) =>
    observer.uploadBegun(uploadId),
  );
  // Ends a read that waits for a slow source immediately.
  const hangUp = (): void => void reader.close();
  stop?.addEventListener("abort", hangUp);
  try {
    const volume = new VolumeUnderWay(platform, job, writer, observer);
    const copied = await pump(platform, job, reader, volume, observer);
    await reader.close();
    if (!copied.ok) {
      await writer.abort();
      return copied;
    }
    stop?.throwIfAborted();
    const finished = await volume.finish();
    if (!finished.ok) {
      await writer.abort();
      return finished;
    }
    const source = { totalBytes: reader.totalBytes, etag: reader.etag };
    return ok({ volume: finished.value, source, scanned: volume.scanned, last: copied.value === "end" });
  } catch (error) {
    await reader.close();
    await writer.abort();
    throw error;
  } finally {
    stop?.removeEventListener("abort", hangUp);
  }
}

async function pump(
  platform: Platform,
  job: VolumeJob,
  reader: ResumingReader,
  volume: VolumeUnderWay,
  observer: CopyObserver,
): Promise<Result<"end" | "boundary">> {
  const until = platform.now() + VOLUME_MS;
  for (;;) {
    const read = await reader.read();
    if (!read.ok) return read;
    if (read.value === null) return volume.endOfDump();
    const taken = await volume.take(read.value, platform.now() >= until ? 0 : job.options.volumeBytes);
    if (!taken.ok) return taken;
    observer.progress(volume.dumpBytes, reader.totalBytes);
    if (taken.value === "boundary")
      return reader.totalBytes === volume.endsAt ? volume.endOfDump() : ok("boundary");
  }
}

/** The dump from an offset on; a broken connection is reopened after the last byte that came. */
class ResumingReader {
  readonly #platform: Platform;
  readonly #job: VolumeJob;
  #position: number;
  #stream: DumpStream | null = null;
  #expected: { totalBytes: number; etag: string | null } | null;
  #failures = 0;
  readonly #stop: AbortSignal | undefined;

  constructor(platform: Platform, job: VolumeJob, offset: number, stop: AbortSignal | undefined) {
    this.#platform = platform;
    this.#job = job;
    this.#position = offset;
    this.#stop = stop;
    this.#expected = job.copy.source;
  }

  get totalBytes(): number {
    return this.#expected?.totalBytes ?? 0;
  }

  get etag(): string | null {
    return this.#expected?.etag ?? null;
  }

  async open(): Promise<Result<void>> {
    const opened = await this.#platform.source.open(this.#job.signedUrl, this.#position, this.#expected);
    if (!opened.ok) return opened;
    this.#stream = opened.value;
    this.#expected = { totalBytes: opened.value.totalBytes, etag: opened.value.etag };
    return ok(undefined);
  }

  async read(): Promise<Result<Uint8Array | null>> {
    for (;;) {
      const read = await this.#tryRead();
      this.#stop?.throwIfAborted();
      if (read.ok) {
        this.#failures = 0;
        this.#position += read.value?.length ?? 0;
        return read;
      }
      await this.close();
      const transient = read.failure.code === "dump-unreachable" || read.failure.code === "dump-truncated";
      if (!transient || !read.failure.retryable || ++this.#failures > RECONNECTIONS) return read;
      await pause(backoffMs(this.#failures - 1, this.#platform.random(), 200));
    }
  }

  async #tryRead(): Promise<Result<Uint8Array | null>> {
    if (this.#stream === null) {
      const opened = await this.open();
      if (!opened.ok) return opened;
    }
    return (await this.#stream?.read()) ?? ok(null);
  }

  async close(): Promise<void> {
    await this.#stream?.cancel();
    this.#stream = null;
  }
}

class VolumeUnderWay {
  readonly #job: VolumeJob;
  readonly #writer: VolumeWriter;
  readonly #observer: CopyObserver;
  readonly #startsAt: number;
  readonly #tally: Tally;
  /** Null for a lean run. */
  readonly #scanner: StatementScanner | null;
  #lastByte = 0;
  readonly #opening: PreambleCheck | null;
  readonly #dumpDigest: Digest;
  /** Null if the dump is stored unchanged: then both hashes are the same. */
  readonly #storedDigest: Digest | null;
  readonly #encoder: Encoder;
  readonly #firstStatement: number;
  dumpBytes = 0;
  #storedBytes = 0;

  constructor(platform: Platform, job: VolumeJob, writer: VolumeWriter, observer: CopyObserver) {
    const { codecs } = platform;
    this.#job = job;
    this.#writer = writer;
    this.#observer = observer;
    this.#startsAt = bytesCopied(job.copy);
    this.#tally = new Tally(job.copy.scanned, this.#startsAt, !job.options.exportOptions.noSchema);
    this.#scanner = job.options.lean
      ? null
      : new StatementScanner(this.#tally.count, this.#statementsOf(D1_FORMAT));
    this.#opening = this.#startsAt === 0 ? new PreambleCheck(D1_FORMAT) : null;
    this.#dumpDigest = codecs.digest();
    const { compression, recipients } = job.options;
    this.#storedDigest = compression === "none" && recipients.length === 0 ? null : codecs.digest();
    this.#encoder = codecs.encoder(compression, recipients);
    this.#firstStatement = job.copy.volumes.reduce((sum, volume) => sum + (volume.statements ?? 0), 1);
  }

  get scanned(): Scanned {
    return this.#tally.scanned;
  }

  /** The offset in the dump up to which this volume has been copied. */
  get endsAt(): number {
    return this.#startsAt + this.dumpBytes;
  }

  /** Takes a piece of the dump, up to the first statement boundary at which this volume has `limit` bytes or more. */
  async take(bytes: Uint8Array, limit: number): Promise<Result<"all" | "boundary">> {
    const boundary =
      this.#scanner === null
        ? fixedCut(bytes, limit - this.dumpBytes)
        : this.#scanner.scan(bytes, limit - this.dumpBytes - 1);
    const mine = bytes.subarray(0, boundary ?? bytes.length);
    this.#opening?.take(mine);
    const wrong = this.#opening?.failure(false) ?? this.#foreign();
    if (wrong !== null) return failed(wrong);
    this.dumpBytes += mine.length;
    if (mine.length > 1 || mine[0] !== LF) this.#lastByte = mine.at(mine.at(-1) === LF ? -2 : -1) ?? 0;
    this.#dumpDigest.update(mine);
    this.#observer.gauge.hold(bytes.length);
    try {
      const stored = await this.#store(await this.#encoder.encode(mine));
      if (!stored.ok) return stored;
    } finally {
      this.#observer.gauge.release(bytes.length);
    }
    return ok(boundary === null ? "all" : "boundary");
  }

  /** The scan of this volume, which begins somewhere in the dump, in the form of the format. */
  #statementsOf(format: DumpFormat): StatementSet {
    return { ...format, holds: (kind, head, at) => format.holds(kind, head, this.#startsAt + at) };
  }

  #foreign(): Failure | null {
    const { foreign } = this.#tally;
    return foreign === null ? null : foreignStatement(foreign, this.#firstStatement - 1);
  }

  endOfDump(): Result<"end"> {
    const wrong = this.#opening?.failure(true) ?? null;
    if (wrong !== null) return failed(wrong);
    if (this.#scanner === null)
      return this.#lastByte === SEMICOLON ? ok("end") : failed(incompleteStatement());
    this.#scanner.end();
    const foreign = this.#foreign();
    if (foreign !== null) return failed(foreign);
    if (this.#scanner.endsInStray) return failed(strayEnd());
    return this.#scanner.betweenStatements || this.#scanner.endsInCommentedSemicolon
      ? ok("end")
      : failed(incompleteStatement());
  }

  async finish(): Promise<Result<Volume>> {
    const rest = await this.#store(await this.#encoder.finish());
    if (!rest.ok) return rest;
    const written = await this.#writer.finish();
    if (!written.ok) return written;
    const dumpSha256 = this.#dumpDigest.hex();
    return ok({
      name: this.#job.name,
      bytes: this.#storedBytes,
      sha256: this.#storedDigest?.hex() ?? dumpSha256,
      dumpBytes: this.dumpBytes,
      dumpSha256,
      firstStatement: this.#scanner === null ? null : this.#firstStatement,
      statements: this.#scanner === null ? null : this.#tally.statements,
    });
  }

  async #store(pieces: Uint8Array[]): Promise<Result<void>> {
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#observer.gauge.hold(bytes);
    try {
      for (const piece of pieces) {
        this.#storedDigest?.update(piece);
        this.#storedBytes += piece.length;
        const written = await this.#writer.write(piece);
        if (!written.ok) return written;
      }
      return ok(undefined);
    } finally {
      this.#observer.gauge.release(bytes);
    }
  }
}

/** Where a lean volume ends in these bytes; null if it continues after them. */
function fixedCut(bytes: Uint8Array, left: number): number | null {
  if (left <= 0) return bytes.length;
  return left <= bytes.length ? left : null;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
