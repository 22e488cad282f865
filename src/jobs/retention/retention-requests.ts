import type { Coordinator } from "../../core/account/coordinator.ts";
import { backupRow } from "../../core/backup/backup-row.ts";
import type { DeletionAnswer } from "../../core/backup/deletion.ts";
import { type Manifest, readManifest } from "../../core/backup/manifest.ts";
import {
  retain,
  type RetainedBackup,
  type Retention,
  type RetentionPlan,
} from "../../core/backup/retention.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import { folderName, MANIFEST, PINNED } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { CatalogOutbox } from "../database/catalog-outbox.ts";
import type { RunStore } from "../database/run-store.ts";
import { storedCopyOf } from "../registry/policy-copies.ts";
import { idOfFolder, isWalked, nameOfFolder, type Walk } from "./backup-store.ts";
import type { DatabaseRetention } from "./database-retention.ts";
import { type Deletion, viewDeletion } from "./deletion-store.ts";

/** What somebody asks of a database's object about its backups. */
export interface Asked {
  readonly retention: DatabaseRetention;
  readonly store: RunStore;
  readonly platform: Platform;
  readonly coordinator: Coordinator;
}

export function deleteBackup(
  asked: Asked,
  databaseId: string,
  folder: string,
  evenLast: boolean,
): Promise<Result<DeletionAnswer>> {
  const { retention, platform } = asked;
  return retention.alone(async () => {
    const found = await findStored(databaseId, folder, platform);
    if (!found.ok) return found;
    if (found.value === null) return ok({ kind: "not-there" });
    const { etag, manifest } = found.value;
    if (!evenLast) {
      const all = await everyBackup(asked, manifest.database);
      if (!all.ok) return all;
      if (!all.value.some(({ id }) => id !== manifest.backupId)) return ok({ kind: "last" });
    }
    return carryOut(asked, { databaseId, folder, etag });
  });
}

/** Deletes what is left of a backup that has lost its manifest. Its row goes as well. */
export function deleteRemains(
  asked: Asked,
  databaseId: string,
  folder: string,
): Promise<Result<DeletionAnswer>> {
  const { retention, platform } = asked;
  return retention.alone(async () => {
    const pinned = await platform.vault.head(folder + PINNED);
    if (!pinned.ok) return pinned;
    if (pinned.value !== null) return ok({ kind: "pinned" });
    // The manifest exists again, so nothing is deleted.
    return carryOut(asked, { databaseId, folder, etag: "" });
  });
}

/** Deletes on request. A deletion that has started but not finished continues automatically. */
async function carryOut(
  { retention, platform, coordinator }: Asked,
  backup: Pick<Deletion, "databaseId" | "folder" | "etag">,
): Promise<Result<DeletionAnswer>> {
  const { folder } = backup;
  const before = retention.deletions.get(folder);
  const deletion = retention.deletions.request(backup, platform.now());
  const removed = await retention.carryOut(deletion, platform);
  await retention.follow(platform, coordinator);
  if (removed.ok) {
    if (removed.value === "altered") return failed(altered(idOfFolder(folder)));
    return ok({ kind: removed.value === "pinned" ? "pinned" : "deleted" });
  }
  const left = retention.deletions.get(folder) ?? deletion;
  if (removed.failure.code !== "stored-object-locked" || left.manifestGone)
    return ok({ kind: "begun", deletion: viewDeletion(left) });
  // Nothing was deleted, and the caller is told so: it must not happen on a later day without them knowing.
  if (before === null) retention.deletions.withdraw(folder, platform.now());
  else retention.deletions.put(before);
  return ok({ kind: "refused", detail: removed.failure.detail });
}

