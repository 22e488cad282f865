import { AGE_FORMAT } from "../bucket/age-file.ts";
import type { BackupRow } from "../backup/backup-row.ts";
import { FORMAT_VERSION, type Manifest, type StoredVolume } from "../backup/manifest.ts";
import { type Claim } from "../bucket/claim.ts";
import { startOfFolder } from "../bucket/folders.ts";
import { type Compression, databaseNameOf, prefixOfFolder } from "../bucket/object-keys.ts";
import { type Hazard, notScanned, scanHazards } from "../dump/hazards.ts";
import type { Scanned } from "../dump/tally.ts";
import { iso } from "../time.ts";
import { sectionsOf } from "./build-manifest.ts";

/** What is left of a backup that tells of it. */
export interface Remains {
  readonly backupId: string;
  readonly folder: string;
  readonly claim: Claim;
  /** Its row in the catalogue; null where that knows nothing of it. */
  readonly row: BackupRow | null;
  /** Each read back, and as SHA256SUMS has it. */
  readonly volumes: readonly StoredVolume[];
  /** Null where the volumes could not be read as a dump: they are encrypted, or cut inside of statements. */
  readonly scanned: Scanned | null;
  readonly compression: Compression;
  readonly encrypted: boolean;
  /** Of the state that was dumped, where its database's object knows it. */
  readonly bookmark: string | null;
  /** When SHA256SUMS was written, in milliseconds since the epoch: right behind the last volume that was read back. */
  readonly finishedAt: number;
  /** What stands beside the volumes, as it lies there. */
  readonly files: Manifest["files"];
}

/**
 * The manifest of a backup that has lost it, from what is left, but for its checksum. Whatever nothing tells is null,
 * and named. The same remains give the same text, byte for byte, at the same moment `at`.
 */
export function remadeManifest(
  remains: Remains,
  tool: { name: string; version: string },
  at: number,
): Omit<Manifest, "checksum"> {
  const { backupId, folder, claim, row, volumes, scanned, compression, encrypted, bookmark } = remains;
  const name = folder.split("/").at(-3) ?? "";
  const startedAt = startOfFolder(prefixOfFolder(folder), folder) ?? remains.finishedAt;
  const bytes = sumOf(volumes.map(({ dumpBytes }) => dumpBytes)) ?? row?.dumpBytes ?? null;
  const [only, second] = volumes;
  const told: Omit<Manifest, "checksum" | "remade"> = {
    formatVersion: FORMAT_VERSION,
    backupId,
    runId: claim.runId,
    tool,
    database: {
      id: claim.databaseId,
      name: row?.databaseName ?? databaseNameOf(name),
      accountId: null,
      fileSize: null,
    },
    atBookmark: bookmark,
    startedAt: row?.startedAt ?? iso(startedAt),
    finishedAt: row?.finishedAt ?? iso(remains.finishedAt),
    trigger: row?.trigger === "scheduled" || row?.trigger === "manual" ? row.trigger : null,
    label: row?.label ?? null,
    exportOptions: null,
    compression,
    lean: scanned === null ? null : false,
    encryption: encrypted ? { format: AGE_FORMAT, recipients: null } : null,
    dump: {
      bytes,
      sha256: second === undefined ? (only?.dumpSha256 ?? null) : null,
      statements: sumOf(volumes.map(({ statements }) => statements)),
    },
    volumes: [...volumes],
    tables: scanned === null ? null : scanned.rows.map(([table, rows]) => ({ name: table, rows })),
    notExported: null,
    loading: null,
    hazards: [...(scanned === null ? [notScanned()] : scanHazards(scanned)), notExamined()],
    sections: scanned === null || bytes === null ? null : sectionsOf(scanned, bytes),
    missingSemicolons: scanned?.missingSemicolons ?? null,
    examined: null,
    files: remains.files,
    timings: { exportMs: null, copyMs: null, verifyMs: null },
    previous: null,
  };
  return { ...told, remade: { at: iso(at), unknown: unknownOf(told, row !== null) } };
}

/** The fields that nothing tells. A label that is null may be one that nobody gave, if a row says so. */
function unknownOf(told: Omit<Manifest, "checksum" | "remade">, recorded: boolean): string[] {
  const { database, encryption, dump } = told;
  const fields: [string, unknown][] = [
    ["database.accountId", database.accountId],
    ["database.fileSize", database.fileSize],
    ["atBookmark", told.atBookmark],
    ["trigger", told.trigger],
    ["label", recorded ? "known" : null],
    ["exportOptions", told.exportOptions],
    ["lean", told.lean],
    ["encryption.recipients", encryption === null ? "none" : encryption.recipients],
    ["dump.bytes", dump.bytes],
    ["dump.statements", dump.statements],
    ["tables", told.tables],
    ["notExported", told.notExported],
    ["loading", told.loading],
    ["sections", told.sections],
    ["missingSemicolons", told.missingSemicolons],
    ["examined", told.examined],
    ["timings", null],
    ["previous", told.previous],
  ];
  return fields.filter(([, value]) => value === null).map(([field]) => field);
}

function notExamined(): Hazard {
  return {
    kind: "not-examined",
    table: null,
    count: null,
    detail:
      "Its manifest was lost and made anew from what was left: what asking the database and reading its schema had found is not known any more, nor whether all of the database was dumped.",
  };
}

/** Null when one of them is. */
function sumOf(numbers: readonly (number | null)[]): number | null {
  return numbers.reduce<number | null>((sum, each) => (sum === null || each === null ? null : sum + each), 0);
}
