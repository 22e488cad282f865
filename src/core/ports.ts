/**
 * What the core asks of the platform. src/cloudflare/ implements it, src/index.ts hands it in.
 * Every method may be called twice for the same thing, because any step may be repeated after a crash.
 * None throws for an expected failure.
 */
import type { RateSeen } from "./api-budget.ts";
import type { DownloadRequest } from "./byte-range.ts";
import type { CatalogRepair } from "./catalog-repair.ts";
import type { Cursor } from "./cursor.ts";
import type { DatabaseRow, Notice, TroubledDatabases } from "./database-row.ts";
import type { Result } from "./failure.ts";
import type { ExportOptions } from "./manifest.ts";
import type { Compression } from "./object-keys.ts";
import type { DeletionAnswer, DeletionView, Retention, RetentionPlan } from "./retention.ts";
import type { BackupRequest } from "./run.ts";
import type { RunState, RunView } from "./run-view.ts";
import type { VerificationView } from "./verification-view.ts";

export interface DatabaseSummary {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string | null;
}

export interface SchemaEntry {
  readonly type: string;
  readonly name: string;
  readonly sql: string | null;
}

/** What D1 answers to an export's start and to each poll. */
export type ExportAnswer =
  | { readonly kind: "active"; readonly bookmark: string | null; readonly message: string | null }
  | { readonly kind: "complete"; readonly bookmark: string; readonly signedUrl: string }
  /** The export ended with an error of D1's. */
  | { readonly kind: "error"; readonly message: string }
  /** D1 knows of no such export: cancelled, forgotten, or told to be complete before. */
  | { readonly kind: "lost" }
  /** Another export of this database is under way. */
  | { readonly kind: "busy" };

export interface D1Api {
  /** Pages count from 1. */
  listDatabases(
    page: number,
    perPage: number,
  ): Promise<Result<{ databases: DatabaseSummary[]; total: number | null }>>;
  /** By UUID or name. `database-not-found` when there is none. */
  getDatabase(idOrName: string): Promise<Result<DatabaseSummary & { fileSize: number | null }>>;
  schema(databaseId: string): Promise<Result<SchemaEntry[]>>;
  /** The database's bookmark of this moment: it moves with every write, and with nothing else. */
  bookmark(databaseId: string): Promise<Result<string>>;
  /** Runs one statement that only reads. */
  query(databaseId: string, sql: string): Promise<Result<QueryAnswer>>;
  startExport(databaseId: string, options: ExportOptions): Promise<Result<ExportAnswer>>;
  pollExport(databaseId: string, options: ExportOptions, bookmark: string): Promise<Result<ExportAnswer>>;
  /** The same API, which also tells what the headers of each answer say of Cloudflare's limits. */
  watched?(observer: (seen: RateSeen) => void): D1Api;
}

export interface QueryAnswer {
  readonly rows: Record<string, unknown>[];
  /** Null when D1 does not tell. */
  readonly rowsRead: number | null;
}

export interface DumpStream {
  readonly totalBytes: number;
  readonly etag: string | null;
  /**
   * Bytes from the wanted offset on; null at the end. The array is reused by the next call.
   * Rejects with nothing: a broken or stalled connection is a failed result.
   */
  read(): Promise<Result<Uint8Array | null>>;
  /** Gives the connection up. */
  cancel(): Promise<void>;
}

export interface DumpSource {
  /** Opens the dump at `offset`. With `expected`, another size or ETag is `dump-changed`. */
  open(
    signedUrl: string,
    offset: number,
    expected: { totalBytes: number; etag: string | null } | null,
  ): Promise<Result<DumpStream>>;
}

/** Counts the bytes that the pipeline holds, so that "constant memory" is a figure. */
export interface Gauge {
  hold(bytes: number): void;
  release(bytes: number): void;
}

export interface VolumeWriter {
  /** Copies the bytes. Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<Result<void>>;
  /** Completes the object. It is not listed before. */
  finish(): Promise<Result<void>>;
  /** Gives up what was uploaded so far. */
  abort(): Promise<void>;
}

export interface StoredObject {
  readonly bytes: number;
  readonly etag: string;
}

export interface Listing {
  readonly objects: readonly ListedObject[];
  /** Ends with a slash each. */
  readonly folders: readonly string[];
  /** Null at the end. */
  readonly cursor: string | null;
}

export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  readonly etag: string;
  readonly uploadedAt: number;
}

export interface MeasuredObject {
  readonly bytes: number;
  readonly sha256: string;
  /** The first bytes, up to 64 of them. */
  readonly opening: Uint8Array;
}

