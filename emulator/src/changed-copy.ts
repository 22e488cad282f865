import { PartWriter } from "./part-writer.ts";

const SEVEN = 0x37;
const EIGHT = 0x38;

/**
 * Stores other bytes of the same length beside the object and returns their key: every 7 has become an 8, or a
 * line break is a space where there was none. A copy is not copied again.
 */
export async function changedCopy(bucket: R2Bucket, key: string): Promise<string> {
  const suffix = ".changed";
  const original = key.endsWith(suffix) ? null : await bucket.get(key);
  if (original === null) return key;
  const writer = new PartWriter(bucket, key + suffix);
  for await (const chunk of original.body) {
    await writer.write(chunk.map((byte: number) => (byte === SEVEN ? EIGHT : byte)));
  }
  await writer.finish();
  return key + suffix;
}
