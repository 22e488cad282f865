import { z } from "zod";
import type { Platform } from "../../core/platform.ts";
import { Outbox } from "../object/outbox.ts";

/** What the catalogue has still to learn of deletions: in the object's storage, as `removals`. */
const removalsSchema = z.object({
  backupIds: z.array(z.string()),
  freshness: z
    .object({
      databaseId: z.string(),
      freshAt: z.string().nullable(),
      lastBackupId: z.string().nullable(),
      writtenAt: z.string(),
    })
    .nullable(),
});
type Removals = z.infer<typeof removalsSchema>;

const AT_ONCE = 20;

/** Deletions on their way to the catalogue. */
export class RemovalOutbox {
  readonly #storage: DurableObjectStorage;
  readonly #outbox: Outbox;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#outbox = new Outbox(storage.kv, "removals");
  }

  addBackup(backupId: string, now: number): void {
    const { backupIds, freshness } = this.#removals;
    this.#storage.kv.put("removals", { backupIds: [...new Set([...backupIds, backupId])], freshness });
    this.#outbox.add(now);
  }

  addFreshness(freshness: Removals["freshness"], now: number): void {
    this.#storage.kv.put("removals", { backupIds: this.#removals.backupIds, freshness });
    this.#outbox.add(now);
  }

  holds(backupId: string): boolean {
    return this.#removals.backupIds.includes(backupId);
  }

  get dueAt(): number | null {
    return this.#outbox.dueAt;
  }

  /** Delivers what is due. May deliver it twice. */
  async flush(platform: Platform): Promise<void> {
    const { catalog, databases } = platform;
    await this.#outbox.flush(platform, async () => {
      const { backupIds, freshness } = this.#removals;
      const some = backupIds.slice(0, AT_ONCE);
      const answers = await Promise.all([
        ...some.map((id) => catalog.removeBackup(id)),
        ...(freshness === null
          ? []
          : [databases.setFreshness(freshness.databaseId, freshness, freshness.writtenAt)]),
      ]);
      if (answers.some((answer) => !answer.ok)) return "refused";
      // What was added while we waited stays.
      const after = this.#removals;
      const left = after.backupIds.filter((id) => !some.includes(id));
      const pending = after.freshness?.writtenAt === freshness?.writtenAt ? null : after.freshness;
      this.#storage.kv.put("removals", { backupIds: left, freshness: pending });
      return left.length === 0 && pending === null ? "delivered" : "more";
    });
  }

  get #removals(): Removals {
    const stored = removalsSchema.safeParse(this.#storage.kv.get("removals")).data;
    return stored ?? { backupIds: [], freshness: null };
  }
}
