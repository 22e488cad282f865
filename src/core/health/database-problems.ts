import type { Notice, TroubledDatabase } from "../catalog/database-row.ts";
import { FRESHNESS_LIMIT_MS, type HealthProblem } from "./problem.ts";

/** A freshness further in the future than this comes from a wrong clock. */
const AHEAD_MS = 60 * 60_000;

/** The problems of one database: at most one about its backups, and one for each notice. */
export function databaseProblems(database: TroubledDatabase, now: number): HealthProblem[] {
  const { name, id, notices } = database;
  const own = backupProblem(database, now);
  const noticed = notices.map((notice) => ({ ...noticeProblem(notice), severity: severityOf(notice) }));
  return [...(own === null ? [] : [own]), ...noticed].map((problem) => ({
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
    ? `GET /api/runs?database=${encodeURIComponent(name)}&state=failed shows why, and what to do.`
    : `Start a backup with POST /api/databases/${encodeURIComponent(name)}/backups, and check that the schedule fires.`;
  const limit = database.freshnessMs ?? FRESHNESS_LIMIT_MS;
  if (freshAt !== null && Date.parse(freshAt) > now + AHEAD_MS) {
    const detail = `The latest backup of ${name} is dated ${freshAt}, which is in the future: a clock was wrong. So it is unknown how fresh the backups are.`;
    return { code: "backup-ahead", severity: "failing", detail, hint: AHEAD_HINT };
  }
  if (now - Date.parse(freshAt ?? firstSeenAt) > limit) {
    const run = failed ? ` Its latest run failed${error}.` : "";
    return freshAt === null
      ? {
          code: "never-backed-up",
          severity: "failing",
          detail: `${name} was first seen at ${firstSeenAt} and has never been backed up.${run}`,
          hint,
        }
      : {
          code: "backup-stale",
          severity: "failing",
          detail: `${name} was last backed up, or confirmed to be unchanged, at ${freshAt}.${run}`,
          hint,
        };
  }
  if (!failed) return null;
  const still =
    freshAt === null ? "It has no backup yet." : `Its latest backup is still good as of ${freshAt}.`;
  const detail = `The latest run of ${name} failed${error}. ${still}`;
  return { code: "run-failed", severity: "degraded", detail, hint };
}

const AHEAD_HINT = "The next backup corrects this. Start one with POST /api/databases/NAME/backups.";

function noticeProblem({ kind, detail }: Notice): Pick<HealthProblem, "code" | "detail" | "hint"> {
  switch (kind) {
    case "unchanged-off":
      return {
        code: kind,
        detail: `Every run makes a full backup, because d1-nightly no longer trusts the bookmark of this database: ${detail}`,
        hint: "Please report this as a bug. To trust the bookmark again, set the database's policy again.",
      };
    case "encryption-ended":
      return {
        code: kind,
        detail,
        hint: "Set AGE_RECIPIENTS again. If you removed it on purpose, this disappears with the next full backup.",
      };
    case "copy-cut-off":
      return {
        code: kind,
        detail,
        hint: 'On the free plan, set "lean": true in the policy (PUT /api/policy for all databases). On the paid plan, PUT the policy of this database again: the next full backup then counts and compresses as before.',
      };
    case "no-backup-left":
      return { code: kind, detail, hint: "Start one with POST /api/databases/NAME/backups." };
    case "retention-unreadable":
      return {
        code: kind,
        detail,
        hint: "POST /api/backups/ID/verify shows what is wrong with it; DELETE /api/backups/ID deletes it.",
      };
    case "deletion-refused":
      return {
        code: kind,
        detail,
        hint: "The bucket's lock rule overrides retention, which tries again each day. If you want the rule, set retention to keep backups at least as long.",
      };
    case "deletion-failing":
    case "leftovers-failing":
    case "retention-failing":
      return {
        code: kind,
        detail,
        hint: "This usually resolves itself, and nothing is deleted meanwhile. If it persists, check the BACKUPS binding and https://www.cloudflarestatus.com.",
      };
    default:
      return { code: kind, detail, hint: "GET /api/databases/NAME shows more." };
  }
}

/** A database without any backup is unprotected, however new it is. */
function severityOf({ kind }: Notice): HealthProblem["severity"] {
  return kind === "no-backup-left" ? "failing" : "degraded";
}
