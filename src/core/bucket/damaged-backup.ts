/** A backup that was whole once and has no manifest any more. It is never deleted unasked. */
export interface DamagedBackup {
  readonly backupId: string;
  readonly folder: string;
  /** Null where neither RUN.json nor the catalogue tells. */
  readonly databaseId: string | null;
  /** Null where the catalogue does not tell. */
  readonly databaseName: string | null;
  /** What is left of it: 0 when nothing is. */
  readonly objects: number;
  readonly bytes: number;
  /** When the newest of its objects was written; null when nothing is left. */
  readonly since: string | null;
  /** When it was found so first. */
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
