import { z } from "zod";
import type { DatabaseReport } from "../../core/account/coordinator.ts";
import { backoffMs } from "../../core/backoff.ts";
import { describeException } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";

/**
 * What a database's object has found out beyond single runs. The account's object is told of it, and keeps the copy in
 * the bucket. Times are milliseconds since the epoch.
 */
const recordSchema = z.object({
  databaseId: z.string(),
  databaseName: z.string(),
  unchanged: z.object({ backupId: z.string(), checkedAt: z.number() }).nullable(),
  unchangedOff: z.object({ at: z.number(), detail: z.string() }).nullable(),
  examinedAt: z.number().nullable(),
});
export type DatabaseRecord = z.infer<typeof recordSchema>;

export type RecordChange = Partial<Omit<DatabaseRecord, "databaseId" | "databaseName">>;

const owedSchema = z.object({ attempt: z.number().int(), dueAt: z.number().int(), serial: z.number().int() });

export class RecordStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  read(database: { id: string; name: string }): DatabaseRecord {
    const stored = recordSchema.safeParse(this.#storage.kv.get("record"));
    if (stored.success) return { ...stored.data, databaseName: database.name };
    return {
      databaseId: database.id,
      databaseName: database.name,
      unchanged: null,
      unchangedOff: null,
      examinedAt: null,
    };
  }

  /** The record as it stands; null for a database of which nothing is known yet. */
  get known(): DatabaseRecord | null {
    return recordSchema.safeParse(this.#storage.kv.get("record")).data ?? null;
  }

  /** Changes these fields of the record as it is now. */
  change(database: { id: string; name: string }, change: RecordChange, now: number): void {
    this.#storage.kv.put("record", { ...this.read(database), ...change });
    this.oweReport(now);
  }

  /** The account's object has to be told: of a run that began or ended, or of what was found. */
  oweReport(now: number): void {
    const serial = (this.#owed?.serial ?? 0) + 1;
    this.#storage.kv.put("report", { attempt: 0, dueAt: now, serial });
  }

  get reportDueAt(): number | null {
    return this.#owed?.dueAt ?? null;
  }

  /** Reports, when that is due. May report twice. */
  async flush(
    report: () => DatabaseReport | null,
    tell: (report: DatabaseReport) => Promise<void>,
    platform: Platform,
  ): Promise<void> {
    const owed = this.#owed;
    if (owed === null || owed.dueAt > platform.now()) return;
    const told = report();
    try {
      if (told !== null) await tell(told);
    } catch (error) {
      console.error({ event: "report-failed", detail: describeException(error) });
      const dueAt = platform.now() + backoffMs(owed.attempt, platform.random(), 2_000, 300_000);
      if (this.#owed?.serial === owed.serial)
        this.#storage.kv.put("report", { ...owed, attempt: owed.attempt + 1, dueAt });
      return;
    }
    // What was changed while we waited is told next.
    if (this.#owed?.serial === owed.serial) this.#storage.kv.delete("report");
  }

  get #owed(): z.infer<typeof owedSchema> | null {
    return owedSchema.safeParse(this.#storage.kv.get("report")).data ?? null;
  }
}
