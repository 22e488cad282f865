/**
 * What the core asks of the platform. src/cloudflare/ implements it, src/index.ts hands it in.
 * Every method may be called twice for the same thing, because any step may be repeated after a crash.
 * None throws for an expected failure.
 */
import type { DownloadRequest } from "./byte-range.ts";
import type { Cursor } from "./cursor.ts";
import type { DatabaseRow, TroubledDatabases } from "./database-row.ts";
import type { Result } from "./failure.ts";
import type { KeyProof } from "./key-proof.ts";
import type { ExportOptions } from "./manifest.ts";
import type { Compression } from "./object-keys.ts";
import type { Policy } from "./policy.ts";
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
  /** Missing keys are fine. */
  remove(keys: readonly string[]): Promise<Result<void>>;
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
  /** Newest first. */
  backups(
    filter: { database: string | null },
    limit: number,
    after: Cursor | null,
  ): Promise<Result<Page<BackupRow>>>;
}

/** The catalogue's table of databases: like all of the catalogue it can be thrown away, and may be down. */
export interface DatabaseIndex {
  /** `writtenAt` orders writes of one database: an older one never overwrites a newer. */
  saveDatabase(row: DatabaseRow): Promise<Result<void>>;
  /** The account's databases at a moment, all of them. Taken whole or not at all. */
  saveListing(databases: readonly { id: string; name: string }[], at: string): Promise<Result<void>>;
  /** Of the databases listed last: those not fresh since `freshSince`, the oldest first, then those in other trouble. */
  troubled(freshSince: string, limit: number): Promise<Result<TroubledDatabases>>;
}

/** Turns to work: so many exports and so many copies at once, for the whole account. */
export type PlaceKind = "export" | "copy";

export interface Places {
  /**
   * True when the database holds a place now; asking again keeps it. False puts it into the queue, where it
   * stays while it asks again every so often; it is woken when its turn comes.
   */
  take(kind: PlaceKind, databaseId: string): Promise<boolean>;
  /** Places that are not given back end by themselves. */
  release(kind: PlaceKind, databaseId: string): Promise<void>;
}

export type StartAnswer =
  | { readonly kind: "started"; readonly run: RunView }
  /** One run at a time: this one is under way. */
  | { readonly kind: "under-way"; readonly run: RunView };

/** The object that owns a database's runs. */
export interface DatabaseRuns {
  /** A request whose `key` was served before answers with that run. */
  start(database: { id: string; name: string }, request: BackupRequest): Promise<Result<StartAnswer>>;
  /** The run if it is the current or the latest one. */
  run(id: string): Promise<RunView | null>;
  latest(): Promise<RunView | null>;
  /** What the object knows of its database beyond single runs. */
  status(): Promise<DatabaseStatus>;
  /** Replaces the database's own policy. Counts from the next run on. */
  setPolicy(database: { id: string; name: string }, policy: Policy): Promise<Result<DatabaseStatus>>;
}

export interface DatabaseStatus {
  /** Only what differs from the Worker's settings. */
  readonly policy: Policy;
  readonly lastBackupId: string | null;
  /** The last time that the latest backup was found to stand for the database's state still. */
  readonly unchanged: { readonly backupId: string; readonly checkedAt: string } | null;
  /** Why runs no longer end as `unchanged`: a full backup disproved what they rely on. */
  readonly unchangedOff: { readonly at: string; readonly detail: string } | null;
  /** The last time that the database was asked for values that its dumps alter. */
  readonly examinedAt: string | null;
}

/** The object that verifies one backup. */
export interface BackupVerifications {
  /** Begins a verification of what lies in the backup's folder; one that is under way already is answered with. */
  start(backupId: string, folder: string): Promise<Result<VerificationView>>;
  /** The verification if it is the current or the latest one. */
  verification(id: string): Promise<VerificationView | null>;
}

/** One firing of the schedule, or one request, for every database. */
export interface SweepView {
  readonly id: string;
  readonly state: "listing" | "starting" | "done" | "failed";
  readonly trigger: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly databases: number;
  readonly started: number;
  readonly error: { code: string; detail: string; hint: string } | null;
}

export type SweepAnswer =
  | { readonly kind: "begun"; readonly sweep: SweepView; readonly runs: RunView[] }
  | { readonly kind: "under-way"; readonly sweep: SweepView };

/** What the account's object adds to health. */
export interface AccountHealth {
  /** The latest complete list of the account's databases. */
  readonly listing: { readonly at: string; readonly databases: number } | null;
  readonly sweep: SweepView | null;
  /** Recipients whose private key nobody has shown. */
  readonly unproven: readonly string[];
}

/**
 * The account's one object: it lists the databases and starts them, gives out places, and knows whose key was shown.
 * The recipients are always all that are configured: of others it forgets what it knew.
 */
export interface AccountRuns {
  /** Starts the first databases at once when `inline`, and the others from its own alarms. */
  startAll(request: BackupRequest, inline: boolean): Promise<Result<SweepAnswer>>;
  latestSweep(): Promise<SweepView | null>;
  keyProofs(recipients: readonly string[]): Promise<Result<KeyProof[]>>;
  /** `refused` are the positions, from 0, of answers to no challenge; the other answers count all the same. */
  proveKeys(
    recipients: readonly string[],
    answers: readonly string[],
  ): Promise<Result<{ items: KeyProof[]; refused: number[] }>>;
  health(recipients: readonly string[]): Promise<AccountHealth>;
}

export interface Settings {
  readonly accountId: string;
  readonly catalogDatabaseName: string;
  readonly compression: Compression;
  readonly volumeBytes: number;
  /** age recipients that every dump is encrypted to. */
  readonly recipients: readonly string[];
  readonly keyPrefix: string;
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
  now(): number;
  random(): number;
}

/** The platform, or why it cannot be had: a configuration that names each problem and its fix. */
export type Connect<Env> = (env: Env) => Result<Platform>;
