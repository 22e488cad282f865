import type { Result } from "../failure.ts";
import type { DamagedBackups } from "./damaged-backup.ts";

/** Long work on the bucket, of which an account does one at a time. */
export const MAINTENANCE_KINDS = ["rebuild", "dry-run", "collect", "daily"] as const;
export type MaintenanceKind = (typeof MAINTENANCE_KINDS)[number];

export interface MaintenanceView {
  readonly id: string;
  readonly kind: MaintenanceKind;
  /** `queued` while other work on the bucket is under way. */
  readonly state: "queued" | "running" | "complete" | "failed";
  readonly askedAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly progress: {
    readonly step: string;
    /** Looked at in the bucket so far. */
    readonly objects: number;
    readonly backups: number;
  };
  readonly error: { readonly code: string; readonly detail: string; readonly hint: string } | null;
}

/** The catalogue made anew from the bucket. */
export interface RebuildView extends MaintenanceView {
  readonly databases: number;
  /** Rows of backups that the bucket no longer has. */
  readonly removed: number;
  /** Tables that were missing. */
  readonly tables: readonly string[];
  /** Manifests and records that cannot be read, or are of a newer format: they are left as they are, and not listed. */
  readonly unreadable: {
    readonly count: number;
    /** The first of them. */
    readonly items: readonly { readonly key: string; readonly problem: string }[];
  };
}

/** What a run began and left behind: a folder that is claimed, old, and no backup. */
export interface OrphanView {
  readonly folder: string;
  readonly runId: string;
  readonly databaseId: string;
  readonly objects: number;
  readonly bytes: number;
  /** When the newest of its objects was written. */
  readonly since: string;
  /** What became of it: handed to its database's object to be deleted, in use after all, or no orphan any more. */
  readonly outcome: "collected" | "in-use" | "changed" | null;
}

export interface OrphansView {
  /** When the latest complete dry run began; null when there was none. */
  readonly listedAt: string | null;
  readonly count: number;
  readonly bytes: number;
  /** The first of them. */
  readonly items: readonly OrphanView[];
  /** Backups that have lost their manifest: no orphans, and not counted with them. */
  readonly damaged: DamagedBackups;
  /** The latest work on them. */
  readonly job: MaintenanceView | null;
}

export interface MaintenanceAnswer {
  /** False when such work was under way already: it is answered with. */
  readonly begun: boolean;
  readonly job: MaintenanceView;
}

/** The account's object for long work on the bucket. Everything may be asked twice. */
export interface MaintenanceJobs {
  /** Fills the catalogue from the bucket, which is the truth. */
  rebuild(): Promise<Result<MaintenanceAnswer>>;
  latestRebuild(): Promise<RebuildView | null>;
  /** Looks through the bucket for what runs left behind, and deletes nothing. */
  findOrphans(): Promise<Result<MaintenanceAnswer>>;
  orphans(): Promise<OrphansView>;
  /** Of the backups that the latest look through the bucket found without their manifest, the first `limit`. */
  damaged(limit: number): Promise<DamagedBackups>;
  /** This backup has its manifest again, or is deleted: it is not told of any more. */
  settled(folder: string): Promise<void>;
  /** Deletes what the latest dry run listed, after another look at each; null when there was no dry run. */
  collectOrphans(): Promise<Result<MaintenanceAnswer | null>>;
  /** Once a day: a dry run, the orphans that one of a day ago listed already, and runs of 90 days ago. */
  daily(): Promise<void>;
}
