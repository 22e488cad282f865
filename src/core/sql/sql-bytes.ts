/** The bytes that mean something in SQL, and pieces of text as bytes. */
export const LF = 10;
export const STAR = 42;
export const DASH = 45;
export const SLASH = 47;
export const SEMICOLON = 59;

/** What keywords and bare names consist of. */
export const WORD = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$");
WORD.fill(1, 128);

export const SPACE = byteSet(" \t\n\f\r");

export const NOTHING = new Uint8Array(0);

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function byteSet(characters: string, value = 1): Uint8Array {
  const set = new Uint8Array(256);
  for (const byte of bytesOf(characters)) set[byte] = value;
  return set;
}

export function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  for (let i = prefix.length - 1; i >= 0; i--) if (bytes[at + i] !== prefix[i]) return false;
  return true;
}

export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** `bytes.indexOf(0, from)`, at twice its speed where there is none. */
export function indexOfNul(bytes: Uint8Array, from: number): number {
  return bytes.indexOf(0, passWords(bytes, from, 0));
}

/** Before this index no byte is a NUL or more than 127; it may be lower than it could be, by some bytes. */
export function plainLength(bytes: Uint8Array): number {
  return passWords(bytes, 0, HIGH_BITS);
}

const HIGH_BITS = 0x80808080;

/** Passes words of four bytes without a NUL, and without any of the bits of `not`; returns where the others begin. */
function passWords(bytes: Uint8Array, from: number, not: number): number {
  if (bytes.length - from < 64) return from;
  const start = from + (-(bytes.byteOffset + from) & 3);
  for (let i = from; i < start; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === 0 || (byte & not) !== 0) return i;
  }
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + start, (bytes.length - start) >> 2);
  let i = 0;
  for (; i + 4 <= words.length; i += 4) {
    const a = words[i] ?? 0;
    const b = words[i + 1] ?? 0;
    const c = words[i + 2] ?? 0;
    const d = words[i + 3] ?? 0;
    // Subtracting 1 from each byte sets its highest bit where that was 0 before, and borrows from no byte below.
    const borrowed =
      ((a - 0x01010101) & ~a) | ((b - 0x01010101) & ~b) | ((c - 0x01010101) & ~c) | ((d - 0x01010101) & ~d);
    if (((borrowed & HIGH_BITS) | ((a | b | c | d) & not)) !== 0) break;
  }
  return start + i * 4;
}
