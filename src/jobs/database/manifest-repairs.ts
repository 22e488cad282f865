import { attemptLimit, backoffMs } from "../../core/backoff.ts";
import { backupRow } from "../../core/backup/backup-row.ts";
import { checksumsText } from "../../core/backup/checksums.ts";
import {
  afterRepairFailure,
  type DamagedPlace,
  type ManifestRepair,
  manifestRepairSchema,
  type ManifestRepairView,
  newRepair,
  type RepairAnswer,
  viewRepair,
} from "../../core/backup/manifest-repair.ts";
import {
  type Manifest,
  manifestSchema,
  manifestText,
  readManifest,
  type StoredVolume,
} from "../../core/backup/manifest.ts";
import { claimText } from "../../core/bucket/claim.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import { groupPage, suspicionOf } from "../../core/bucket/folders.ts";
import {
  CHECKSUMS,
  CLAIM,
  MANIFEST,
  NOT_EXPORTED,
  PINNED,
  prefixOfFolder,
  RESTORE_GUIDE,
} from "../../core/bucket/object-keys.ts";
import { listFolder } from "../../core/bucket/vault.ts";
import { NOTHING_SCANNED, scannedSchema } from "../../core/dump/tally.ts";
import { describeException, failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { remadeManifest } from "../../core/run/remade-manifest.ts";
import { nameOfFolder } from "../retention/backup-store.ts";
import type { DatabaseRetention } from "../retention/database-retention.ts";
import { CatalogOutbox } from "./catalog-outbox.ts";
import { folderState } from "./folder-state.ts";
import { type RepairSource, repairSource, unproven } from "./repair-source.ts";
import { type ReadSoFar, readVolume } from "./repair-volume.ts";
import type { RunStore } from "./run-store.ts";

/** Tells the object that looks through the bucket that a backup is whole again, or is gone for good. */
export type TellSettled = (folder: string) => Promise<void>;

const volumeSchema = manifestSchema.shape.volumes.element;

const VOLUMES = "repair-volume/";

/**
 * Makes lost manifests anew, one at a time, between the runs of the database: each step reads one volume, and the last
 * one writes the manifest, create-only. Until then nothing in the bucket is changed. In the object's storage:
 *
 *   repair             the one under way, or the latest
 *   repair-volume/{n}  its volumes that were read so far
 *   repair-scanned     what was counted in them; null when that cannot be done
 */
export class ManifestRepairs {
  readonly #storage: DurableObjectStorage;
  readonly #store: RunStore;
  readonly #retention: DatabaseRetention;

  constructor(storage: DurableObjectStorage, store: RunStore, retention: DatabaseRetention) {
    this.#storage = storage;
    this.#store = store;
    this.#retention = retention;
  }

  /** When the next step is due, with no run under way; null when there is none. */
  get dueAt(): number | null {
    const repair = this.#current;
    return repair?.state === "running" ? repair.wakeAt : null;
  }

  view(backupId: string): ManifestRepairView | null {
    const repair = this.#current;
    return repair?.backupId === backupId ? viewRepair(repair) : null;
  }

  /** Begins to make the manifest of this backup anew; a failure says why that cannot be done. May be asked twice. */
  async begin(place: DamagedPlace, platform: Platform): Promise<Result<RepairAnswer>> {
    const source = await this.#sourceOf(place, platform);
    if (!source.ok) return source;
    const lost = await this.#isLost(place, source.value, platform);
    if (!lost.ok) return lost;
    const before = this.#current;
    if (before?.state === "running") {
      const kind = before.folder === place.folder ? "under-way" : "busy";
      return ok({ kind, repair: viewRepair(before) });
    }
    const repair = newRepair(place, source.value.volumes.length, platform.now());
    this.#store.together(() => {
      for (const [key] of this.#storage.kv.list({ prefix: VOLUMES })) this.#storage.kv.delete(key);
      this.#storage.kv.put("repair-scanned", NOTHING_SCANNED);
      this.#save(repair);
    });
    return ok({ kind: "begun", repair: viewRepair(repair) });
  }

  /** One step, when it is due. */
  async step(platform: Platform, tellSettled: TellSettled): Promise<void> {
    const repair = this.#current;
    if (repair?.state !== "running" || repair.wakeAt > platform.now()) return;
    const stepped = await this.#step(repair, platform, tellSettled);
    if (stepped.ok) return;
    const limit = attemptLimit(stepped.failure.code);
    const delayMs = backoffMs(repair.attempt, platform.random());
    const next = afterRepairFailure(repair, stepped.failure, platform.now(), { limit, delayMs });
    this.#save(next);
    if (next.state === "failed")
      console.error({ event: "repair-failed", backup: next.backupId, ...next.error });
  }

  async #step(repair: ManifestRepair, platform: Platform, tellSettled: TellSettled): Promise<Result<void>> {
    if (repair.written) return this.#tell(repair, platform, tellSettled);
    return repair.read < repair.volumes
      ? this.#readNext(repair, platform)
      : this.#retention.alone(() => this.#write(repair, platform));
  }

  async #readNext(repair: ManifestRepair, platform: Platform): Promise<Result<void>> {
    const known = await this.#sourceOf(repair, platform);
    if (!known.ok) return known;
    const source = known.value;
    const wanted = source.volumes[repair.read];
    if (wanted === undefined) return failed(changed(repair.backupId));
    const read = await readVolume(repair.folder, wanted, source, this.#readSoFar, platform);
    if (!read.ok) return read;
    const { volume, scanned } = read.value;
    this.#store.together(() => {
      this.#storage.kv.put(VOLUMES + String(repair.read).padStart(6, "0"), volume);
      this.#storage.kv.put("repair-scanned", scanned);
      this.#save({ ...repair, read: repair.read + 1, attempt: 0, wakeAt: platform.now() });
    });
    return ok(undefined);
  }

  /** Writes what is missing beside the volumes, the manifest last. May run twice. */
  async #write(repair: ManifestRepair, platform: Platform): Promise<Result<void>> {
    const { folder, backupId } = repair;
    // Asked again: while this waited for its turn, somebody may have deleted what is left.
    const known = await this.#sourceOf(repair, platform);
    if (!known.ok) return known;
    const source = known.value;
    if (source.volumes.length !== repair.volumes) return failed(changed(backupId));
    const { vault, codecs } = platform;
    if (folderState(folder, this.#store, this.#retention, platform) === "in-use")
      return failed(inUse(backupId));
    for (const [name, content] of besideOf(source)) {
      const created = await vault.create(folder + name, content);
      if (!created.ok) return created;
    }
    const text = source.kind === "text" ? ok(source.text) : await this.#textOf(repair, source, platform);
    if (!text.ok) return text;
    const pinned = await vault.head(folder + PINNED);
    if (!pinned.ok) return pinned;
    const created = await vault.create(folder + MANIFEST, text.value);
    if (!created.ok) return created;
    if (created.value === "taken") {
      const standing = await vault.readText(folder + MANIFEST);
      if (!standing.ok) return standing;
      // Written by this very step before it was cut off, it is as it would be written now.
      if (standing.value !== text.value) return failed(isBack(backupId));
    }
    const reading = readManifest(text.value);
    if (reading.kind !== "manifest") throw new Error(`a repaired manifest cannot be read: ${reading.kind}`);
    const { manifest } = reading;
    const manifestSha256 = sha256Of(text.value, codecs);
    this.#store.together(() => {
      this.#store.keptManifests.keep(folder, text.value);
      this.#retention.backups.addNames([nameOfFolder(folder)]);
      const { last } = this.#store;
      if (last?.backupId === backupId) this.#store.last = { ...last, manifestSha256 };
      const row = backupRow(manifest, manifestSha256, folder, pinned.value !== null);
      new CatalogOutbox(this.#store, platform).addBackup(row);
      const remade = manifest.remade ?? null;
      const found = { proven: remade === null, unknown: remade?.unknown ?? [] };
      this.#save({ ...repair, ...found, written: true, attempt: 0, wakeAt: platform.now() });
    });
    return ok(undefined);
  }

  /** The text of a manifest that nobody keeps, from what was read of the volumes. */
  async #textOf(
    repair: ManifestRepair,
    source: Extract<RepairSource, { kind: "files" }>,
    { vault, codecs, settings }: Platform,
  ): Promise<Result<string>> {
    const { backupId, folder } = repair;
    const volumes = this.#volumes;
    const wrong = contradiction(source, volumes);
    if (wrong !== null) return failed(unproven(backupId, wrong));
    const listed = await listFolder(folder, vault);
    if (!listed.ok) return listed;
    const sums = listed.value.find(({ key }) => key === folder + CHECKSUMS);
    if (sums === undefined) return failed(unproven(backupId, "Its SHA256SUMS is gone."));
    const files: Manifest["files"] = [];
    for (const name of [CLAIM, CHECKSUMS, RESTORE_GUIDE, NOT_EXPORTED]) {
      const measured = await vault.measure(folder + name);
      if (!measured.ok) return measured;
      if (measured.value !== null)
        files.push({ name, bytes: measured.value.bytes, sha256: measured.value.sha256 });
    }
    const { claim, row, compression, encrypted } = source;
    const { last } = this.#store;
    const remains = {
      backupId,
      folder,
      claim,
      row,
      compression,
      encrypted,
      volumes,
      files,
      scanned: this.#readSoFar.scanned,
      bookmark: last?.backupId === backupId ? last.bookmark : null,
      finishedAt: sums.uploadedAt,
    };
    return ok(manifestText(remadeManifest(remains, settings.tool, repair.startedAt), codecs));
  }

  /** The last step. Who cannot be told now learns of it by the next look through the bucket. */
  async #tell(repair: ManifestRepair, platform: Platform, tellSettled: TellSettled): Promise<Result<void>> {
    try {
      await tellSettled(repair.folder);
    } catch (error) {
      if (repair.attempt < TOLD_TRIES)
        return failed({
          code: "internal-error",
          detail: `The object that looks through the bucket did not answer: ${describeException(error)}`,
          hint: "It is tried again.",
          retryable: true,
        });
    }
    this.#save({ ...repair, state: "complete", finishedAt: platform.now() });
    return ok(undefined);
  }

  #sourceOf(place: DamagedPlace, platform: Platform): Promise<Result<RepairSource>> {
    return repairSource(place, this.#store.keptManifests.textOf(place.folder), platform);
  }

  /** A failure for a folder that holds a manifest, or in which a run may still be under way. */
  async #isLost(
    { folder, backupId }: DamagedPlace,
    source: RepairSource,
    platform: Platform,
  ): Promise<Result<void>> {
    const manifest = await platform.vault.head(folder + MANIFEST);
    if (!manifest.ok) return manifest;
    if (manifest.value !== null) return failed(isBack(backupId));
    const state = folderState(folder, this.#store, this.#retention, platform);
    if (state === "in-use") return failed(inUse(backupId));
    if (source.kind === "text" || source.row !== null || state === "committed") return ok(undefined);
    // Nobody knows of it, so that it may be the run of another Worker: it is left alone as long as an orphan is.
    const listed = await listFolder(folder, platform.vault);
    if (!listed.ok) return listed;
    const prefix = prefixOfFolder(folder);
    const [found] = groupPage(prefix, null, listed.value, true).complete;
    const old = found !== undefined && suspicionOf(prefix, found, platform.now()) === "damaged";
    return old
      ? ok(undefined)
      : failed(unproven(backupId, "Its run may still be under way: ask again in a day."));
  }

  get #volumes(): StoredVolume[] {
    return Array.from(this.#storage.kv.list({ prefix: VOLUMES }), ([, value]) => volumeSchema.parse(value));
  }

  get #readSoFar(): ReadSoFar {
    const volumes = this.#volumes;
    return {
      dumpBytes: volumes.reduce((sum, { dumpBytes }) => sum + (dumpBytes ?? 0), 0),
      statements: volumes.reduce((sum, { statements }) => sum + (statements ?? 0), 0),
      scanned: scannedSchema.nullable().parse(this.#storage.kv.get("repair-scanned") ?? null),
    };
  }

  get #current(): ManifestRepair | null {
    return manifestRepairSchema.safeParse(this.#storage.kv.get("repair")).data ?? null;
  }

  #save(repair: ManifestRepair): void {
    this.#storage.kv.put("repair", repair);
  }
}