export interface Vault {
  /** Create-only. `taken` means that the key exists; nothing was changed then. */
  create(key: string, text: string): Promise<Result<"created" | "taken">>;
  /** Overwrites. */
  put(key: string, text: string): Promise<Result<void>>;
  readText(key: string): Promise<Result<string | null>>;
  head(key: string): Promise<Result<StoredObject | null>>;
  /** Opens a volume. `begun` is awaited with the upload's id before any part is sent. */
  openVolume(key: string, gauge: Gauge, begun: (uploadId: string) => Promise<void>): VolumeWriter;
  /** An upload that is gone already counts as aborted. */
  abortUpload(key: string, uploadId: string): Promise<Result<void>>;
  /** Size, SHA-256 and opening bytes, read from the bucket and not from its metadata; null when it is not there. */
  measure(key: string): Promise<Result<MeasuredObject | null>>;
  /** Missing keys are fine. A lock rule's refusal is `stored-object-locked`. */
  remove(keys: readonly string[]): Promise<Result<void>>;
  /**
   * Up to 1,000 objects whose keys begin with `prefix`, in the order of their keys; of those with a further slash
   * only the folder, when `folders` is set. `cursor` goes on where an earlier answer ended.
   */
  list(prefix: string, options: { folders: boolean; cursor: string | null }): Promise<Result<Listing>>;
  /** Answers a download with the object's bytes, honouring Range and conditions; null when it is not there. */
  download(key: string, request: DownloadRequest): Promise<Result<Response | null>>;
  /** Opens an object, to be read decompressed; null when it is not there. */
  decoded(key: string, compression: Compression): Promise<Result<DecodedObject | null>>;
}

export interface DecodedObject {
  /** Of the object as it is stored, compressed. */
  readonly storedBytes: number;
  /**
   * At least one byte; null at the end. The array may be reused by the next call. Rejects with nothing: what
   * cannot be read or decompressed is a failed result.
   */
  read(): Promise<Result<Uint8Array | null>>;
  /** Ends the reading, also at the end. */
  cancel(): Promise<void>;
}

export interface Digest {
  update(bytes: Uint8Array): void;
  /** Lower-case hex of the SHA-256. Ends the digest. */
  hex(): string;
}

/** Takes dump bytes, gives stored bytes. */
export interface Encoder {
  encode(bytes: Uint8Array): Promise<Uint8Array[]>;
  finish(): Promise<Uint8Array[]>;
}

export interface Codecs {
  digest(): Digest;
  /** One volume's: compressed, then encrypted to the recipients, when there are any. */
  encoder(compression: Compression, recipients: readonly string[]): Encoder;
}

/** The little that is encrypted outside of dumps. */
export interface Ciphers {
  /** 128 bits that nobody can guess, in hex. */
  randomHex(): string;
  /** A text as an armored age file for one recipient. */
  encryptText(recipient: string, text: string): Promise<string>;
}

export interface BackupRow {
  readonly id: string;
  readonly runId: string;
  readonly databaseId: string;
  readonly databaseName: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly trigger: string;
  readonly label: string | null;
  readonly pinned: boolean;
  readonly dumpBytes: number;
  readonly storedBytes: number;
  readonly volumes: number;
  readonly folder: string;
  /** Null in rows of older releases. */
  readonly manifestSha256: string | null;
  readonly encrypted: boolean;
  readonly hazards: number;
}

export interface Page<T> {
  readonly items: T[];
  readonly cursor: Cursor | null;
}

