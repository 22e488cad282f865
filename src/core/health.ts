import type { Failure, Result } from "./failure.ts";
import type { Notice, TroubledDatabase, TroubledDatabases } from "./database-row.ts";
import type { AccountHealth } from "./account.ts";
import { iso } from "./run.ts";

/**
 * Whether the backups are as fresh as they should be. Judged by what was committed, never by activity: a schedule
 * that fires, or a run that works, is no backup.
 */

/** How old the list of databases may be; and a database's latest backup, while nothing tells its own limit. */
export const FRESHNESS_LIMIT_MS = 26 * 60 * 60_000;

/** How long the catalogue may take to be told of a listing before that counts as a trouble. */
const TELLING_MS = 10 * 60_000;

/** What is told to be fresh for longer than that ahead of now was told by a clock that was wrong. */
const AHEAD_MS = 60 * 60_000;

/** At most so many problems are listed. */
export const PROBLEMS_LISTED = 100;

export type Severity = "failing" | "degraded";

export interface HealthProblem {
  readonly code: string;
  readonly severity: Severity;
  /** The name of the database that it concerns, and its UUID. */
  readonly database?: string;
  readonly databaseId?: string;
  readonly detail: string;
  readonly hint: string;
}

export interface Health {
  readonly status: "ok" | Severity;
  readonly asOf: string;
  /** The failing ones first. */
  readonly problems: readonly HealthProblem[];
  /** How many there are beyond those listed. */
  readonly moreProblems: number;
}

export interface HealthFacts {
  readonly databases: Result<TroubledDatabases>;
  /** Null when the account's object did not answer. */
  readonly account: AccountHealth | null;
}

/** What the facts come to; a failure in their place is that of the configuration, without which nothing is backed up. */
export function judgeHealth(facts: Result<HealthFacts>, now: number): Health {
  if (!facts.ok) return health([failureProblem(facts.failure.code, facts.failure)], 0, now);
  const { databases, account } = facts.value;
  const general: HealthProblem[] = [];
  if (account === null) general.push(ACCOUNT_SILENT);
  else general.push(...account.unproven.map(unproven), ...accountProblems(account));
  if (!databases.ok) general.push(failureProblem("catalog-unreadable", databases.failure));
  else general.push(...listingProblems(databases.value, account, now));
  const { databases: troubled, problems: counted } = databases.ok ? databases.value : NONE;
  const single = troubled.flatMap((database) => databaseProblems(database, now));
  return health([...general, ...single], counted - single.length, now);
}

const NONE = { databases: [], problems: 0 };

function health(known: readonly HealthProblem[], uncounted: number, now: number): Health {
  const failing = known.filter(({ severity }) => severity === "failing");
  const degraded = known.filter(({ severity }) => severity === "degraded");
  const problems = [...failing, ...degraded].slice(0, PROBLEMS_LISTED);
  return {
    status: problems[0]?.severity ?? "ok",
    asOf: iso(now),
    problems,
    // A database that changed between being counted and being read must not make it less than none.
    moreProblems: Math.max(0, known.length - problems.length + uncounted),
  };
}

