import type { Compression } from "./object-keys.ts";

/** Lower-case hex of a text's SHA-256. */
export function sha256Of(text: string, codecs: Pick<Codecs, "digest">): string {
  const digest = codecs.digest();
  digest.update(new TextEncoder().encode(text));
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
