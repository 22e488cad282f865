import { z } from "zod";
import { backoffMs } from "../../core/backoff.ts";
import type { DeletionView } from "../../core/backup/deletion.ts";
import type { Notice } from "../../core/catalog/database-row.ts";
import type { Failure } from "../../core/failure.ts";
import { iso } from "../../core/time.ts";
import { idOfFolder, type StoredBackup } from "./backup-store.ts";

/** A backup that is to be deleted: in the object's storage, as `deletion/{folder}`, from before the first effect until after the last. */
const deletionSchema = z.object({
  databaseId: z.string(),
  folder: z.string(),
  /** The manifest that was decided about: another one is left alone. */
  etag: z.string(),
  by: z.enum(["retention", "request"]),
  /** When retention has last decided so. */
  decidedAt: z.number().int(),
  manifestGone: z.boolean(),
  /** It was tried and is not wanted any more: the manifest, which may be gone all the same, is looked for once more. */
  withdrawn: z.boolean().default(false),
  attempt: z.number().int(),
  triedAt: z.number().int().nullable(),
  dueAt: z.number().int(),
  since: z.number().int(),
  /** Why the latest try failed. */
  problem: z.string().nullable(),
  /** The bucket itself refuses. */
  refused: z.boolean(),
});
export type Deletion = z.infer<typeof deletionSchema>;

/** Retention's decisions are carried out immediately. If one fails, the policy at that later time decides again. */
const DECISION_HOLDS_MS = 60 * 60_000;

/** A lock rule ends on some day. */
const REFUSED_AGAIN_MS = 24 * 60 * 60_000;

/** After so many tries in a row, a failure no longer counts as temporary. */
const TOLD_AFTER = 3;

const PREFIX = "deletion/";

export class DeletionStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  get(folder: string): Deletion | null {
    return deletionSchema.safeParse(this.#storage.kv.get(PREFIX + folder)).data ?? null;
  }

  put(deletion: Deletion): void {
    this.#storage.kv.put(PREFIX + deletion.folder, deletion);
  }

  drop(folder: string): void {
    this.#storage.kv.delete(PREFIX + folder);
  }

  /** Withdraws a deletion. After an error, it is unknown what the bucket has deleted. */
  withdraw(folder: string, now: number): void {
    const deletion = this.get(folder);
    if (deletion === null || deletion.manifestGone) return;
    if (deletion.triedAt === null) this.drop(folder);
    else this.put({ ...deletion, withdrawn: true, attempt: 0, dueAt: now });
  }

  /** Somebody asks for it, now. */
  request(backup: Pick<Deletion, "databaseId" | "folder" | "etag">, now: number): Deletion {
    const deletion: Deletion = { ...newDeletion(backup, now), by: "request" };
    this.put(deletion);
    return deletion;
  }

  /**
   * Retention has decided: these backups go. What it had decided before and does not any more stays, unless its
   * manifest is gone. Without `more`, nothing is added to what had been decided before.
   */
  decide(databaseId: string, backups: readonly StoredBackup[], more: boolean, now: number): void {
    const wanted = new Map(backups.map((backup) => [backup.folder, backup]));
    for (const before of this.all()) {
      const backup = wanted.get(before.folder);
      wanted.delete(before.folder);
      if (before.by === "request" || before.manifestGone) continue;
      if (backup === undefined) this.withdraw(before.folder, now);
      else this.put({ ...before, etag: backup.etag, decidedAt: now, withdrawn: false });
    }
    if (!more) return;
    for (const { folder, etag } of wanted.values()) this.put(newDeletion({ databaseId, folder, etag }, now));
  }

  /** Those to be carried out now. */
  due(now: number): Deletion[] {
    return this.all().filter((deletion) => deletion.dueAt <= now && !isStale(deletion, now));
  }

  /** Whether a deletion is due that has to be decided again. */
  needsDecision(now: number): boolean {
    return this.all().some((deletion) => deletion.dueAt <= now && isStale(deletion, now));
  }

  /** Those that have to be decided about anew wait while somebody is `deciding`. */
  nextDue(now: number, deciding: boolean): number | null {
    const waiting = this.all().filter((deletion) => !deciding || !isStale(deletion, now));
    const times = waiting.map(({ dueAt }) => dueAt);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** The same again later. */
  postpone(folder: string, failure: Failure, now: number, random: number): void {
    const deletion = this.get(folder);
    if (deletion === null) return;
    const refused = failure.code === "stored-object-locked";
    const delay = refused ? REFUSED_AGAIN_MS : backoffMs(deletion.attempt, random, 10_000, 3_600_000);
    this.put({
      ...deletion,
      attempt: deletion.attempt + 1,
      triedAt: now,
      dueAt: now + delay,
      since: refused && !deletion.refused ? now : deletion.since,
      problem: failure.detail,
      refused,
    });
  }

  /** For health: what the bucket refuses to delete, and what has failed several times. */
  notices(): Notice[] {
    const all = this.all().filter(({ withdrawn }) => !withdrawn);
    const refused = all.filter((deletion) => deletion.refused);
    const failing = all.filter((deletion) => !deletion.refused && deletion.attempt >= TOLD_AFTER);
    return [
      ...notice("deletion-refused", "The bucket refuses to delete", refused),
      ...notice("deletion-failing", "It fails to delete", failing),
    ];
  }

  all(): Deletion[] {
    return Array.from(this.#storage.kv.list({ prefix: PREFIX }), ([, value]) => deletionSchema.parse(value));
  }
}

export function viewDeletion({ refused, problem, since }: Deletion): DeletionView {
  return { state: refused ? "refused" : "pending", detail: problem, since: iso(since) };
}

function newDeletion(backup: Pick<Deletion, "databaseId" | "folder" | "etag">, now: number): Deletion {
  return {
    ...backup,
    by: "retention",
    decidedAt: now,
    manifestGone: false,
    withdrawn: false,
    attempt: 0,
    triedAt: null,
    dueAt: now,
    since: now,
    problem: null,
    refused: false,
  };
}

/**
 * A backup is not deleted by a decision of yesterday: the policy may have been widened since. What is no backup any
 * more, and what somebody has asked for, needs no decision.
 */
function isStale({ by, manifestGone, withdrawn, triedAt, decidedAt }: Deletion, now: number): boolean {
  if (by === "request" || manifestGone || withdrawn) return false;
  return now - decidedAt > DECISION_HOLDS_MS || (triedAt !== null && triedAt >= decidedAt);
}

function notice(kind: string, what: string, deletions: readonly Deletion[]): Notice[] {
  const [first] = deletions;
  if (first === undefined) return [];
  const more = deletions.length === 1 ? "" : ` and ${deletions.length - 1} more`;
  const detail = `${what} backup ${idOfFolder(first.folder)}${more}: ${first.problem ?? ""}`;
  return [{ kind, detail }];
}