export function setPinned(
  { retention, store, platform }: Asked,
  databaseId: string,
  folder: string,
  pinned: boolean,
): Promise<Result<"done" | "not-there">> {
  return retention.alone(async () => {
    const found = await findStored(databaseId, folder, platform);
    if (!found.ok) return found;
    if (found.value === null) return ok("not-there");
    const { manifest, manifestSha256 } = found.value;
    const key = folder + PINNED;
    // Looked for first: a lock rule refuses to overwrite one that is there already.
    const standing = await platform.vault.head(key);
    if (!standing.ok) return standing;
    if (pinned !== (standing.value !== null)) {
      const done = pinned ? await platform.vault.put(key, "") : await platform.vault.remove([key]);
      if (!done.ok) return done;
    }
    const outbox = new CatalogOutbox(store, platform);
    store.together(() => {
      retention.backups.addNames([nameOfFolder(folder)]);
      retention.backups.setPinned(folder, pinned);
      if (pinned) retention.deletions.drop(folder);
      outbox.addBackup(backupRow(manifest, manifestSha256, folder, pinned));
    });
    await outbox.flush();
    return ok("done");
  });
}

export function previewRetention(
  asked: Asked,
  database: { id: string; name: string | null },
  rules: Retention,
): Promise<Result<RetentionPlan>> {
  const { retention, platform } = asked;
  return retention.alone(async () => {
    const all = await everyBackup(asked, database);
    return all.ok ? ok(retain(all.value, rules, platform.now())) : all;
  });
}

/**
 * All backups of the database that the bucket holds, by a walk of its own: what it reads of manifests stays known, so
 * that none is read twice. To be called `alone`.
 */
async function everyBackup(
  { retention, platform }: Asked,
  database: { id: string; name: string | null },
): Promise<Result<RetainedBackup[]>> {
  const { backups: stored } = retention;
  const copy =
    database.name !== null || stored.names.length > 0 ? null : await storedCopyOf(database.id, platform);
  if (copy !== null && !copy.ok) return copy;
  const name = database.name ?? copy?.value?.databaseName ?? null;
  if (name !== null) stored.addNames([folderName(name)]);
  let walk: Walk = stored.begin();
  while (!isWalked(walk)) {
    const page = await stored.page(walk, platform);
    if (!page.ok) return page;
    walk = page.value;
  }
  const read = await stored.read(stored.unread, platform);
  return read.ok ? ok(stored.backupsOf(database.id)) : failed(stillReading(read.failure, stored.unread));
}

interface StoredBackup {
  readonly etag: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
}

/** A backup of this database, as it is in the bucket. */
async function findStored(
  databaseId: string,
  folder: string,
  { vault, codecs }: Platform,
): Promise<Result<StoredBackup | null>> {
  const head = await vault.head(folder + MANIFEST);
  if (!head.ok) return head;
  const text = head.value === null ? ok(null) : await vault.readText(folder + MANIFEST);
  if (!text.ok) return text;
  if (head.value === null || text.value === null) return ok(null);
  const reading = readManifest(text.value);
  const ours =
    reading.kind === "manifest" &&
    reading.manifest.database.id === databaseId &&
    reading.manifest.backupId === idOfFolder(folder);
  if (!ours) return failed(notOfThisDatabase(idOfFolder(folder)));
  const manifestSha256 = sha256Of(text.value, codecs);
  return ok({ etag: head.value.etag, manifest: reading.manifest, manifestSha256 });
}

function stillReading(failure: Failure, unread: number): Failure {
  return {
    ...failure,
    detail: `${unread} manifests remain to be read. ${failure.detail}`,
    hint: "Send the request again; it continues where it stopped.",
  };
}

function altered(backupId: string): Failure {
  return {
    code: "stored-object-altered",
    detail: `The manifest of backup ${backupId} changed just before the deletion. Nothing was deleted.`,
    hint: "Check whether another tool writes to the bucket, look at the backup, and try again.",
    retryable: true,
  };
}

function notOfThisDatabase(backupId: string): Failure {
  return {
    code: "manifest-conflict",
    detail: `The manifest in the folder of ${backupId} belongs to another backup; it may be a copy.`,
    hint: "d1-nightly does not touch such a folder. Delete it by hand if you do not need it.",
    retryable: false,
  };
}
