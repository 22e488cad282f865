import { z } from "zod";
import type { Platform } from "../../core/platform.ts";
import { Outbox } from "../object/outbox.ts";
import type { Turns } from "../object/turns.ts";

/** What the catalogue has still to learn of deletions: in the object's storage, as `removals`. */
const removalsSchema = z.object({
  backupIds: z.array(z.string()),
  /** To be removed once more, at these times: a row of theirs may have been on its way still. */
  again: z.array(z.object({ backupId: z.string(), at: z.number() })).default([]),
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

/** A write that nobody waits for any more has reached the catalogue by then, or never does. */
const LATE_MS = 2 * 60_000;

/** Deletions on their way to the catalogue. */
export class RemovalOutbox {
  readonly #storage: DurableObjectStorage;
  readonly #outbox: Outbox;
  readonly #turns: Turns;

  constructor(storage: DurableObjectStorage, turns: Turns) {
    this.#storage = storage;
    this.#turns = turns;
    this.#outbox = new Outbox(storage.kv, "removals");
  }

  /** `unsure`: the catalogue has not confirmed the backup's row, and may take it after its removal. */
  addBackup(backupId: string, unsure: boolean, now: number): void {
    const { backupIds, again, freshness } = this.#removals;
    this.#put({
      backupIds: [...new Set([...backupIds, backupId])],
      again: unsure ? [...again, { backupId, at: now + LATE_MS }] : again,
      freshness,
    });
    this.#outbox.add(now);
  }

  addFreshness(freshness: Removals["freshness"], now: number): void {
    this.#put({ ...this.#removals, freshness });
    this.#outbox.add(now);
  }

  holds(backupId: string): boolean {
    return this.#removals.backupIds.includes(backupId);
  }

  get dueAt(): number | null {
    const times = [this.#outbox.dueAt, ...this.#removals.again.map(({ at }) => at)].filter(
      (at) => at !== null,
    );
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Delivers what is due. May deliver it twice. */
  async flush(platform: Platform): Promise<void> {
    this.#removeAgain(platform.now());
    await this.#turns.take(() => this.#deliver(platform));
  }

  #removeAgain(now: number): void {
    const { backupIds, again, freshness } = this.#removals;
    const due = again.filter(({ at }) => at <= now);
    if (due.length === 0) return;
    const all = [...new Set([...backupIds, ...due.map(({ backupId }) => backupId)])];
    this.#put({ backupIds: all, again: again.filter(({ at }) => at > now), freshness });
    this.#outbox.add(now);
  }

  async #deliver(platform: Platform): Promise<void> {
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
      this.#put({ backupIds: left, again: after.again, freshness: pending });
      return left.length === 0 && pending === null ? "delivered" : "more";
    });
  }

  get #removals(): Removals {
    const stored = removalsSchema.safeParse(this.#storage.kv.get("removals")).data;
    return stored ?? { backupIds: [], again: [], freshness: null };
  }

  #put(removals: Removals): void {
    this.#storage.kv.put("removals", removals);
  }
}
