import type { Manifest } from "./manifest.ts";

export function backupRow(
  manifest: Manifest,
  manifestSha256: string,
  folder: string,
  pinned: boolean,
): BackupRow {
  return {
    id: manifest.backupId,
    runId: manifest.runId,
    databaseId: manifest.database.id,
    databaseName: manifest.database.name,
    startedAt: manifest.startedAt,
    finishedAt: manifest.finishedAt,
    trigger: manifest.trigger ?? "unknown",
    label: manifest.label,
    pinned,
    dumpBytes: manifest.dump.bytes,
    storedBytes: manifest.volumes.reduce((sum, volume) => sum + volume.bytes, 0),
    volumes: manifest.volumes.length,
    folder,
    manifestSha256,
    encrypted: manifest.encryption !== null,
    hazards: manifest.hazards.length,
  };
}

export interface BackupRow {
  readonly id: string;
  readonly runId: string;
  readonly databaseId: string;
  readonly databaseName: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** `unknown` where the manifest was made anew and nothing told. */
  readonly trigger: string;
  readonly label: string | null;
  readonly pinned: boolean;
  /** Null of an encrypted backup whose manifest was made anew and of which nothing told. */
  readonly dumpBytes: number | null;
  readonly storedBytes: number;
  readonly volumes: number;
  readonly folder: string;
  /** Null in rows of older releases. */
  readonly manifestSha256: string | null;
  readonly encrypted: boolean;
  readonly hazards: number;
}
