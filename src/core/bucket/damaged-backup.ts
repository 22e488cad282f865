/** A backup that was complete once and has lost its manifest. It is never deleted automatically. */
export interface DamagedBackup {
  readonly backupId: string;
  readonly folder: string;
  /** Null if neither RUN.json nor the catalogue shows it. */
  readonly databaseId: string | null;
  /** Null if the catalogue does not show it. */
  readonly databaseName: string | null;
  /** How many of its objects are left. */
  readonly objects: number;
  readonly bytes: number;
  /** When the newest of its objects was written; null if none is left. */
  readonly since: string | null;
  /** When the damage was first found. */
  readonly foundAt: string;
  /** What shows that it was whole: SHA256SUMS or RESTORE.md in its folder, its row, or its database's object. */
  readonly knownBy: readonly Witness[];
}

export const WITNESSES = ["files", "catalogue", "object"] as const;
export type Witness = (typeof WITNESSES)[number];

export interface DamagedBackups {
  readonly count: number;
  /** The first of them. */
  readonly items: readonly DamagedBackup[];
}

/** What a database's object says of a folder: it works there or deletes it, or it has committed a backup there. */
export const FOLDER_STATES = ["in-use", "committed", "unknown"] as const;
export type FolderState = (typeof FOLDER_STATES)[number];
