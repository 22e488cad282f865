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
    detail: `Backup ${backupId} has lost its manifest.json, which was noticed at ${foundAt}; ${left}.`,
    hint: objects === 0 ? NOTHING_LEFT_HINT : DAMAGED_HINT,
  };
}

const DAMAGED_HINT =
  "POST /api/backups/ID/repair rebuilds the manifest, as far as its contents can be proved. d1-nightly deletes nothing of this backup by itself. Check whether a lifecycle rule or another tool changes the bucket.";
const NOTHING_LEFT_HINT =
  "Check whether a lifecycle rule or another tool deletes from the bucket. DELETE /api/backups/ID?damaged=true removes the backup from the list.";

export const MAINTENANCE_SILENT: HealthProblem = {
  code: "maintenance-silent",
  severity: "degraded",
  detail:
    "The object that searches the bucket did not answer, so backups without their manifest are not shown here.",
  hint: "If this persists, look for exceptions in the Worker's logs.",
};

/** KEY_PREFIX was changed, and the backups have stayed where they were. */
export function elsewhereProblem(place: { folder: string; keyPrefix: string }): HealthProblem {
  return {
    code: "backups-elsewhere",
    severity: "degraded",
    detail: `KEY_PREFIX is ${place.keyPrefix}, but the catalogue lists backups outside of it, such as ${place.folder}. They can be read and deleted through the API, but retention neither counts nor deletes them.`,
    hint: "Set KEY_PREFIX back, or move the backups: docs/operating.md says how.",
  };
}
