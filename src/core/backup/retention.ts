import { DAY_MS } from "../time.ts";
import { z } from "zod";

/** How many backups are kept: of the latest, of each period (UTC days, ISO weeks, months, years), and by age in days. */
const howMany = (what: string) =>
  z
    .number({ error: `must be a number ${what}, such as 7; 0 for none` })
    .int(`must be a whole number ${what}`)
    .min(0, "must be 0 or more, such as 7")
    .max(100_000, "must be 100000 or less, such as 7");

export const retentionSchema = z.strictObject({
  keepLast: howMany("of backups").optional(),
  keepHourly: howMany("of hours").optional(),
  keepDaily: howMany("of days").optional(),
  keepWeekly: howMany("of weeks").optional(),
  keepMonthly: howMany("of months").optional(),
  keepYearly: howMany("of years").optional(),
  keepWithinDays: howMany("of days").optional(),
});
export type Retention = Required<z.infer<typeof retentionSchema>>;

/** What retention needs to know about a committed backup. Times are milliseconds since the epoch. */
export interface RetainedBackup {
  readonly id: string;
  readonly startedAt: number;
  readonly pinned: boolean;
}

/** What is kept and why, and what is removed, both newest first. Times are ISO 8601. */
export interface RetentionPlan {
  readonly keep: readonly { backupId: string; startedAt: string; reasons: readonly string[] }[];
  readonly remove: readonly { backupId: string; startedAt: string }[];
}

export const DEFAULT_RETENTION: Retention = {
  keepLast: 3,
  keepHourly: 0,
  keepDaily: 14,
  keepWeekly: 8,
  keepMonthly: 12,
  keepYearly: 3,
  keepWithinDays: 0,
};

/** The rules that delete nothing. */
export const KEEP_ALL: Retention = {
  keepLast: 0,
  keepHourly: 0,
  keepDaily: 0,
  keepWeekly: 0,
  keepMonthly: 0,
  keepYearly: 0,
  keepWithinDays: 0,
};

/** A policy by age alone keeps at least so many. */
const WHATEVER_AGE = 3;

/** The periods for `keepHourly` to `keepYearly`, in UTC; weeks are ISO weeks. */
const PERIODS = [
  { rule: "keepHourly", word: "hourly", period: (at) => iso(at).slice(0, 13) },
  { rule: "keepDaily", word: "daily", period: (at) => iso(at).slice(0, 10) },
  { rule: "keepWeekly", word: "weekly", period: isoWeek },
  { rule: "keepMonthly", word: "monthly", period: (at) => iso(at).slice(0, 7) },
  { rule: "keepYearly", word: "yearly", period: (at) => iso(at).slice(0, 4) },
] as const satisfies readonly { rule: keyof Retention; word: string; period: (at: number) => string }[];

/**
 * Which of one database's backups are kept, and why. These are restic's rules: each rule looks back from the newest
 * backup, and a backup that any rule keeps is kept.
 *
 * - The newest `keepLast` backups.
 * - The newest backup of each of the latest N hours, days, weeks, months and years that have one. So an outage uses up
 *   no periods.
 * - All backups within `keepWithinDays` of the newest backup, not of today: a database that was not backed up for a
 *   while must not lose its backups. As this does not help after the first backup after a gap, a policy by age alone
 *   keeps the newest three of any age.
 *
 * A policy of zeros, or an invalid one, keeps everything. Always kept: the newest backup, pinned ones, and ones dated
 * later than `now`. The latter count for no rule, because a wrong clock may have dated them.
 */
export function retain(backups: readonly RetainedBackup[], retention: Retention, now: number): RetentionPlan {
  const newestFirst = backups.toSorted((a, b) => b.startedAt - a.startedAt || (a.id < b.id ? 1 : -1));
  const past = newestFirst.filter(({ startedAt }) => startedAt <= now);
  const reasons = new Map<string, string[]>(newestFirst.map(({ id }) => [id, []]));
  const keep = ({ id }: RetainedBackup, reason: string): void => {
    reasons.get(id)?.push(reason);
  };

  for (const backup of newestFirst) {
    if (backup.pinned) keep(backup, "pinned");
    if (backup.startedAt > now) keep(backup, "future-dated");
  }
  if (rulesNothing(retention)) for (const backup of past) keep(backup, "no rule");
  else {
    for (const backup of past.slice(0, 1)) keep(backup, "the newest");
    applyRules(past, retention, keep);
  }

  const shown = ({ id, startedAt }: RetainedBackup): { backupId: string; startedAt: string } => ({
    backupId: id,
    startedAt: iso(startedAt),
  });
  const isKept = ({ id }: RetainedBackup): boolean => (reasons.get(id) ?? []).length > 0;
  return {
    keep: newestFirst
      .filter(isKept)
      .map((backup) => ({ ...shown(backup), reasons: reasons.get(backup.id) ?? [] })),
    remove: newestFirst.filter((backup) => !isKept(backup)).map(shown),
  };
}

function applyRules(
  past: readonly RetainedBackup[],
  retention: Retention,
  keep: (backup: RetainedBackup, reason: string) => void,
): void {
  const { keepLast, keepWithinDays } = retention;
  past.slice(0, keepLast).forEach((backup, index) => {
    keep(backup, `last ${index + 1} of ${keepLast}`);
  });
  for (const { rule, word, period } of PERIODS) {
    const seen = new Set<string>();
    for (const backup of past) {
      const name = period(backup.startedAt);
      if (seen.has(name)) continue;
      if (seen.size >= retention[rule]) break;
      seen.add(name);
      keep(backup, `${word} ${name}`);
    }
  }
  const since = (past[0]?.startedAt ?? 0) - keepWithinDays * DAY_MS;
  if (keepWithinDays > 0)
    for (const backup of past) if (backup.startedAt >= since) keep(backup, `within ${days(keepWithinDays)}`);
  const byAgeAlone = Object.entries(retention).every(
    ([rule, value]) => (rule === "keepWithinDays") === value > 0,
  );
  if (byAgeAlone)
    past.slice(0, WHATEVER_AGE).forEach((backup, index) => {
      keep(backup, `${index + 1} of ${WHATEVER_AGE} kept whatever their age`);
    });
}

/** Whether the policy has no rules, or an invalid number: then nothing is removed. */
function rulesNothing(retention: Retention): boolean {
  const rules = Object.values(retention);
  return rules.every((value) => value === 0) || rules.some((value) => !Number.isInteger(value) || value < 0);
}

function days(count: number): string {
  return count === 1 ? "1 day" : `${count} days`;
}

/** `2026-W47`: the week from Monday to Sunday, in the year of its Thursday. */
function isoWeek(at: number): string {
  // 1 January 1970 was a Thursday: counted in days, Thursdays are the multiples of seven.
  const thursday = Math.floor((Math.floor(at / DAY_MS) + 3) / 7) * 7;
  const year = new Date(thursday * DAY_MS).getUTCFullYear();
  const week = Math.floor((thursday - Date.UTC(year, 0, 1) / DAY_MS) / 7) + 1;
  return `${year}-W${String(week).padStart(2, "0")}`;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
