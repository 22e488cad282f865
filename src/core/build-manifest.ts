import { FORMAT_VERSION, type ExportOptions, type Manifest } from "./manifest.ts";
import type { BackupRow } from "./ports.ts";
import { backupIdOfRun, bytesCopied, iso, type PhaseOf, type Run } from "./run.ts";

/** The manifest of a verified run. The same run gives the same text, byte for byte, however often it is asked. */
export function manifestOf(
  run: Run,
  phase: PhaseOf<"committing">,
  exportOptions: ExportOptions,
  tool: { name: string; version: string },
  previous: { backupId: string; manifestSha256: string } | null,
): Manifest {
  const { copy, dump } = phase;
  const only = copy.volumes.length === 1 ? copy.volumes[0] : undefined;
  return {
    formatVersion: FORMAT_VERSION,
    backupId: backupIdOfRun(run, copy),
    runId: run.id,
    tool,
    database: {
      id: run.databaseId,
      name: run.databaseName,
      accountId: run.accountId,
      fileSize: run.fileSize,
    },
    atBookmark: dump.bookmark,
    startedAt: iso(run.startedAt ?? run.createdAt),
    finishedAt: iso(phase.verifiedAt),
    trigger: run.trigger,
    label: run.label,
    exportOptions,
    compression: run.compression,
    encryption: null,
    dump: {
      bytes: bytesCopied(copy),
      sha256: only?.dumpSha256 ?? null,
      statements: copy.volumes.reduce((sum, volume) => sum + (volume.statements ?? 0), 0),
    },
    volumes: copy.volumes,
    tables: copy.rows.map(([name, rows]) => ({ name, rows })),
    notExported: [],
    hazards: run.hazards,
    timings: {
      exportMs: dump.exportMs,
      copyMs: phase.copiedAt - copy.startedAt,
      verifyMs: phase.verifiedAt - phase.copiedAt,
    },
    previous,
  };
}

export function backupRow(manifest: Manifest, folder: string, pinned: boolean): BackupRow {
  return {
    id: manifest.backupId,
    runId: manifest.runId,
    databaseId: manifest.database.id,
    databaseName: manifest.database.name,
    startedAt: manifest.startedAt,
    finishedAt: manifest.finishedAt,
    trigger: manifest.trigger,
    label: manifest.label,
    pinned,
    dumpBytes: manifest.dump.bytes,
    storedBytes: manifest.volumes.reduce((sum, volume) => sum + volume.bytes, 0),
    volumes: manifest.volumes.length,
    folder,
  };
}
