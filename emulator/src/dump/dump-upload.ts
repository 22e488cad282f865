import { PartWriter } from "./part-writer.ts";

/** Statements are gathered to about this many characters before they are encoded. */
const BATCH_CHARACTERS = 256 * 1024;

/** What was stored in R2. */
export interface StoredDump {
  size: number;
  parts: number;
}

/** Joins the lines with line breaks, encodes them and stores them under the key. Memory stays constant. */
export async function storeDump(
  bucket: R2Bucket,
  key: string,
  lines: Iterable<string>,
  encode: (text: string) => Uint8Array,
  onPart: (part: number) => void,
): Promise<StoredDump> {
  const writer = new PartWriter(bucket, key);
  let batch = "";
  let separator = "";
  let partsTold = 0;
  const flush = async () => {
    await writer.write(encode(batch));
    batch = "";
    while (partsTold < writer.partsUploaded) onPart((partsTold += 1));
  };
  try {
    for (const line of lines) {
      batch += separator + line;
      separator = "\n";
      if (batch.length >= BATCH_CHARACTERS) await flush();
    }
    await flush();
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return { size: writer.size, parts: Math.max(1, writer.partsUploaded) };
}
