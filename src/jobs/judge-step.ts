import { ok, type Failure, type Result } from "../core/failure.ts";
import {
  emptiedTables,
  encryptionEnded,
  miscountedTables,
  missingParts,
  missingTables,
  notScanned,
  scanHazards,
} from "../core/hazards.ts";
import { exportedSchema, rowsOfDump } from "../core/partial-export.ts";
import type { Platform } from "../core/ports.ts";
import { dumpedParts, dumpedTables } from "../core/preflight.ts";
import { optionsOf, type Copy, type Run } from "../core/run.ts";
import { restartExport } from "./export-step.ts";
import { standingBackup } from "./preflight-step.ts";
import type { StepContext } from "./step.ts";

/** The run with all its hazards, or with another export before it. */
export type Judgement = { readonly sound: boolean; readonly run: Run };

/**
 * Holds the counts of a copy against the tables that the database has and against the last backup. Bytes that all
 * agree can still be the wrong ones: a dump without a table, or with an emptied one, is as long as it says.
 */
export async function judge(run: Run, copy: Copy, context: StepContext): Promise<Result<Judgement>> {
  const { platform } = context;
  const before = await standingBackup(context.previous, platform);
  if (!before.ok) return before;
  const { lean, recipients, exportOptions } = optionsOf(run);
  const lost = encryptionEnded(before.value, recipients);
  const known = [...run.hazards, ...(run.examined?.found ?? []), ...lost];
  if (lean) return ok({ sound: true, run: { ...run, hazards: [...known, notScanned()] } });
  const lacking = await lackingParts(run, copy, platform);
  if (!lacking.ok) return lacking;
  if (lacking.value.length > 0)
    return ok({ sound: false, run: restartExport(run, incomplete(lacking.value), platform, 2) });
  const emptied = emptiedTables(before.value, rowsOf(run, copy), exportOptions);
  const hazards = [...known, ...scanHazards(copy.scanned), ...emptied];
  return ok({ sound: true, run: { ...run, hazards } });
}

/** What the database has and the dump lacks, in words. */
async function lackingParts(run: Run, copy: Copy, { api }: Platform): Promise<Result<string[]>> {
  const { exportOptions } = optionsOf(run);
  const miscounted = miscountedTables(run.examined?.rows ?? [], rowsOf(run, copy));
  const rows = miscounted.map((table) => `rows of ${table}`);
  // Without CREATE statements a table that is empty stands nowhere.
  const tables = exportOptions.noSchema ? [] : missingTables(run.tables ?? [], copy.scanned);
  const parts = missingParts(run.parts ?? [], copy.scanned);
  if (tables.length + parts.length === 0) return ok(rows);
  // Dropped between the preflight and the export, or lost by it? The database knows.
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
    hint: "Another export is made, once. If it stays, try `wrangler d1 export` by hand, and tell Cloudflare's support.",
    retryable: true,
  };
}
