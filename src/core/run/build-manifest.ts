import { FORMAT_VERSION, type Manifest, type UnsealedManifest } from "../backup/manifest.ts";
import { AGE_FORMAT } from "../bucket/age-file.ts";
import { rowsOfDump } from "../dump/partial-export.ts";
import { SECTIONS } from "../dump/sections.ts";
import type { Scanned } from "../dump/tally.ts";
import { iso } from "../time.ts";
import { backupIdOfRun, bytesCopied, optionsOf, type PhaseOf, type Run } from "./run.ts";

/** The manifest of a verified run. The same run always gives the same text, byte for byte. */
export function manifestOf(
  run: Run,
  phase: PhaseOf<"committing">,
  tool: { name: string; version: string },
  previous: { backupId: string; manifestSha256: string } | null,
): UnsealedManifest {
  const { copy, dump } = phase;
  const { compression, lean, recipients, exportOptions } = optionsOf(run);
  const bytes = bytesCopied(copy);
  const encrypted = recipients.length > 0;
  // No hash of what is encrypted: whoever guesses a short value could tell by it that the guess is right.
  const volumes = encrypted ? copy.volumes.map((each) => ({ ...each, dumpSha256: null })) : copy.volumes;
  const only = volumes.length === 1 ? volumes[0] : undefined;
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
    compression,
    lean,
    encryption: encrypted ? { format: AGE_FORMAT, recipients } : null,
    dump: {
      bytes,
      sha256: only?.dumpSha256 ?? null,
      statements: lean ? null : copy.volumes.reduce((sum, volume) => sum + (volume.statements ?? 0), 0),
    },
    volumes,
    tables: lean
      ? (run.tables ?? []).map((name) => ({ name, rows: null }))
      : rowsOfDump(copy.scanned.rows, run.tables ?? [], exportOptions).map(([name, rows]) => ({
          name,
          rows,
        })),
    notExported: run.notExported,
    loading: run.loading,
    hazards: run.hazards,
    sections: lean ? null : sectionsOf(copy.scanned, bytes),
    missingSemicolons: lean ? null : copy.scanned.missingSemicolons,
    examined: examinedOf(run),
    timings: {
      exportMs: dump.exportMs,
      copyMs: phase.copiedAt - copy.startedAt,
      verifyMs: phase.verifiedAt - phase.copiedAt,
    },
    previous,
  };
}

function examinedOf({ examined }: Run): Manifest["examined"] {
  if (examined === null || examined.at === null) return null;
  return { at: examined.at, tables: examined.tables, rowsRead: examined.rowsRead };
}

/** The parts of a dump that are not empty, in its order. */
export function sectionsOf({ starts }: Scanned, bytes: number): NonNullable<Manifest["sections"]> {
  const begun = SECTIONS.map((kind) => ({ kind, offset: kind === "tables" ? 0 : starts[kind] }));
  const present = begun.flatMap(({ kind, offset }) => (offset === null ? [] : [{ kind, offset }]));
  return present.map((section, index) => {
    const end = present[index + 1]?.offset ?? bytes;
    return { ...section, bytes: end - section.offset };
  });
}
