import type { DamagedBackup, DamagedBackups } from "../bucket/damaged-backup.ts";
import type { HealthProblem } from "./problem.ts";

/** Backups that have lost their manifest. */
export function damagedProblems({ items }: DamagedBackups): HealthProblem[] {
  return items.map(damagedProblem);
}

function damagedProblem({
  backupId,
  databaseId,
  databaseName,
  objects,
  foundAt,
}: DamagedBackup): HealthProblem {
  const left = objects === 0 ? "nothing is left of it" : `${objects} of its objects are left`;
  return {
    code: "backup-damaged",
    severity: "degraded",
    ...(databaseName === null ? {} : { database: databaseName }),
    ...(databaseId === null ? {} : { databaseId }),
    detail: `Backup ${backupId} has lost its manifest.json, as was found at ${foundAt}: ${left}.`,
    hint: objects === 0 ? NOTHING_LEFT_HINT : DAMAGED_HINT,
  };
}

const DAMAGED_HINT =
  "POST /api/backups/ID/repair makes the manifest anew as far as that can be proven; until then nothing of it is deleted unasked. Does a lifecycle rule or another tool change the bucket?";
const NOTHING_LEFT_HINT =
  "Does a lifecycle rule or another tool delete from the bucket? DELETE /api/backups/ID?damaged=true takes it off the list.";

export const MAINTENANCE_SILENT: HealthProblem = {
  code: "maintenance-silent",
  severity: "degraded",
  detail:
    "The object that looks through the bucket did not answer: backups that have lost their manifest are not told.",
  hint: "If it stays, look at the Worker's logs: its exceptions are written there.",
};