const TOLD_TRIES = 3;

/** What stands beside the volumes and can be written as it was, where it is gone as well. */
function besideOf(source: RepairSource): [name: string, text: string][] {
  if (source.kind === "files") return [[CLAIM, claimText(source.claim)]];
  const { runId, database, volumes } = source.manifest;
  return [
    [CLAIM, claimText({ runId, databaseId: database.id })],
    [CHECKSUMS, checksumsText(volumes)],
  ];
}

/** What was read against what the catalogue knows; null when the two agree. */
function contradiction(
  { row }: Extract<RepairSource, { kind: "files" }>,
  volumes: readonly StoredVolume[],
): string | null {
  if (row === null) return null;
  const stored = volumes.reduce((sum, { bytes }) => sum + bytes, 0);
  if (stored !== row.storedBytes)
    return `Its volumes have ${stored} bytes, and the catalogue knows of ${row.storedBytes}.`;
  if (row.dumpBytes === null || volumes.some(({ dumpBytes }) => dumpBytes === null)) return null;
  const dump = volumes.reduce((sum, { dumpBytes }) => sum + (dumpBytes ?? 0), 0);
  return dump === row.dumpBytes
    ? null
    : `Its dump has ${dump} bytes, and the catalogue knows of ${row.dumpBytes}.`;
}

function changed(backupId: string): Failure {
  return unproven(backupId, "What is known of it has changed meanwhile.");
}

function inUse(backupId: string): Failure {
  return {
    code: "manifest-unproven",
    detail: `The folder of ${backupId} is in use: its run is under way, or it is being deleted.`,
    hint: "GET /api/runs and GET /api/backups/ID say what is under way.",
    retryable: false,
  };
}

function isBack(backupId: string): Failure {
  return {
    code: "manifest-conflict",
    detail: `Backup ${backupId} has a manifest again. Nothing was written over it.`,
    hint: "POST /api/backups/ID/verify says whether it is as it was written.",
    retryable: false,
  };
}
