import { armor, Encrypter } from "age-encryption";
import type { Ciphers, Encoder } from "../../core/bucket/codecs.ts";

/** The problem with an age recipient, without repeating the recipient; null if it is valid. */
export function recipientProblem(recipient: string): string | null {
  if (recipient === "") return "it is empty; give public keys (age1…), separated by commas";
  if (/AGE-SECRET-KEY/i.test(recipient)) {
    return "it is a private key, which this Worker must never see. Treat it as compromised: make a new pair with `age-keygen`, and give the public key (age1…)";
  }
  if (/^(ssh-|age1yubikey)/i.test(recipient)) {
    return "SSH keys and plugins are not supported; give a public key that `age-keygen` makes (age1…)";
  }
  try {
    new Encrypter().addRecipient(recipient);
    return null;
  } catch {
    return "it is not an age public key, or has a typo; `age-keygen -y key.txt` prints it (age1…)";
  }
}

export function ciphers(): Ciphers {
  return {
    randomHex: () =>
      Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
        byte.toString(16).padStart(2, "0"),
      ).join(""),
    encryptText,
  };
}

/** A small text as an armored age file for one recipient. Throws if the recipient is invalid. */
async function encryptText(recipient: string, text: string): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return armor.encode(await encrypter.encrypt(text));
}

/** Encrypts the output of another encoder: one age file per volume. */
export class AgeEncoder implements Encoder {
  readonly #inner: Encoder;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #drained: Promise<void>;
  #ready: Uint8Array[] = [];

  /** Throws if there is no recipient, or an invalid one. */
  constructor(inner: Encoder, recipients: readonly string[]) {
    if (recipients.length === 0) throw new Error("encryption without a recipient");
    const encrypter = new Encrypter();
    for (const recipient of recipients) encrypter.addRecipient(recipient);
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    this.#inner = inner;
    this.#writer = writable.getWriter();
    this.#drained = this.#drain(encrypter, readable);
    // encode() and finish() wait for it and report its error.
    this.#drained.catch(() => undefined);
  }

  async encode(bytes: Uint8Array): Promise<Uint8Array[]> {
    return this.#encrypt(await this.#inner.encode(bytes));
  }

  async finish(): Promise<Uint8Array[]> {
    const last = await this.#encrypt(await this.#inner.finish());
    await Promise.all([this.#writer.close(), this.#drained]);
    return [...last, ...this.#take()];
  }

  async #encrypt(pieces: Uint8Array[]): Promise<Uint8Array[]> {
    for (const piece of pieces) {
      // A piece may be in a reused buffer, which the stream may still hold when this resolves.
      await Promise.race([this.#writer.write(piece.slice()), this.#failed()]);
    }
    return this.#take();
  }

  /** Never resolves; rejects when the encryption fails, so that a write cannot wait forever. */
  #failed(): Promise<never> {
    return this.#drained.then(() => new Promise<never>(() => undefined));
  }

  async #drain(encrypter: Encrypter, readable: ReadableStream<Uint8Array>): Promise<void> {
    const encrypted = await encrypter.encrypt(readable);
    for await (const chunk of encrypted) this.#ready.push(chunk);
  }

  #take(): Uint8Array[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }
}
