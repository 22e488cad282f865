import { z } from "zod";
import { readSoundManifest } from "../../core/backup/manifest.ts";
import type { RetainedBackup } from "../../core/backup/retention.ts";
import type { Codecs } from "../../core/bucket/codecs.ts";
import { partsOfKey } from "../../core/bucket/folders.ts";
import { MANIFEST, PINNED } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";

/**
 * What the bucket holds of a database, as its object has last seen it. Each manifest is read once and remembered by
 * its ETag. In the object's storage:
 *
 *   names              the names that the database's folders bear: its present one, and those that it bore before
 *   walks              counts the walks through those folders
 *   stored/{folder}    a folder, and what its manifest says
 */
const storedSchema = z.object({
  /** The walk that saw it last: a backup that a complete walk does not see is gone. */
  walk: z.number().int(),
  /** The manifest's ETag; null while there is none, and with it no backup. */
  etag: z.string().nullable(),
  pinned: z.boolean(),
  read: z
    .object({
      etag: z.string(),
      /** Null when the manifest cannot be read, or is not that of its folder: it counts for nothing then. */
      backup: z.object({ databaseId: z.string(), startedAt: z.number() }).nullable(),
    })
    .nullable(),
});
type Stored = z.infer<typeof storedSchema>;

/** A way through all folders of the database, page by page. */
export const walkSchema = z.object({
  number: z.number().int(),
  names: z.array(z.string()),
  walked: z.number().int(),
  cursor: z.string().nullable(),
});
export type Walk = z.infer<typeof walkSchema>;

export interface StoredBackup extends RetainedBackup {
  readonly folder: string;
  readonly etag: string;
}

/** A Worker has six simultaneous connections. */
const READ_AT_ONCE = 5;

const PREFIX = "stored/";

export class BackupStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  get names(): string[] {
    return z.array(z.string()).parse(this.#storage.kv.get("names") ?? []);
  }

  /** Names as the folders bear them. */
  addNames(names: readonly string[]): void {
    const known = this.names;
    const all = [...new Set([...known, ...names])];
    if (all.length > known.length) this.#storage.kv.put("names", all);
  }

