import type { Hazard } from "../dump/hazards.ts";
import { COPY_CUT_OFF } from "../run/cut-off.ts";
import { type RunState, viewRun } from "../run/run-view.ts";
import type { Run } from "../run/run.ts";
import { iso } from "../time.ts";

/** A problem that health shows for a database whose latest run did not fail. */
export interface Notice {
  readonly kind: string;
  readonly detail: string;
}

/** What a database's object reports when a run has ended. */
export interface DatabaseRow {
  readonly id: string;
  readonly name: string;
  /** The latest moment for which its latest backup is confirmed: its start, or the last check that found no change. */
  readonly freshAt: string | null;
  readonly lastBackupId: string | null;
  readonly lastRunState: RunState;
  /** The code of the latest run's failure. */
  readonly lastRunError: string | null;
  readonly notices: readonly Notice[];
  readonly writtenAt: string;
}

/** What health has to know about a database that is overdue or has another problem. */
export interface TroubledDatabase {
  readonly id: string;
  readonly name: string;
  readonly firstSeenAt: string;
  readonly freshAt: string | null;
  /** How old that may become; null if no listing has reported it. */
  readonly freshnessMs: number | null;
  readonly lastRunState: string | null;
  readonly lastRunError: string | null;
  readonly notices: readonly Notice[];
}

export interface TroubledDatabases {
  /** The latest complete listing that the catalogue knows; null without one, or when that listing was empty. */
  readonly listedAt: string | null;
  /** Without a listing: since when some database is known from its runs. */
  readonly knownSince: string | null;
  /** The worst ones. */
  readonly databases: readonly TroubledDatabase[];
  /** How many problems all databases have, including those that are not listed. */
  readonly problems: number;
}

/** What an object knows about its database in addition to the ended run. */
export interface DatabaseHistory {
  /** The row that it reported last. */
  readonly before: DatabaseRow | null;
  readonly lastBackupId: string | null;
  /** Why bookmarks are no longer trusted to show an unchanged database; null while they are. */
  readonly unchangedOff: string | null;
}

/** The row of a database whose run has ended. A failed run does not change the freshness from earlier runs. */
export function databaseRow(run: Run, known: DatabaseHistory, now: number): DatabaseRow {
  const { phase } = run;
  const { before, lastBackupId, unchangedOff } = known;
  const cancelled = phase.at === "cancelled";
  const notices: Notice[] =
    phase.at === "complete"
      ? [...noticesOf(run.hazards), ...ofRetention(before?.notices ?? [])]
      : withoutUnchangedOff(before?.notices ?? []);
  if (unchangedOff !== null) notices.push({ kind: UNCHANGED_OFF, detail: unchangedOff });
  return {
    id: run.databaseId,
    name: run.databaseName,
    freshAt: freshness(run) ?? before?.freshAt ?? startOfBackup(lastBackupId),
    lastBackupId: phase.at === "complete" || phase.at === "unchanged" ? phase.backupId : lastBackupId,
    // Cancelling a run does not fix what made the previous run fail.
    lastRunState: cancelled ? (before?.lastRunState ?? "cancelled") : viewRun(run).state,
    lastRunError: cancelled
      ? (before?.lastRunError ?? null)
      : phase.at === "failed"
        ? phase.failure.code
        : null,
    notices,
    writtenAt: iso(now),
  };
}

/** The row once a policy was set: bookmarks are compared again, and copying is tried as the policy says. */
export function afterPolicySet(row: DatabaseRow, now: number): DatabaseRow {
  const notices = row.notices.filter(({ kind }) => kind !== UNCHANGED_OFF && kind !== COPY_CUT_OFF);
  return { ...row, notices, writtenAt: iso(now) };
}

export const UNCHANGED_OFF = "unchanged-off";

/** The hazards of a backup that health shows until the next backup. */
export function noticesOf(hazards: readonly Hazard[]): Notice[] {
  return hazards
    .filter(({ kind }) => kind === "encryption-ended" || kind === COPY_CUT_OFF)
    .map(({ kind, detail }) => ({ kind, detail }));
}

function withoutUnchangedOff(notices: readonly Notice[]): Notice[] {
  return notices.filter(({ kind }) => kind !== UNCHANGED_OFF);
}

/** The moment whose state the latest backup has, if this run shows it. */
function freshness(run: Run): string | null {
  if (run.phase.at === "complete") return iso(run.startedAt ?? run.createdAt);
  return run.phase.at === "unchanged" ? iso(run.finishedAt ?? run.createdAt) : null;
}

/** A backup's id ends with the second in which the run's work began. */
function startOfBackup(backupId: string | null): string | null {
  const stamp = /\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(backupId ?? "");
  if (stamp === null) return null;
  const [, year, month, day, hour, minute, second] = stamp;
  return `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
}

/** Only retention withdraws its own notices. */
function ofRetention(notices: readonly Notice[]): Notice[] {
  return notices.filter(({ kind }) => /^(deletion|retention|leftovers)-/.test(kind));
}
