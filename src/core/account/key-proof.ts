/** Whether somebody has proved to hold a recipient's private key. */
export interface KeyProof {
  readonly recipient: string;
  readonly proven: boolean;
  /** The latest time. */
  readonly provenAt: string | null;
  /** An armored age file; sending its text back is the proof. There is always one, because a proof may be repeated. */
  readonly challenge: string;
}

/** How long a challenge is valid; after that, a new one is given out. */
export const CHALLENGE_MS = 24 * 60 * 60_000;

/** The one line of text that a challenge hides. */
export function challengeLine(random: string): string {
  return `d1-nightly-key-proof-${random}`;
}

/** Compares two digests of equal length in constant time. */
export function sameDigest(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
