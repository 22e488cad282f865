import type { AccountRuns } from "../../core/account/account.ts";
import { type BackupRow, backupRow } from "../../core/backup/backup-row.ts";
import { type Manifest, readSoundManifest } from "../../core/backup/manifest.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import type { BucketFolder } from "../../core/bucket/folders.ts";
import { DEFAULT_POLICY, MANIFEST, PINNED, recordKey } from "../../core/bucket/object-keys.ts";
import { TEXT_LIMIT } from "../../core/bucket/vault.ts";
import { restoredDatabase } from "../../core/catalog/restored-database.ts";
import { describeException, failed, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { type PolicyCopy, readPolicyCopy } from "../../core/policy/policy-copy.ts";
import { iso } from "../../core/time.ts";
import { storedDefaultCopy } from "../registry/policy-copies.ts";
import { idOfFolder } from "../retention/backup-store.ts";
import type { MaintenanceStep } from "./bucket-walk.ts";
import { lookAt } from "./damage-steps.ts";
import { type MaintenanceJob, withUnreadable } from "./maintenance-job.ts";
import type { MaintenanceStore, ToRead } from "./maintenance-store.ts";

/** How many objects are read at a time, with two more reads of each; and how many of their bytes are held in memory. */
const READS = 5;
const READ_BYTES = TEXT_LIMIT;

const ROWS_COMPARED = 200;
const DATABASES_TOLD = 100;

export type PolicyKeeper = Pick<AccountRuns, "restorePolicies" | "catalogRebuilt">;

/** Makes tables that are missing. */
export async function restoreTables(
  job: MaintenanceJob,
  { repair }: Platform,
): Promise<Result<MaintenanceStep>> {
  const restored = await repair.restoreTables();
  if (!restored.ok) return restored;
  return ok({ job: { ...job, step: "listing", attempt: 0, tables: restored.value }, calls: 4 });
}

/** What was read of one object of the bucket. */
type Read =
  | { readonly kind: "backup"; readonly row: BackupRow; readonly manifest: Manifest }
  | { readonly kind: "record"; readonly record: PolicyCopy }
  | { readonly kind: "unreadable"; readonly key: string; readonly problem: string }
  | { readonly kind: "gone" };

/** Reads the next manifests and records, and writes the backups' rows to the catalogue. */
export async function readBackups(
  job: MaintenanceJob,
  store: MaintenanceStore,
  platform: Platform,
): Promise<Result<MaintenanceStep>> {
  const entries = withinBytes(store.toRead(READS));
  if (entries.length === 0) {
    return ok({ job: { ...job, step: "comparing", attempt: 0 }, calls: 0 });
  }
  const reads: Read[] = [];
  for (const answer of await Promise.all(entries.map((entry) => readEntry(entry, platform)))) {
    if (!answer.ok) return answer;
    reads.push(answer.value);
  }
  const backups = reads.filter((read) => read.kind === "backup");
  const told = await platform.repair.saveBackups(backups.map(({ row }) => row));
  if (!told.ok) return told;
  const standing = await checkWritten(backups, platform);
  if (!standing.ok) return standing;
  const unreadable = reads.filter((read) => read.kind === "unreadable");
  const next: MaintenanceJob = {
    ...job,
    attempt: 0,
    backups: job.backups + standing.value.length,
    unreadable: withUnreadable(
      job,
      unreadable.map(({ key, problem }) => ({ key, problem })),
    ),
  };
  const changes = (): void => {
    for (const { manifest } of standing.value) store.foundBackup(manifest);
    for (const read of reads) if (read.kind === "record") store.foundRecord(read.record);
    store.wasRead(entries.map(({ key }) => key));
  };
  return ok({ job: next, calls: entries.length + 2 + 3 * backups.length, changes });
}

type ReadBackup = Extract<Read, { kind: "backup" }>;

/**
 * Looks at each backup once more, now that its row is written: one that was deleted since it was read has taken its row
 * away before, and a pin may have come or gone. What happens behind this look is told to the catalogue behind it, too.
 */
async function checkWritten(
  backups: readonly ReadBackup[],
  { vault, catalog, repair }: Platform,
): Promise<Result<ReadBackup[]>> {
  const standing: ReadBackup[] = [];
  const changed: BackupRow[] = [];
  for (const backup of backups) {
    const { row } = backup;
    const [manifest, pin] = await Promise.all([
      vault.head(row.folder + MANIFEST),
      vault.head(row.folder + PINNED),
    ]);
    if (!manifest.ok) return manifest;
    if (!pin.ok) return pin;
    if (manifest.value === null) {
      const removed = await catalog.removeBackup(row.id);
      if (!removed.ok) return removed;
      continue;
    }
    standing.push(backup);
    const pinned = pin.value !== null;
    if (pinned !== row.pinned) changed.push({ ...row, pinned });
  }
  const saved = changed.length === 0 ? ok(undefined) : await repair.saveBackups(changed);
  return saved.ok ? ok(standing) : saved;
}

/** As many as may be held in memory at the same time, but at least one. */
function withinBytes(entries: readonly ToRead[]): ToRead[] {
  let bytes = 0;
  return entries.filter((entry, index) => {
    bytes += Math.min(entry.bytes, TEXT_LIMIT);
    return index === 0 || bytes <= READ_BYTES;
  });
}

async function readEntry(entry: ToRead, platform: Platform): Promise<Result<Read>> {
  const { key, folder, record } = entry;
  if (entry.bytes > TEXT_LIMIT)
    return ok({ kind: "unreadable", key, problem: `it has ${entry.bytes} bytes, too many for a manifest` });
  const text = await platform.vault.readText(key);
  if (!text.ok) return text;
  if (text.value === null) return ok({ kind: "gone" });
  if (folder !== null) return ok(backupOfManifest(text.value, { ...entry, folder }, platform));
  const read = readPolicyCopy(record ?? "", text.value);
  return ok(
    typeof read === "string" ? { kind: "unreadable", key, problem: read } : { kind: "record", record: read },
  );
}

function backupOfManifest(
  text: string,
  { key, folder, pinned }: ToRead & { folder: string },
  { codecs }: Platform,
): Read {
  const unreadable = (problem: string): Read => ({ kind: "unreadable", key, problem });
  const reading = readSoundManifest(text, idOfFolder(folder), codecs);
  if (reading.kind === "invalid") return unreadable(reading.problem);
  if (reading.kind === "newer")
    return unreadable(`it has formatVersion ${reading.formatVersion}, which this release does not know`);
  const { manifest } = reading;
  return { kind: "backup", manifest, row: backupRow(manifest, sha256Of(text, codecs), folder, pinned) };
}

/**
 * Compares the catalogue's rows with the part of the bucket that the listing has gone past. A row is removed only when
 * the bucket, asked once more, has neither a manifest there, which a run may have written in the meantime, nor anything
 * of which one can be made anew.
 */
export async function compareRows(
  job: MaintenanceJob,
  store: MaintenanceStore,
  platform: Platform,
): Promise<Result<MaintenanceStep>> {
  const { repair, catalog } = platform;
  const rows = await repair.backupsByFolder(job.comparedTo, job.compareUntil, ROWS_COMPARED);
  if (!rows.ok) return rows;
  let calls = 1;
  let removed = 0;
  let comparedTo = job.comparedTo;
  let finished = rows.value.length < ROWS_COMPARED;
  for (const { id, folder } of rows.value) {
    if (!store.holdsBackup(folder)) {
      if (calls > 2 * READS) {
        finished = false;
        break;
      }
      const left = await lookAt(folder, platform);
      if (!left.ok) return left;
      calls += 2;
      if (left.value === null || (left.value !== "backup" && !isRemainder(left.value))) {
        const gone = await catalog.removeBackup(id);
        if (!gone.ok) return gone;
        calls += 1;
        removed += 1;
      }
    }
    comparedTo = `${folder}\u0000`;
  }
  const next: MaintenanceJob = { ...job, attempt: 0, removed: job.removed + removed, comparedTo };
  if (!finished) return ok({ job: next, calls });
  const step = job.listed ? "databases" : "listing";
  const onwards: MaintenanceJob = { ...next, step, comparedTo: job.compareUntil ?? comparedTo };
  return ok({ job: onwards, calls, changes: () => store.endPage() });
}

/** A backup's row can help to repair what is left of the backup, so the row stays. */
function isRemainder({ volumes, finished }: BucketFolder): boolean {
  return volumes > 0 || finished;
}

/** Tells the catalogue of the next databases, and the account's object of what policies the bucket remembers of them. */
export async function tellDatabases(
  job: MaintenanceJob,
  store: MaintenanceStore,
  platform: Platform,
  account: PolicyKeeper,
): Promise<Result<MaintenanceStep>> {
  const since = iso(job.startedAt);
  const found = store.untold(DATABASES_TOLD);
  if (found.length === 0) {
    const cleared = await platform.repair.forgetFreshness(since);
    if (!cleared.ok) return cleared;
    const shared = await storedDefaultCopy(platform);
    if (!shared.ok && shared.failure.code !== "policy-unreadable") return shared;
    const copy = shared.ok ? shared.value : null;
    const told = await quietly(() => account.catalogRebuilt(copy));
    if (!told.ok) return told;
    const key = recordKey(platform.settings.keyPrefix, DEFAULT_POLICY);
    const unreadable = shared.ok ? [] : [{ key, problem: shared.failure.detail }];
    const done: MaintenanceJob = {
      ...job,
      step: "done",
      attempt: 0,
      unreadable: withUnreadable(job, unreadable),
    };
    return ok({ job: done, calls: 3 });
  }
  const rows = found.map(restoredDatabase).filter((row) => row !== null);
  const told = await platform.repair.saveDatabases(rows, since);
  if (!told.ok) return told;
  const copies = found.flatMap(({ record }) => (record === null ? [] : [record]));
  if (copies.length > 0) {
    const restored = await quietly(() => account.restorePolicies(copies));
    if (!restored.ok) return restored;
  }
  const next: MaintenanceJob = { ...job, attempt: 0, databases: job.databases + rows.length };
  return ok({ job: next, calls: 2, changes: () => store.told(found.map(({ id }) => id)) });
}

/** Reports to the account's object, or returns a retryable failure. */
async function quietly(tell: () => Promise<void>): Promise<Result<void>> {
  try {
    return ok(await tell());
  } catch (error) {
    return failed({
      code: "account-silent",
      detail: `The account's object did not accept the policies: ${describeException(error)}`,
      hint: "It is tried again. If this persists, look at the Worker's logs.",
      retryable: true,
    });
  }
}
