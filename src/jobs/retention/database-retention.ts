import { z } from "zod";
import type { Coordinator } from "../../core/account/coordinator.ts";
import { backoffMs } from "../../core/backoff.ts";
import type { DeletionView } from "../../core/backup/deletion.ts";
import { retain } from "../../core/backup/retention.ts";
import type { Notice } from "../../core/catalog/database-row.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { isOver } from "../../core/run/run.ts";
import { CatalogOutbox } from "../database/catalog-outbox.ts";
import type { RecordStore } from "../database/database-record.ts";
import { leftoverNotices } from "../database/leftovers.ts";
import type { RunStore } from "../database/run-store.ts";
import { BackupStore, idOfFolder, isWalked, nameOfFolder, walkSchema } from "./backup-store.ts";
import { type Deletion, DeletionStore, viewDeletion } from "./deletion-store.ts";
import { succession } from "./latest-backup.ts";
import { RemovalOutbox } from "./removal-outbox.ts";
import { type Removal, removeBackup } from "./remove-backup.ts";

/**
 * A look at all that the bucket holds of the database, over as many alarms as it takes. Only one that has seen
 * everything decides anything: whatever cannot be listed or read makes it begin again.
 */
const roundSchema = z.object({
  databaseId: z.string(),
  /** A run was complete: it made this backup, and a walk that does not come by it has not seen everything. */
  prune: z.string().nullable(),
  /** Failed deletions are due again. */
  confirm: z.boolean(),
  /** The latest backup was deleted: another one is the latest now. */
  succeed: z.boolean(),
  walk: walkSchema,
  attempt: z.number().int(),
  dueAt: z.number().int(),
  problem: z.string().nullable(),
});
type Round = z.infer<typeof roundSchema>;

/** The free plan allows 50 subrequests an invocation: so many go into one step, less where the last bit is large. */
const STEP_REQUESTS = 30;
const READ_AT_ONCE = 10;
/** A deletion takes six. */
const DELETION_REQUESTS = 6;

/** After so many failures in a row, health shows a round's problem. */
const TOLD_AFTER = 3;
const OWN_NOTICES = [
  "deletion-refused",
  "deletion-failing",
  "retention-failing",
  "retention-unreadable",
  "leftovers-failing",
];

