export const AGE_FORMAT = "age-encryption.org/v1";

/** The first line of every age file. */
const AGE_FIRST_LINE = new TextEncoder().encode("age-encryption.org/v1\n");

/** Whether an object begins as an age file does, by its first 64 bytes. */
export function opensAsAge(opening: Uint8Array): boolean {
  return AGE_FIRST_LINE.every((byte, index) => opening[index] === byte);
}
