import { z } from "zod";
import { backoffMs } from "../../core/backoff.ts";
import type { Platform } from "../../core/platform.ts";

/** What the catalogue has still to be told of deletions: in the object's storage, as `removals`. */
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
  attempt: z.number().int(),
  dueAt: z.number().int(),
});
type Removals = z.infer<typeof removalsSchema>;

const AT_ONCE = 20;

/** A catalogue that is down delays its own rows and nothing else. */
export class RemovalOutbox {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  addBackup(backupId: string, now: number): void {
    const { backupIds, freshness } = this.#current;
    const all = [...new Set([...backupIds, backupId])];
    this.#storage.kv.put("removals", { backupIds: all, freshness, attempt: 0, dueAt: now });
  }

  addFreshness(freshness: Removals["freshness"], now: number): void {
    const { backupIds } = this.#current;
    this.#storage.kv.put("removals", { backupIds, freshness, attempt: 0, dueAt: now });
  }

  get dueAt(): number | null {
    return removalsSchema.safeParse(this.#storage.kv.get("removals")).data?.dueAt ?? null;
  }

  /** Tells what is due. May be told twice. */
  async flush({ catalog, databases, now, random }: Platform): Promise<void> {
    const { dueAt } = this;
    if (dueAt === null || dueAt > now()) return;
    const { backupIds, freshness, attempt } = this.#current;
    const some = backupIds.slice(0, AT_ONCE);
    const told = await Promise.all([
      ...some.map((id) => catalog.removeBackup(id)),
      ...(freshness === null
        ? []
        : [databases.setFreshness(freshness.databaseId, freshness, freshness.writtenAt)]),
    ]);
    // What was added while we waited stays.
    const after = this.#current;
    if (told.some((answer) => !answer.ok)) {
      const later = now() + backoffMs(attempt, random(), 2_000, 300_000);
      this.#storage.kv.put("removals", { ...after, attempt: attempt + 1, dueAt: later });
      return;
    }
    const left = after.backupIds.filter((id) => !some.includes(id));
    const untold = after.freshness?.writtenAt === freshness?.writtenAt ? null : after.freshness;
    if (left.length === 0 && untold === null) this.#storage.kv.delete("removals");
    else this.#storage.kv.put("removals", { backupIds: left, freshness: untold, attempt: 0, dueAt: now() });
  }

  get #current(): Removals {
    const stored = removalsSchema.safeParse(this.#storage.kv.get("removals")).data;
    return stored ?? { backupIds: [], freshness: null, attempt: 0, dueAt: 0 };
  }
}