/** An index over the bucket and the runs. It may be down: that never fails a run. */
export interface Catalog {
  /** `revision` orders writes of one run: an older one never overwrites a newer. */
  saveRun(run: RunView, revision: number): Promise<Result<void>>;
  saveBackup(backup: BackupRow): Promise<Result<void>>;
  /** Newest first. `database` is a name or a UUID: of databases that are gone, too. */
  runs(
    filter: { database: string | null; state: RunState | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<RunView>>>;
  run(id: string): Promise<Result<RunView | null>>;
  backup(id: string): Promise<Result<BackupRow | null>>;
  /** One that is gone already is fine. */
  removeBackup(id: string): Promise<Result<void>>;
  /** Forgets some of the runs that were created before then; false when there are more of them. */
  forgetRuns(before: string): Promise<Result<boolean>>;
  /** Newest first. */
  backups(
    filter: { database: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<BackupRow>>>;
}

/** What the account tells of one of its databases. */
export interface ListedDatabase {
  readonly id: string;
  readonly name: string;
  /** How old its latest backup may become. */
  readonly freshnessMs: number;
  /** Neither paused nor excluded: its lateness counts. */
  readonly watched: boolean;
}

/** The catalogue's table of databases: like all of the catalogue it can be thrown away, and may be down. */
export interface DatabaseIndex {
  /** `writtenAt` orders writes of one database: an older one never overwrites a newer. */
  saveDatabase(row: DatabaseRow): Promise<Result<void>>;
  /** The account's databases at a moment, all of them. Taken whole or not at all. */
  saveListing(databases: readonly ListedDatabase[], at: string): Promise<Result<void>>;
  /** Databases that were found not written to since their latest backup, and the runs that say so. Freshness never moves back. */
  saveUnchanged(runs: readonly RunView[]): Promise<Result<void>>;
  /** After a deletion, freshness is what is left: null when nothing is. Counts against `writtenAt` as a row does. */
  setFreshness(
    databaseId: string,
    left: { freshAt: string | null; lastBackupId: string | null },
    writtenAt: string,
  ): Promise<Result<void>>;
  /** Of the databases that are watched: those later than their own limit, the oldest first, then those in other trouble. */
  troubled(now: string, limit: number): Promise<Result<TroubledDatabases>>;
  /** By name. `gone` are those that the latest listing lacks; null asks for all, as does no name. */
  list(
    filter: { gone: boolean | null; name: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<KnownDatabase>>>;
}

/** A database as the catalogue knows it. */
export interface KnownDatabase {
  readonly id: string;
  readonly name: string;
  readonly firstSeenAt: string;
  /** Up to when its latest backup stands for it. */
  readonly freshAt: string | null;
  /** How old that may become; null when no listing has told. */
  readonly freshnessMs: number | null;
  readonly watched: boolean;
  /** Since when the account has it no more. */
  readonly goneAt: string | null;
  readonly lastBackupId: string | null;
  readonly lastRunState: string | null;
  readonly lastRunError: string | null;
  readonly notices: readonly Notice[];
}

export type StartAnswer =
  | { readonly kind: "started"; readonly run: RunView }
  /** One run at a time: this one is under way. */
  | { readonly kind: "under-way"; readonly run: RunView };

export type CancelAnswer =
  | { readonly kind: "cancelled"; readonly run: RunView }
  /** It came to its end before. */
  | { readonly kind: "over"; readonly run: RunView }
  /** Its manifest is being written: with that it is a backup. */
  | { readonly kind: "too-late"; readonly run: RunView }
  /** Neither the current nor the latest run. */
  | { readonly kind: "unknown" };

/** The object that owns a database's runs. */
export interface DatabaseRuns {
  /** A request whose `key` was served before answers with that run. */
  start(database: { id: string; name: string }, request: BackupRequest): Promise<Result<StartAnswer>>;
  /** Ends the run at once. What it does stops within seconds, and what it has written is deleted after that. */
  cancel(runId: string): Promise<Result<CancelAnswer>>;
  /** Sees to it that a run under way is worked on, and answers with it; null when there is none. May be called at any time. */
  revive(): Promise<RunView | null>;
  /** The run if it is the current or the latest one. */
  run(id: string): Promise<RunView | null>;
  latest(): Promise<RunView | null>;
  /**
   * Deletes these files of a folder that a run of this database claimed and left without a manifest: soon, and again
   * until it has worked. `in-use` while a run that is under way works on it.
   */
  collectFolder(
    folder: string,
    runId: string,
    names: readonly string[],
  ): Promise<Result<"collected" | "in-use">>;
  /** Deletes a backup of this database, between two steps of its runs. */
  deleteBackup(databaseId: string, backupId: string): Promise<Result<DeletionAnswer>>;
  /** The backup's deletion, while it is to be deleted and is there still. */
  deletionOf(backupId: string): Promise<DeletionView | null>;
  /** Creates or removes the PINNED object; `not-there` without a manifest. A pin takes back what retention has decided. */
  setPinned(databaseId: string, backupId: string, pinned: boolean): Promise<Result<"done" | "not-there">>;
  /**
   * What retention would keep and remove by these rules, of what lies in the bucket now. The name is null for a
   * database that is known by its UUID alone. Deletes nothing.
   */
  previewRetention(
    database: { id: string; name: string | null },
    retention: Retention,
  ): Promise<Result<RetentionPlan>>;
  /** Whoever sets a policy anew has looked at why bookmarks were no longer relied on: they are again. */
  compareAgain(database: { id: string; name: string }): Promise<Result<void>>;
}

/** The object that verifies one backup. */
export interface BackupVerifications {
  /** Begins a verification of what lies in the backup's folder; one that is under way already is answered with. */
  start(backupId: string, folder: string): Promise<Result<VerificationView>>;
  /** The verification if it is the current or the latest one. */
  verification(id: string): Promise<VerificationView | null>;
}

export interface Settings {
  readonly accountId: string;
  readonly catalogDatabaseName: string;
  readonly compression: Compression;
  readonly volumeBytes: number;
  /** age recipients that every dump is encrypted to. */
  readonly recipients: readonly string[];
  readonly keyPrefix: string;
  /** So many databases export at the same time. */
  readonly exportsAtOnce: number;
  /** So many calls of Cloudflare's API in 5 minutes, for everything that the Worker does. */
  readonly apiBudget: number;
  readonly tool: { readonly name: string; readonly version: string };
}

/** All of the platform that a job or a request needs. */
export interface Platform {
  readonly settings: Settings;
  readonly api: D1Api;
  readonly source: DumpSource;
  readonly vault: Vault;
  readonly codecs: Codecs;
  readonly ciphers: Ciphers;
  readonly catalog: Catalog;
  readonly databases: DatabaseIndex;
  readonly repair: CatalogRepair;
  now(): number;
  random(): number;
}

/** The platform, or why it cannot be had: a configuration that names each problem and its fix. */
export type Connect<Env> = (env: Env) => Result<Platform>;
