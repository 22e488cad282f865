import { ok, type Failure, type Result } from "../core/failure.ts";
import { emptiedTables, encryptionEnded, missingTables, scanHazards } from "../core/hazards.ts";
import { dumpedTables } from "../core/preflight.ts";
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
  const { lean, recipients } = optionsOf(run);
  const lost = encryptionEnded(before.value, recipients);
  const known = [...run.hazards, ...(run.examined?.found ?? []), ...lost];
  if (lean) return ok({ sound: true, run: { ...run, hazards: known } });
  const lacking = missingTables(run.tables ?? [], copy.scanned);
  if (lacking.length > 0) {
    // Dropped between the preflight and the export, or lost by it? The database knows.
    const schema = await platform.api.schema(run.databaseId);
    if (!schema.ok) return schema;
    const still = new Set(dumpedTables(schema.value));
    const truly = lacking.filter((table) => still.has(table));
    if (truly.length > 0) return ok({ sound: false, run: restartExport(run, lacks(truly), platform, 2) });
  }
  const hazards = [...known, ...scanHazards(copy.scanned), ...emptiedTables(before.value, copy.scanned)];
  return ok({ sound: true, run: { ...run, hazards } });
}

function lacks(tables: readonly string[]): Failure {
  return {
    code: "dump-lacks-tables",
    detail: `The database has tables that D1's dump does not: ${tables.slice(0, 5).join(", ")}${tables.length > 5 ? ` and ${tables.length - 5} more` : ""}.`,
    hint: "Another export is made, once. If it stays, try `wrangler d1 export` by hand, and tell Cloudflare's support.",
    retryable: true,
  };
}
