import { z } from "zod";
import { backoffMs } from "../core/backoff.ts";
import { recordKey } from "../core/object-keys.ts";
import { policySchema } from "../core/policy.ts";
import type { DatabaseStatus, Platform } from "../core/ports.ts";
import { iso } from "../core/run.ts";
import type { CommittedBackup } from "./step.ts";

/**
 * What a database's object knows beyond single runs: its policy, and what checks have found. A copy of it lies in
 * the bucket, so that the catalogue can be rebuilt. Times are milliseconds since the epoch.
 */
const recordSchema = z.object({
  databaseId: z.string(),
  databaseName: z.string(),
  policy: policySchema,
  unchanged: z.object({ backupId: z.string(), checkedAt: z.number() }).nullable(),
  unchangedOff: z.object({ at: z.number(), detail: z.string() }).nullable(),
  examinedAt: z.number().nullable(),
});
export type DatabaseRecord = z.infer<typeof recordSchema>;

export type RecordChange = Partial<Omit<DatabaseRecord, "databaseId" | "databaseName">>;

const mirrorSchema = z.object({ attempt: z.number().int(), dueAt: z.number().int() });

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
      policy: {},
      unchanged: null,
      unchangedOff: null,
      examinedAt: null,
    };
  }

  /** The record as it stands; null for a database of which nothing is known yet. */
  get known(): DatabaseRecord | null {
    return recordSchema.safeParse(this.#storage.kv.get("record")).data ?? null;
  }

  /**
   * Changes these fields of the record as it is now, and notes that the bucket's copy has to follow. A step knows the
   * record as it was when the step began, and a policy may have been set since: so it hands in what it has found, and
   * never the whole.
   */
  change(database: { id: string; name: string }, change: RecordChange, now: number): void {
    const before = this.known;
    const record = { ...this.read(database), ...change };
    if (JSON.stringify(record) === JSON.stringify(before)) return;
    this.#storage.kv.put("record", record);
    this.#storage.kv.put("mirror", { attempt: 0, dueAt: now });
  }

  get mirrorDueAt(): number | null {
    return mirrorSchema.safeParse(this.#storage.kv.get("mirror")).data?.dueAt ?? null;
  }

  /** Brings the bucket's copy up to date, when that is due. May run twice. */
  async flush(platform: Platform): Promise<void> {
    const mirror = mirrorSchema.safeParse(this.#storage.kv.get("mirror")).data;
    const record = this.known;
    if (mirror === undefined || record === null || mirror.dueAt > platform.now()) return;
    const key = recordKey(platform.settings.keyPrefix, record.databaseId);
    const text = JSON.stringify(record);
    const written = await platform.vault.put(key, `${JSON.stringify(mirrored(record), null, 2)}\n`);
    // What was changed while we waited goes out with the next flush.
    if (JSON.stringify(this.known) !== text) return;
    if (written.ok) {
      this.#storage.kv.delete("mirror");
      return;
    }
    const dueAt = platform.now() + backoffMs(mirror.attempt, platform.random(), 2_000, 300_000);
    this.#storage.kv.put("mirror", { attempt: mirror.attempt + 1, dueAt });
  }
}

/** The record as it lies in the bucket. */
function mirrored(record: DatabaseRecord): unknown {
  const { databaseId, databaseName, policy } = record;
  const { unchanged, unchangedOff, examinedAt } = shown(record);
  return { formatVersion: 1, databaseId, databaseName, policy, unchanged, unchangedOff, examinedAt };
}

export function statusOf(record: DatabaseRecord | null, last: CommittedBackup | null): DatabaseStatus {
  return { policy: record?.policy ?? {}, lastBackupId: last?.backupId ?? null, ...shown(record) };
}

function shown(
  record: DatabaseRecord | null,
): Pick<DatabaseStatus, "unchanged" | "unchangedOff" | "examinedAt"> {
  const { unchanged = null, unchangedOff = null, examinedAt = null } = record ?? {};
  return {
    unchanged:
      unchanged === null ? null : { backupId: unchanged.backupId, checkedAt: iso(unchanged.checkedAt) },
    unchangedOff: unchangedOff === null ? null : { at: iso(unchangedOff.at), detail: unchangedOff.detail },
    examinedAt: examinedAt === null ? null : iso(examinedAt),
  };
}
