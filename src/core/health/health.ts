import type { AccountHealth } from "../account/account-health.ts";
import type { DamagedBackups } from "../bucket/damaged-backup.ts";
import type { TroubledDatabases } from "../catalog/database-row.ts";
import type { Failure, Result } from "../failure.ts";
import { iso } from "../time.ts";
import { ACCOUNT_SILENT, accountProblems, listingProblems, unproven } from "./account-problems.ts";
import { damagedProblems, elsewhereProblem, MAINTENANCE_SILENT } from "./bucket-problems.ts";
import { databaseProblems } from "./database-problems.ts";
import type { HealthProblem, Severity } from "./problem.ts";

/** At most so many problems are listed. */
export const PROBLEMS_LISTED = 100;

export interface Health {
  readonly status: "ok" | Severity;
  readonly asOf: string;
  /** The failing ones first. */
  readonly problems: readonly HealthProblem[];
  /** How many problems there are beyond the listed ones. */
  readonly moreProblems: number;
}

export interface HealthFacts {
  readonly databases: Result<TroubledDatabases>;
  /** Null if the account's object did not answer. */
  readonly account: AccountHealth | null;
  /** The first of the backups that have lost their manifest; null when the object that looks for them did not answer. */
  readonly damaged: DamagedBackups | null;
  /** Where some backup lies that is not below KEY_PREFIX, and that prefix; null when there is none. */
  readonly elsewhere: { readonly folder: string; readonly keyPrefix: string } | null;
}

/** The health that follows from the facts. A failure in their place is an invalid configuration: it stops all backups. */
export function evaluateHealth(facts: Result<HealthFacts>, now: number): Health {
  if (!facts.ok) return health([failureProblem(facts.failure.code, facts.failure)], 0, now);
  const { databases, account, damaged, elsewhere } = facts.value;
  const general: HealthProblem[] = [];
  if (account === null) general.push(ACCOUNT_SILENT);
  else general.push(...account.unproven.map(unproven), ...accountProblems(account));
  if (!databases.ok) general.push(failureProblem("catalog-unreadable", databases.failure));
  else general.push(...listingProblems(databases.value, account, now));
  general.push(...(damaged === null ? [MAINTENANCE_SILENT] : damagedProblems(damaged)));
  if (elsewhere !== null) general.push(elsewhereProblem(elsewhere));
  const { databases: troubled, problems: counted } = databases.ok ? databases.value : NONE;
  const unlisted = damaged === null ? 0 : damaged.count - damaged.items.length;
  const single = troubled.flatMap((database) => databaseProblems(database, now));
  return health([...general, ...single], counted - single.length + unlisted, now);
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
    // Never negative, even if a database changed between being counted and being read.
    moreProblems: Math.max(0, known.length - problems.length + uncounted),
  };
}

function failureProblem(code: string, { detail, hint }: Failure): HealthProblem {
  return { code, severity: "failing", detail, hint };
}
