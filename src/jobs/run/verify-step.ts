import { emptiedTables, encryptionEnded } from "../../core/backup/since-last.ts";
import { opensAsAge } from "../../core/bucket/age-file.ts";
import { miscountedTables, missingParts, missingTables, notScanned } from "../../core/dump/hazards.ts";
import { exportedSchema, rowsOfDump } from "../../core/dump/partial-export.ts";
import { dumpedParts, dumpedTables } from "../../core/dump/schema.ts";
import { type Counted, dumpHazards, NOT_COUNTED } from "../../core/examination/replaced-text.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { type Copy, optionsOf, type PhaseOf, type Run } from "../../core/run/run.ts";
import { countedInState, standingFindings } from "../../core/run/standing-findings.ts";
import { advance } from "../../core/run/transitions.ts";
import { standingBackup } from "../database/standing-backup.ts";
import { restartExport } from "./export-step.ts";
import { folderOfRun, type StepContext } from "./step.ts";

/** Completes the run's hazards, or starts another export. */
export type Judgement = { readonly sound: boolean; readonly run: Run };

/**
 * Compares the counts of a copy with the database's tables and with the last backup. Even if all hashes match, a dump
 * may lack a table or the rows of one.
 */
export async function judge(
  run: Run,
  { copy, dump }: PhaseOf<"verifying">,
  context: StepContext,
): Promise<Result<Judgement>> {
  const { platform, record } = context;
  const before = await standingBackup(context.previous, platform);
  if (!before.ok) return before;
  const { lean, recipients, exportOptions } = optionsOf(run);
  const lost = encryptionEnded(before.value, recipients);
  // Without rows, the dump cannot alter anything.
  const state = { tables: run.tables ?? [], bookmark: dump.bookmark };
  const found = exportOptions.noData ? [] : standingFindings(record.examination, state);
  const counted = exportOptions.noData ? NOT_COUNTED : countedInState(record.examination, state);
  const known = [...run.hazards, ...found, ...lost];
  if (lean) return ok({ sound: true, run: { ...run, hazards: [...known, notScanned()] } });
  const lacking = await lackingParts(run, copy, counted, platform);
  if (!lacking.ok) return lacking;
  if (lacking.value.length > 0)
    return ok({ sound: false, run: restartExport(run, incomplete(lacking.value), platform, 2) });
  const emptied = emptiedTables(before.value, rowsOf(run, copy), exportOptions);
  const hazards = [...known, ...dumpHazards(copy.scanned, counted), ...emptied];
  return ok({ sound: true, run: { ...run, hazards } });
}

/** The parts of the database that the dump lacks, in words. */
async function lackingParts(
  run: Run,
  copy: Copy,
  counted: Counted,
  { api }: Platform,
): Promise<Result<string[]>> {
  const { exportOptions } = optionsOf(run);
  const miscounted = miscountedTables(counted.rows, rowsOf(run, copy));
  const rows = miscounted.map((table) => `rows of ${table}`);
  // Without CREATE statements, an empty table does not appear in the dump.
  const tables = exportOptions.noSchema ? [] : missingTables(run.tables ?? [], copy.scanned);
  const parts = missingParts(run.parts ?? [], copy.scanned);
  if (tables.length + parts.length === 0) return ok(rows);
  // Ask the database whether it was dropped before the export, or lost by the export.
  const schema = await api.schema(run.databaseId);
  if (!schema.ok) return schema;
  const still = exportedSchema(schema.value, exportOptions);
  const stillTables = new Set(dumpedTables(still));
  const stillParts = new Set(dumpedParts(still));
  return ok([
    ...rows,
    ...tables.filter((table) => stillTables.has(table)),
    ...parts.filter((part) => stillParts.has(part)),
  ]);
}

function rowsOf(run: Run, copy: Copy): [string, number | null][] {
  return rowsOfDump(copy.scanned.rows, run.tables ?? [], optionsOf(run).exportOptions);
}

function incomplete(lacking: readonly string[]): Failure {
  const others = lacking.length > 5 ? ` and ${lacking.length - 5} more` : "";
  return {
    code: "dump-incomplete",
    detail: `D1's dump lacks what the database has: ${lacking.slice(0, 5).join(", ")}${others}.`,
    hint: "The run makes another export, once. If this persists, try `wrangler d1 export` by hand, and contact Cloudflare's support.",
    retryable: true,
  };
}

/** Reads one volume back from the bucket and compares it with what was written. */
export async function verifying(
  run: Run,
  phase: PhaseOf<"verifying">,
  context: StepContext,
): Promise<Result<Run>> {
  const { platform } = context;
  const now = platform.now();
  const volume = phase.copy.volumes[phase.verified];
  if (volume === undefined) {
    const { dump, copy, copiedAt } = phase;
    const judged = await judge(run, phase, context);
    if (!judged.ok) return judged;
    if (!judged.value.sound) return ok(judged.value.run);
    return ok(advance(judged.value.run, { at: "committing", dump, copy, copiedAt, verifiedAt: now }, now));
  }
  const stored = await platform.vault.measure(folderOfRun(run, phase.copy, platform) + volume.name);
  if (!stored.ok) return stored;
  if (stored.value === null) return ok(restartExport(run, missing(volume.name), platform));
  if (stored.value.bytes !== volume.bytes || stored.value.sha256 !== volume.sha256) {
    return ok(restartExport(run, altered(volume.name), platform));
  }
  if (optionsOf(run).recipients.length > 0 && !opensAsAge(stored.value.opening))
    return failed(readable(volume.name));
  return ok(advance(run, { ...phase, verified: phase.verified + 1 }, platform.now()));
}

function missing(name: string): Failure {
  return {
    code: "stored-object-missing",
    detail: `Volume ${name} was written, but is not in the bucket.`,
    hint: "Check whether a lifecycle rule or another tool deletes from the bucket. The run makes a new export, a few times.",
    retryable: true,
  };
}

function altered(name: string): Failure {
  return {
    code: "stored-object-altered",
    detail: `Volume ${name} in the bucket has another size or SHA-256 than what was written.`,
    hint: "Check whether another tool writes to the bucket. The run makes a new export, a few times.",
    retryable: true,
  };
}

function readable(name: string): Failure {
  return {
    code: "stored-object-readable",
    detail: `Volume ${name} should be encrypted, but the object in the bucket is not an age file.`,
    hint: "The run fails, and what it wrote is deleted. This is a bug in d1-nightly. Please report it.",
    retryable: false,
  };
}
