import type { Notice, TroubledDatabase } from "../catalog/database-row.ts";
import { FRESHNESS_LIMIT_MS, type HealthProblem } from "./problem.ts";

/** What is told to be fresh for longer than that ahead of now was told by a clock that was wrong. */
const AHEAD_MS = 60 * 60_000;

/** What is wrong with one database: one problem about its backups, and one for each notice. */
export function databaseProblems(database: TroubledDatabase, now: number): HealthProblem[] {
  const { name, id, notices } = database;
  const own = backupProblem(database, now);
  const told = notices.map((notice) => ({ ...noticeProblem(notice), severity: severityOf(notice) }));
  return [...(own === null ? [] : [own]), ...told].map((problem) => ({
    ...problem,
    database: name,
    databaseId: id,
  }));
}

function backupProblem(database: TroubledDatabase, now: number): HealthProblem | null {
  const { name, firstSeenAt, freshAt, lastRunState, lastRunError } = database;
  const failed = lastRunState === "failed";
  const error = lastRunError === null ? "" : ` (${lastRunError})`;
  const hint = failed
    ? `GET /api/runs?database=${encodeURIComponent(name)}&state=failed says why, and what to do.`
    : `Start one with POST /api/databases/${encodeURIComponent(name)}/backups; does the schedule fire?`;
  const limit = database.freshnessMs ?? FRESHNESS_LIMIT_MS;
  if (freshAt !== null && Date.parse(freshAt) > now + AHEAD_MS) {
    const detail = `${name} is told to be backed up as of ${freshAt}, which is still to come: a clock was wrong. Whether a backup stands for it cannot be told.`;
    return { code: "backup-ahead", severity: "failing", detail, hint: AHEAD_HINT };
  }
  if (now - Date.parse(freshAt ?? firstSeenAt) > limit) {
    const run = failed ? ` Its latest run failed${error}.` : "";
    return freshAt === null
      ? {
          code: "never-backed-up",
          severity: "failing",
          detail: `${name} was never backed up, and is known since ${firstSeenAt}.${run}`,
          hint,
        }
      : {
          code: "backup-stale",
          severity: "failing",
          detail: `${name} has no backup that stands for it later than ${freshAt}.${run}`,
          hint,
        };
  }
  if (!failed) return null;
  const still =
    freshAt === null ? "There is no backup of it yet." : `A backup stands for it as of ${freshAt}.`;
  const detail = `The latest run of ${name} failed${error}. ${still}`;
  return { code: "run-failed", severity: "degraded", detail, hint };
}

const AHEAD_HINT =
  "The next backup, or check that finds it unchanged, puts it right: start one with POST /api/databases/NAME/backups.";

function noticeProblem({ kind, detail }: Notice): Pick<HealthProblem, "code" | "detail" | "hint"> {
  switch (kind) {
    case "unchanged-off":
      return {
        code: kind,
        detail: `Every run backs it up in full, because unchanged databases are no longer told by their bookmark: ${detail}`,
        hint: "Please report it as a defect. Setting the database's policy anew switches the comparison on again.",
      };
    case "encryption-ended":
      return {
        code: kind,
        detail,
        hint: "Set AGE_RECIPIENTS again; if its end was intended, the next full backup clears this.",
      };
    case "no-backup-left":
      return { code: kind, detail, hint: "Start one with POST /api/databases/NAME/backups." };
    case "retention-unreadable":
      return {
        code: kind,
        detail,
        hint: "POST /api/backups/ID/verify says what is wrong with it; DELETE /api/backups/ID deletes it.",
      };
    case "deletion-refused":
      return {
        code: kind,
        detail,
        hint: "A lock rule of the bucket is stronger than retention; it is tried again each day. If that is wanted, keep backups for at least as long as the rule does.",
      };
    case "deletion-failing":
    case "retention-failing":
      return {
        code: kind,
        detail,
        hint: "Usually passes by itself. If it stays, check the BACKUPS binding and https://www.cloudflarestatus.com; nothing is deleted meanwhile.",
      };
    default:
      return { code: kind, detail, hint: "GET /api/databases/NAME says more." };
  }
}

/** Without any backup a database is not protected, however new it is. */
function severityOf({ kind }: Notice): HealthProblem["severity"] {
  return kind === "no-backup-left" ? "failing" : "degraded";
}
