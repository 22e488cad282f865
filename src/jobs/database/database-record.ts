import { z } from "zod";
import type { DatabaseReport } from "../../core/account/coordinator.ts";
import { describeException } from "../../core/failure.ts";
import { cutOffSchema } from "../../core/run/cut-off.ts";
import type { Platform } from "../../core/platform.ts";
import { examinationSchema } from "../../core/run/standing-findings.ts";
import { Outbox } from "../object/outbox.ts";

/**
 * What a database's object has found out that outlives single runs. It reports this to the account's object, which
 * keeps the copy in the bucket. Times are milliseconds since the epoch.
 */
const recordSchema = z.object({
  databaseId: z.string(),
  databaseName: z.string(),
  unchanged: z.object({ backupId: z.string(), checkedAt: z.number() }).nullable(),
  unchangedOff: z.object({ at: z.number(), detail: z.string() }).nullable(),
  examination: examinationSchema.nullable(),
  /** It is the Worker's own catalogue, which is not backed up. */
  isCatalog: z.boolean().default(false),
  /** Copying was cut off: why its runs begin lean for a while. */
  cutOff: cutOffSchema.nullable().default(null),
});
export type DatabaseRecord = z.infer<typeof recordSchema>;

export type RecordChange = Partial<Omit<DatabaseRecord, "databaseId" | "databaseName">>;

export class RecordStore {
  readonly #storage: DurableObjectStorage;
  readonly #report: Outbox;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#report = new Outbox(storage.kv, "report");
  }

  read(database: { id: string; name: string }): DatabaseRecord {
    const stored = recordSchema.safeParse(this.#storage.kv.get("record"));
    if (stored.success) return { ...stored.data, databaseName: database.name };
    return {
      databaseId: database.id,
      databaseName: database.name,
      unchanged: null,
      unchangedOff: null,
      examination: null,
      cutOff: null,
      isCatalog: false,
    };
  }

  /** The present record; null for a database about which nothing is known yet. */
  get known(): DatabaseRecord | null {
    return recordSchema.safeParse(this.#storage.kv.get("record")).data ?? null;
  }

  /** Changes these fields of the present record. */
  change(database: { id: string; name: string }, change: RecordChange, now: number): void {
    this.#storage.kv.put("record", { ...this.read(database), ...change });
    this.addReport(now);
  }

  /** Marks a report as pending, because a run began or ended, or something was found. */
  addReport(now: number): void {
    this.#report.add(now);
  }

  get reportDueAt(): number | null {
    return this.#report.dueAt;
  }

  /** Reports if that is due. May report twice. */
  async flush(
    report: () => DatabaseReport | null,
    deliver: (report: DatabaseReport) => Promise<void>,
    platform: Platform,
  ): Promise<void> {
    await this.#report.flush(platform, async () => {
      const latest = report();
      if (latest === null) return "delivered";
      try {
        await deliver(latest);
        return "delivered";
      } catch (error) {
        console.error({ event: "report-failed", detail: describeException(error) });
        return "refused";
      }
    });
  }
}
