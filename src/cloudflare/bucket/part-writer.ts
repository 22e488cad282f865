import type { Gauge, VolumeWriter } from "../../core/bucket/vault.ts";
import { ok, type Result } from "../../core/failure.ts";
import { attempt, metadata } from "./attempt.ts";

/** Parts of one upload must be of equal size (all but the last) and 5 MiB at least: two of these are held at most. */
export const PART_BYTES = 6 * 1024 * 1024;

/**
 * Writes one object of unknown size in parts of equal size: one is filled while the other is on its way. What
 * fits into one part is a plain put. Nothing is listed in the bucket before finish().
 */
export class PartWriter implements VolumeWriter {
  readonly #bucket: R2Bucket;
  readonly #key: string;
  readonly #gauge: Gauge;
  readonly #begun: (uploadId: string) => Promise<void>;
  readonly #parts: R2UploadedPart[] = [];
  #upload: R2MultipartUpload | null = null;
  #filling: Uint8Array<ArrayBuffer>;
  #spare: Uint8Array<ArrayBuffer> | null = null;
  #filled = 0;
  #held = 0;
  #sending: Promise<Result<Uint8Array<ArrayBuffer>>> | null = null;

  constructor(bucket: R2Bucket, key: string, gauge: Gauge, begun: (uploadId: string) => Promise<void>) {
    this.#bucket = bucket;
    this.#key = key;
    this.#gauge = gauge;
    this.#begun = begun;
    this.#filling = this.#allocate();
  }

  async write(bytes: Uint8Array): Promise<Result<void>> {
    for (let from = 0; from < bytes.length;) {
      if (this.#filled === PART_BYTES) {
        const sent = await this.#send();
        if (!sent.ok) return sent;
      }
      const taken = Math.min(bytes.length - from, PART_BYTES - this.#filled);
      this.#filling.set(bytes.subarray(from, from + taken), this.#filled);
      this.#filled += taken;
      from += taken;
    }
    return ok(undefined);
  }

  async finish(): Promise<Result<void>> {
    const last = this.#filling.subarray(0, this.#filled);
    const sent = await this.#settle();
    const done = sent.ok ? await attempt("writing", this.#key, () => this.#writeLast(last)) : sent;
    this.#free();
    return done;
  }

  async #writeLast(last: Uint8Array): Promise<void> {
    if (this.#upload === null) {
      await this.#bucket.put(this.#key, last, { httpMetadata: metadata(this.#key) });
      return;
    }
    this.#parts.push(await this.#upload.uploadPart(this.#parts.length + 1, last));
    await this.#upload.complete(this.#parts);
  }

  async abort(): Promise<void> {
    await this.#settle();
    this.#free();
    // If the abort fails, the next step aborts the upload by the id that the run has saved.
    if (this.#upload !== null) await attempt("giving up", this.#key, async () => this.#upload?.abort());
  }

  /** Sends the full part and fills the other one as soon as that one has been sent. */
  async #send(): Promise<Result<void>> {
    const settled = await this.#settle();
    if (!settled.ok) return settled;
    const opened = await attempt("opening an upload of", this.#key, async () => {
      if (this.#upload !== null) return this.#upload;
      this.#upload = await this.#bucket.createMultipartUpload(this.#key, {
        httpMetadata: metadata(this.#key),
      });
      await this.#begun(this.#upload.uploadId);
      return this.#upload;
    });
    if (!opened.ok) return opened;
    const part = this.#filling;
    this.#sending = attempt("uploading a part of", this.#key, async () => {
      this.#parts.push(await opened.value.uploadPart(this.#parts.length + 1, part));
      return part;
    });
    this.#filling = this.#spare ?? this.#allocate();
    this.#spare = null;
    this.#filled = 0;
    return ok(undefined);
  }

  async #settle(): Promise<Result<void>> {
    const sent = await this.#sending;
    this.#sending = null;
    if (sent === null) return ok(undefined);
    if (!sent.ok) return sent;
    this.#spare = sent.value;
    return ok(undefined);
  }

  #allocate(): Uint8Array<ArrayBuffer> {
    this.#held += PART_BYTES;
    this.#gauge.hold(PART_BYTES);
    return new Uint8Array(PART_BYTES);
  }

  #free(): void {
    this.#gauge.release(this.#held);
    this.#held = 0;
  }
}