  /** Starts a new walk. Unreadable manifests are read again, because a newer release may be able to. */
  begin(): Walk {
    const number = z.number().parse(this.#storage.kv.get("walks") ?? 0) + 1;
    this.#storage.kv.put("walks", number);
    for (const [folder, stored] of this.#all())
      if (stored.read !== null && stored.read.backup === null) this.#put(folder, { ...stored, read: null });
    return { number, names: this.names, walked: 0, cursor: null };
  }

  /** Lists the next page. `moved` is called with how far the walk is then, together with what was seen or not at all. */
  async page(walk: Walk, platform: Platform, moved?: (walk: Walk) => void): Promise<Result<Walk>> {
    const name = walk.names[walk.walked];
    if (name === undefined) return ok(walk);
    const prefix = `${platform.settings.keyPrefix}${name}/`;
    const listed = await platform.vault.list(prefix, { folders: false, cursor: walk.cursor });
    if (!listed.ok) return listed;
    const { objects, cursor } = listed.value;
    const next = cursor === null ? { ...walk, walked: walk.walked + 1, cursor } : { ...walk, cursor };
    this.#storage.transactionSync(() => {
      for (const { key, etag } of objects) {
        const place = partsOfKey(platform.settings.keyPrefix, key);
        if (place?.kind === "folder") this.#see(place.folder, place.file, etag, walk.number);
      }
      if (isWalked(next)) {
        for (const [folder, stored] of this.#all())
          if (stored.walk < walk.number) this.#storage.kv.delete(PREFIX + folder);
      }
      moved?.(next);
    });
    return ok(next);
  }

  /** How many manifests have still to be read. */
  get unread(): number {
    return this.#all().filter(([, stored]) => isUnread(stored)).length;
  }

  /** Reads some manifests that are new or have changed. */
  async read(atMost: number, { vault, codecs }: Platform): Promise<Result<void>> {
    const unread = this.#all()
      .filter(([, stored]) => isUnread(stored))
      .slice(0, atMost);
    for (let from = 0; from < unread.length; from += READ_AT_ONCE) {
      const some = unread.slice(from, from + READ_AT_ONCE);
      const texts = await Promise.all(some.map(([folder]) => vault.readText(folder + MANIFEST)));
      for (const [index, text] of texts.entries()) {
        const [folder = "", stored] = some[index] ?? [];
        // An object that is too large for a manifest counts as an unreadable one, and stops nothing else.
        const oversized = !text.ok && text.failure.code === "stored-object-oversized";
        if (!text.ok && !oversized) return text;
        if (text.ok && text.value === null) return failed(gone(folder));
        if (stored === undefined || stored.etag === null) continue;
        const backup = text.ok && text.value !== null ? summaryOf(folder, text.value, codecs) : null;
        this.#put(folder, { ...stored, read: { etag: stored.etag, backup } });
      }
    }
    return ok(undefined);
  }

  /** Folders whose manifest may not be acted upon. */
  get unreadable(): string[] {
    const all = this.#all().filter(([, { etag, read }]) => etag !== null && read?.etag === etag);
    return all.filter(([, { read }]) => read?.backup === null).map(([folder]) => folder);
  }

  /** The backups of this very database: another one may have borne its name before. */
  backupsOf(databaseId: string): StoredBackup[] {
    const backups: StoredBackup[] = [];
    for (const [folder, { etag, pinned, read }] of this.#all()) {
      if (etag === null || read?.etag !== etag || read.backup?.databaseId !== databaseId) continue;
      backups.push({ id: idOfFolder(folder), startedAt: read.backup.startedAt, pinned, folder, etag });
    }
    return backups;
  }

  /** Whether a manifest of this database was read there once, and nobody has asked for its deletion since. */
  hasRead(folder: string): boolean {
    const read = this.#get(folder)?.read ?? null;
    return read !== null && read.backup !== null;
  }

  setPinned(folder: string, pinned: boolean): void {
    const stored = this.#get(folder);
    if (stored !== null) this.#put(folder, { ...stored, pinned });
  }

  forget(folder: string): void {
    this.#storage.kv.delete(PREFIX + folder);
  }

  /** Records an object that a walk has found. The objects of one folder may be on two pages. */
  #see(folder: string, file: string, etag: string, walk: number): void {
    const before = this.#get(folder);
    // Another walk, for a preview, may have come by since this one began.
    const known = before !== null && before.walk >= walk ? before : null;
    if (known !== null && file !== MANIFEST && file !== PINNED) return;
    const seen: Stored = known ?? { walk, etag: null, pinned: false, read: before?.read ?? null };
    this.#put(folder, {
      ...seen,
      etag: file === MANIFEST ? etag : seen.etag,
      pinned: file === PINNED || seen.pinned,
    });
  }

  #get(folder: string): Stored | null {
    return storedSchema.safeParse(this.#storage.kv.get(PREFIX + folder)).data ?? null;
  }

  #put(folder: string, stored: Stored): void {
    this.#storage.kv.put(PREFIX + folder, stored);
  }

  #all(): [string, Stored][] {
    return Array.from(this.#storage.kv.list({ prefix: PREFIX }), ([key, value]) => [
      key.slice(PREFIX.length),
      storedSchema.parse(value),
    ]);
  }
}

export function isWalked(walk: Walk): boolean {
  return walk.walked >= walk.names.length;
}

function isUnread({ etag, read }: Stored): boolean {
  return etag !== null && read?.etag !== etag;
}

/** The id of the backup in a folder. */
export function idOfFolder(folder: string): string {
  return folder.split("/").slice(-3, -1).join(".");
}

/** The name that a folder bears. */
export function nameOfFolder(folder: string): string {
  return folder.split("/").at(-3) ?? "";
}

function gone(folder: string): Failure {
  return {
    code: "stored-object-missing",
    detail: `${folder}${MANIFEST} was listed a moment ago and is now gone.`,
    hint: "Check whether another tool deletes from the bucket. The bucket is listed again.",
    retryable: true,
  };
}

/** What a manifest says about the backup in its folder; null if it is unreadable, or a copy from another folder. */
function summaryOf(
  folder: string,
  text: string,
  codecs: Codecs,
): { databaseId: string; startedAt: number } | null {
  const reading = readSoundManifest(text, idOfFolder(folder), codecs);
  if (reading.kind !== "manifest") return null;
  const { database, startedAt } = reading.manifest;
  return { databaseId: database.id, startedAt: Date.parse(startedAt) };
}
