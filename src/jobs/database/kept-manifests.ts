import { z } from "zod";

const keptSchema = z.object({ text: z.string() });

const PREFIX = "manifest/";

/** A value in an object's storage has 2 MiB at the most, with up to two bytes for each of these. */
const LONGEST = 900_000;

/**
 * The manifests of the database's backups as they were written, one below each folder, from the commit until the
 * backup is deleted. The bucket is the truth; these are for the day on which it has lost one.
 */
export class KeptManifests {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** One of thousands of volumes is longer than can be kept. */
  keep(folder: string, text: string): void {
    if (text.length <= LONGEST) this.#storage.kv.put(PREFIX + folder, { text });
  }

  textOf(folder: string): string | null {
    return keptSchema.safeParse(this.#storage.kv.get(PREFIX + folder)).data?.text ?? null;
  }

  forget(folder: string): void {
    this.#storage.kv.delete(PREFIX + folder);
  }
}