/** Retention of a database's backups. The bucket is the truth: nothing is deleted because of the catalogue. */
export class DatabaseRetention {
  readonly backups: BackupStore;
  readonly deletions: DeletionStore;
  readonly #removals: RemovalOutbox;
  readonly #storage: DurableObjectStorage;
  readonly #store: RunStore;
  readonly #records: RecordStore;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(storage: DurableObjectStorage, store: RunStore, records: RecordStore) {
    this.#storage = storage;
    this.#store = store;
    this.#records = records;
    this.backups = new BackupStore(storage);
    this.deletions = new DeletionStore(storage);
    this.#removals = new RemovalOutbox(storage, store.catalogTurns);
  }

  /** One bounded step of whatever is due. A run comes first: its polls must not come late. */
  async step(platform: Platform, coordinator: Coordinator): Promise<void> {
    const due = this.nextDue(platform.now());
    if (due !== null && due <= platform.now())
      await this.alone(() => this.#work(platform, coordinator, STEP_REQUESTS));
    this.showNotices(platform);
  }

  /** When there is something to do next; null when nothing is left. */
  nextDue(now: number): number | null {
    const run = this.#store.run(now);
    const working = run === null || isOver(run);
    const times = [
      this.#removals.dueAt,
      working && this.#store.pruningWanted !== null ? now : null,
      working ? (this.#round?.dueAt ?? null) : null,
      working ? this.deletions.nextDue(now, this.#round !== null) : null,
    ].filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** For health. */
  notices(): Notice[] {
    const round = this.#round;
    const failing = round !== null && round.attempt >= TOLD_AFTER;
    const detail = `Retention cannot decide which backups to keep: ${round?.problem ?? ""}`;
    return [
      ...this.deletions.notices(),
      ...leftoverNotices(this.#store.leftovers),
      ...(failing ? [{ kind: "retention-failing", detail }] : []),
      ...unreadNotice(this.backups.unreadable),
    ];
  }

  /** The database's row says what these notices are, from the moment at which they change. */
  showNotices(platform: Platform): void {
    const { row } = this.#store;
    if (row === null) return;
    const others = row.notices.filter(({ kind }) => !OWN_NOTICES.includes(kind));
    const notices = [...others, ...this.notices()];
    if (JSON.stringify(notices) === JSON.stringify(row.notices)) return;
    const writtenAt = new Date(platform.now()).toISOString();
    new CatalogOutbox(this.#store, platform).addRow({ ...row, notices, writtenAt });
  }

  deletionOf(backupId: string): DeletionView | null {
    const deletion = this.deletions.all().find(({ folder }) => idOfFolder(folder) === backupId);
    return deletion === undefined || deletion.withdrawn ? null : viewDeletion(deletion);
  }

  /** Whether this object is deleting a folder, or still has to report the deletion to the catalogue. */
  isDeleting(folder: string): boolean {
    return this.deletions.get(folder) !== null || this.#removals.holds(idOfFolder(folder));
  }

  /** Runs deletions, pins and rounds one after the other, because an alarm and requests may work at the same time. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Carries out a deletion as far as possible. Later steps retry the rest. */
  async carryOut(deletion: Deletion, platform: Platform): Promise<Result<Removal>> {
    const removed = await removeBackup(deletion, platform, () => {
      this.#manifestGone(deletion, platform);
    });
    if (removed.ok) this.deletions.drop(deletion.folder);
    else {
      this.deletions.postpone(deletion.folder, removed.failure, platform.now(), platform.random());
      const { code, detail } = removed.failure;
      console.error({ event: "deletion-failed", backup: idOfFolder(deletion.folder), code, detail });
    }
    return removed;
  }

  /** After a deletion on request: finds the latest backup again, and updates the catalogue. */
  async follow(platform: Platform, coordinator: Coordinator): Promise<void> {
    if (this.#round?.succeed === true) await this.#advance(platform, coordinator, STEP_REQUESTS);
    await this.#removals.flush(platform);
  }

  async #work(platform: Platform, coordinator: Coordinator, requests: number): Promise<void> {
    await this.#removals.flush(platform);
    const run = this.#store.run(platform.now());
    if (run !== null && !isOver(run)) return;
    this.#begin(platform);
    let left = requests;
    const round = this.#round;
    if (round !== null && round.dueAt <= platform.now())
      left = await this.#advance(platform, coordinator, left);
    await this.#reconsider(platform, coordinator);
    for (const deletion of this.deletions.due(platform.now())) {
      if (left < DELETION_REQUESTS) break;
      left -= DELETION_REQUESTS;
      await this.carryOut(deletion, platform);
    }
    await this.#removals.flush(platform);
  }

  /** Drops what retention has decided and would not decide by the policy of now: somebody may have widened it. */
  async #reconsider(platform: Platform, coordinator: Coordinator): Promise<void> {
    const now = platform.now();
    const decided = this.deletions
      .due(now)
      .filter(({ by, manifestGone, withdrawn }) => by === "retention" && !manifestGone && !withdrawn);
    const [first] = decided;
    if (first === undefined) return;
    const policy = await coordinator.policy(first.databaseId);
    if (!policy.ok) {
      for (const { folder } of decided)
        this.deletions.postpone(folder, policy.failure, now, platform.random());
      return;
    }
    const { remove } = retain(this.backups.backupsOf(first.databaseId), policy.value.retention, now);
    const removed = new Set(remove.map(({ backupId }) => backupId));
    for (const { folder } of decided)
      if (!removed.has(idOfFolder(folder))) this.deletions.withdraw(folder, now);
  }

  /** Begins a round when there is something to decide. */
  #begin({ now }: Platform): void {
    const wanted = this.#store.pruningWanted;
    const confirm = this.deletions.needsDecision(now());
    const before = this.#round;
    if (wanted === null && (!confirm || before?.confirm === true)) return;
    const databaseId =
      wanted?.databaseId ?? this.deletions.all()[0]?.databaseId ?? before?.databaseId ?? null;
    if (databaseId === null) return;
    const made = wanted?.backupIds ?? [];
    this.#store.together(() => {
      const known = [...made, this.#store.last?.backupId ?? null].filter((id) => id !== null);
      this.backups.addNames(known.map((id) => id.slice(0, id.lastIndexOf("."))));
      this.#store.pruningBegun();
      this.#round = {
        databaseId,
        prune: made.at(-1) ?? before?.prune ?? null,
        confirm: confirm || before?.confirm === true,
        succeed: before?.succeed === true,
        walk: this.backups.begin(),
        attempt: 0,
        dueAt: now(),
        problem: null,
      };
    });
  }

  /** Goes on with the round; returns how many of the requests are left. */
  async #advance(platform: Platform, coordinator: Coordinator, requests: number): Promise<number> {
    let left = requests;
    for (let round = this.#round; round !== null && left > 0; round = this.#round) {
      const unread = isWalked(round.walk) ? this.backups.unread : 0;
      const done = !isWalked(round.walk)
        ? await this.backups.page(round.walk, platform, (walk) => this.#saveRound({ ...round, walk }))
        : unread > 0
          ? await this.backups.read(Math.min(left, READ_AT_ONCE), platform)
          : await this.#decide(round, platform, coordinator);
      left -= Math.max(1, Math.min(unread, left, READ_AT_ONCE));
      if (!done.ok) {
        this.#beginAgain(round, done.failure, platform);
        return 0;
      }
    }
    return left;
  }

  async #decide(round: Round, platform: Platform, coordinator: Coordinator): Promise<Result<void>> {
    const { databaseId, prune, confirm, succeed } = round;
    const backups = this.backups.backupsOf(databaseId);
    if (prune !== null && this.#isLast(prune) && !backups.some(({ id }) => id === prune))
      return failed(notSeen(prune));
    const policy = prune !== null || confirm ? await coordinator.policy(databaseId) : null;
    if (policy !== null && !policy.ok) return policy;
    const next = succeed ? await succession(backups, this.#records, platform) : null;
    if (next !== null && !next.ok) return next;
    this.#store.together(() => {
      const now = platform.now();
      if (policy !== null) {
        const { remove } = retain(backups, policy.value.retention, now);
        const removed = new Set(remove.map(({ backupId }) => backupId));
        const decided = backups.filter(({ id }) => removed.has(id));
        this.deletions.decide(databaseId, decided, prune !== null, now);
      }
      // A run may have made a backup meanwhile: that is the latest one then.
      if (next !== null && this.#store.last === null) {
        const { last, freshAt } = next.value;
        const lastBackupId = last?.backupId ?? null;
        const writtenAt = new Date(now).toISOString();
        this.#store.last = last;
        this.#records.addReport(now);
        const { row } = this.#store;
        if (row !== null) {
          const notices =
            last === null
              ? [...row.notices.filter(({ kind }) => kind !== NOTHING_LEFT.kind), NOTHING_LEFT]
              : row.notices;
          new CatalogOutbox(this.#store, platform).addRow({
            ...row,
            freshAt,
            lastBackupId,
            notices,
            writtenAt,
          });
        }
        this.#removals.addFreshness({ databaseId, freshAt, lastBackupId, writtenAt }, now);
      }
      this.#round = null;
    });
    return ok(undefined);
  }

  #isLast(backupId: string): boolean {
    return this.#store.last?.backupId === backupId;
  }

  /** Nothing was decided: whatever was seen so far is looked at again. */
  #beginAgain(round: Round, { code, detail }: Failure, platform: Platform): void {
    console.error({ event: "retention-failed", database: round.databaseId, code, detail });
    const delay = backoffMs(round.attempt, platform.random(), 10_000, 3_600_000);
    const again = { attempt: round.attempt + 1, dueAt: platform.now() + delay, problem: detail };
    this.#store.together(() => {
      this.#round = { ...round, walk: this.backups.begin(), ...again };
    });
  }

  /** From here on it is no longer a backup, even if deleting the rest fails. */
  #manifestGone({ folder, databaseId }: Deletion, platform: Platform): void {
    const now = platform.now();
    const backupId = idOfFolder(folder);
    this.#store.together(() => {
      const deletion = this.deletions.get(folder);
      if (deletion !== null) this.deletions.put({ ...deletion, manifestGone: true });
      this.backups.forget(folder);
      this.#store.keptManifests.forget(folder);
      const unsure = this.#store.catalogRows.backups[backupId] !== undefined;
      this.#removals.addBackup(backupId, unsure, now);
      new CatalogOutbox(this.#store, platform).withdrawBackup(backupId);
      const record = this.#records.known;
      if (record !== null && record.unchanged?.backupId === backupId)
        this.#records.change({ id: databaseId, name: record.databaseName }, { unchanged: null }, now);
      if (!this.#isLast(backupId)) return;
      this.#store.last = null;
      this.#records.addReport(now);
      // An active preflight may just have confirmed this backup, which must not count.
      const run = this.#store.run(now);
      if (run !== null && run.phase.at === "preflight") this.#store.save(run, now);
      this.backups.addNames([nameOfFolder(folder)]);
      const before = this.#round;
      this.#round = {
        ...(before ?? { databaseId, prune: null, confirm: false, attempt: 0, problem: null }),
        succeed: true,
        walk: this.backups.begin(),
        dueAt: now,
      };
    });
  }

  get #round(): Round | null {
    return roundSchema.safeParse(this.#storage.kv.get("round")).data ?? null;
  }

  set #round(round: Round | null) {
    if (round === null) this.#storage.kv.delete("round");
    else this.#storage.kv.put("round", round);
  }

  #saveRound(round: Round): void {
    this.#round = round;
  }
}

/** A list of the bucket that lacks a backup that was just written must not lead to deletions. */
function notSeen(backupId: string): Failure {
  return {
    code: "stored-object-missing",
    detail: `The bucket's list lacks backup ${backupId}, which was just made.`,
    hint: "Check whether another tool deletes from the bucket. Retention deletes nothing until the list has the backup.",
    retryable: true,
  };
}

/** Gone with the next complete backup. */
const NOTHING_LEFT: Notice = {
  kind: "no-backup-left",
  detail: "The last backup of this database was deleted, and no other is left.",
};

/** Backups that are neither counted nor deleted. */
function unreadNotice(folders: readonly string[]): Notice[] {
  const [first] = folders;
  if (first === undefined) return [];
  const more = folders.length === 1 ? "" : ` and of ${folders.length - 1} more`;
  const detail = `The manifest of ${idOfFolder(first)}${more} was altered, or is from a newer release. Retention neither counts nor deletes such a backup.`;
  return [{ kind: "retention-unreadable", detail }];
}
