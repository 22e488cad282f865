const PART_BYTES = 8 * 1024 * 1024;

/** Writes a stream of unknown length to R2 in equal parts, so that only two parts are in memory at a time. */
export class PartWriter {
  readonly #bucket: R2Bucket;
  readonly #key: string;
  #part: Uint8Array = new Uint8Array(PART_BYTES);
  /** The buffer of the part on its way; free as soon as that part has arrived. */
  #other: Uint8Array = new Uint8Array(0);
  #filled = 0;
  #upload: R2MultipartUpload | undefined;
  #parts: Promise<R2UploadedPart>[] = [];
  size = 0;

  constructor(bucket: R2Bucket, key: string) {
    this.#bucket = bucket;
    this.#key = key;
  }

  /** How many parts have been handed to R2 so far. */
  get partsUploaded(): number {
    return this.#parts.length;
  }

  /** Takes bytes; they may be reused as soon as this returns. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length;) {
      const piece = bytes.subarray(offset, offset + PART_BYTES - this.#filled);
      this.#part.set(piece, this.#filled);
      this.#filled += piece.length;
      offset += piece.length;
      if (this.#filled === PART_BYTES) await this.#send();
    }
    this.size += bytes.length;
  }

  /** Completes the object. */
  async finish(): Promise<R2Object> {
    const rest = this.#part.subarray(0, this.#filled);
    if (this.#upload === undefined) return this.#bucket.put(this.#key, rest, {});
    if (this.#filled > 0) await this.#send();
    return this.#upload.complete(await Promise.all(this.#parts));
  }

  /** Leaves no object behind. */
  async abort(): Promise<void> {
    await Promise.allSettled(this.#parts);
    await this.#upload?.abort();
  }

  async #send(): Promise<void> {
    this.#upload ??= await this.#bucket.createMultipartUpload(this.#key);
    // One part on its way while the next one fills.
    await this.#parts.at(-1);
    const part = this.#part;
    this.#parts.push(this.#upload.uploadPart(this.#parts.length + 1, part.subarray(0, this.#filled)));
    this.#part = this.#other.length === PART_BYTES ? this.#other : new Uint8Array(PART_BYTES);
    this.#other = part;
    this.#filled = 0;
  }
}