/** What is wrong with one database: one problem about its backups, and one for each notice. */
export function databaseProblems(database: TroubledDatabase, now: number): HealthProblem[] {
  const { name, id, notices } = database;
  const own = backupProblem(database, now);
  const told = notices.map((notice) => ({ ...noticeProblem(notice), severity: "degraded" as const }));
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

/** A list of databases that is not kept up hides those that are new. */
function listingProblems(
  { listedAt, knownSince }: TroubledDatabases,
  account: AccountHealth | null,
  now: number,
): HealthProblem[] {
  const latest = account?.listing ?? null;
  const anyListed = listedAt !== null || (latest !== null && latest.databases > 0);
  const since = listedAt ?? latest?.at ?? knownSince;
  if (since === null) return [NOTHING_YET];
  if (!anyListed && latest !== null) return [];
  const newest = latest !== null && Date.parse(latest.at) > Date.parse(since) ? latest.at : since;
  if (now - Date.parse(newest) > FRESHNESS_LIMIT_MS) {
    const detail = anyListed
      ? `The account's databases were last listed in full at ${newest}.`
      : `The account's databases were never listed in full; some are known since ${newest}.`;
    return [{ code: "listing-stale", severity: "failing", detail, hint: LISTING_HINT }];
  }
  if (latest === null) return [];
  // A catalogue that was made anew knows nothing of what it was told before.
  const lost = listedAt === null && latest.untoldSince === null;
  const untoldMs = latest.untoldSince === null ? 0 : now - Date.parse(latest.untoldSince);
  if (!lost && untoldMs <= TELLING_MS) return [];
  const tooOld = listedAt === null || now - Date.parse(listedAt) > FRESHNESS_LIMIT_MS;
  return [
    {
      code: "catalog-behind",
      severity: tooOld ? "failing" : "degraded",
      detail: `The databases were listed at ${latest.at}, but the catalogue knows ${listedAt === null ? "no listing" : `only the listing of ${listedAt}`}: the freshness of some cannot be told.`,
      hint: "It is told again by itself. If the catalogue was made anew, POST /api/catalog/rebuild fills it from the bucket.",
    },
  ];
}

/** A new installation: nothing is late, and nothing is safe either. */
const NOTHING_YET: HealthProblem = {
  code: "nothing-yet",
  severity: "degraded",
  detail: "No database has been listed or backed up so far.",
  hint: "POST /api/backups makes the first backups; else the next trigger does.",
};

const LISTING_HINT = "Are the triggers in wrangler.jsonc deployed? POST /api/backups lists them now.";

/** What the account's object itself tells of. */
function accountProblems({ listingFailure, gone, triggers }: AccountHealth): HealthProblem[] {
  const problems: HealthProblem[] = [];
  if (listingFailure !== null) {
    const detail = `The list of databases could not be read: new ones stay unseen. ${listingFailure.detail}`;
    problems.push({ code: "listing-failed", severity: "degraded", detail, hint: listingFailure.hint });
  }
  if (triggers.followed && triggers.nightlyMissing) problems.push(NO_TRIGGER);
  if (triggers.heartbeatLate) {
    const detail = `The heartbeat, a trigger that fires at least every 15 minutes, fired last at ${triggers.heartbeatAt}.`;
    problems.push({ code: "heartbeat-late", severity: "degraded", detail, hint: HEARTBEAT_HINT });
  }
  for (const { id, name, goneAt } of gone) {
    const detail = `The account has no database ${name} (${id}) any more, since ${goneAt} at the latest.`;
    problems.push({
      code: "database-gone",
      severity: "degraded",
      database: name,
      databaseId: id,
      detail,
      hint: GONE_HINT,
    });
  }
  return problems;
}

const NO_TRIGGER: HealthProblem = {
  code: "no-trigger",
  severity: "degraded",
  detail: "Databases follow the Worker's Cron Triggers, and none but heartbeats has fired so far or lately.",
  hint: "Is the nightly expression among triggers.crons in wrangler.jsonc, and deployed? After a first deployment this passes with its first night. Or give the databases a schedule of their own with PUT /api/policy.",
};

const HEARTBEAT_HINT =
  'Is "*/5 * * * *" still among triggers.crons in wrangler.jsonc, and deployed? Without it new databases, catch-ups and stuck runs wait for other triggers.';

const GONE_HINT =
  "Its backups are kept, and never deleted by retention. If it was deleted by mistake, restore one. This is told for seven days.";

function unproven(recipient: string): HealthProblem {
  return {
    code: "key-unproven",
    severity: "degraded",
    detail: `Nobody has shown the private key of ${recipient}: if it is lost, what is encrypted to it alone is lost too.`,
    hint: "GET /api/key-proof gives a challenge: decrypt it with `age -d -i key.txt` and send the text back with POST /api/key-proof.",
  };
}

const ACCOUNT_SILENT: HealthProblem = {
  code: "account-silent",
  severity: "failing",
  detail: "The account's object did not answer.",
  hint: "If it stays, look at the Worker's logs: its exceptions are written there.",
};

function failureProblem(code: string, { detail, hint }: Failure): HealthProblem {
  return { code, severity: "failing", detail, hint };
}
