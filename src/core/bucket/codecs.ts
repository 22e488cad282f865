import type { Compression } from "./object-keys.ts";

/** Lower-case hex of the SHA-256 of a text (in UTF-8) or of bytes. */
export function sha256Of(content: string | Uint8Array, codecs: Pick<Codecs, "digest">): string {
  const digest = codecs.digest();
  digest.update(typeof content === "string" ? new TextEncoder().encode(content) : content);
  return digest.hex();
}

export interface Digest {
  update(bytes: Uint8Array): void;
  /** Lower-case hex of the SHA-256. Ends the digest. */
  hex(): string;
}

/** Takes dump bytes, gives stored bytes. */
export interface Encoder {
  encode(bytes: Uint8Array): Promise<Uint8Array[]>;
  finish(): Promise<Uint8Array[]>;
}

export interface Codecs {
  digest(): Digest;
  /** One volume's: compressed, then encrypted to the recipients, when there are any. */
  encoder(compression: Compression, recipients: readonly string[]): Encoder;
}

/** The little that is encrypted outside of dumps. */
export interface Ciphers {
  /** 128 bits that nobody can guess, in hex. */
  randomHex(): string;
  /** A text as an armored age file for one recipient. */
  encryptText(recipient: string, text: string): Promise<string>;
}
