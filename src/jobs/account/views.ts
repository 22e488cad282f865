import type { AccountHealth, TriggersView } from "../../core/account/account-health.ts";
import type { DatabaseDescription, DefaultPolicyView } from "../../core/account/account.ts";
import type { SweepView } from "../../core/account/sweep.ts";
import { lastHeartbeat, scheduleTriggers } from "../../core/schedule/cron-triggers.ts";
import { freshnessLimitMs } from "../../core/schedule/schedule.ts";
import { iso } from "../../core/time.ts";
import { shownFindings } from "../registry/account-outbox.ts";
import type { AccountSchedule } from "../registry/account-schedule.ts";
import type { DatabaseRegistry, PolicyChange, RegistryEntry } from "../registry/database-registry.ts";
import type { ListingStore } from "../registry/listing-store.ts";

/** How long health shows a database that is gone from the account. */
const GONE_TOLD_MS = 7 * 24 * 60 * 60_000;

/** Two beats of the slowest possible heartbeat. */
const HEARTBEAT_LIMIT_MS = 30 * 60_000;

/** What the account's object knows about a database, in the form for others. */
export function viewDatabase(
  entry: RegistryEntry,
  changes: readonly PolicyChange[],
  schedule: AccountSchedule,
  now: number,
): DatabaseDescription {
  const policy = schedule.policyOf(entry.policy);
  const nextAt = schedule.nextAt(entry);
  return {
    id: entry.id,
    name: entry.name,
    goneAt: entry.goneAt === null ? null : iso(entry.goneAt),
    policy,
    ownPolicy: entry.policy,
    policyChanges: changes.map(shownChange),
    nextAt: nextAt === null ? null : iso(nextAt),
    freshnessMs: freshnessLimitMs(policy, schedule.triggers, now),
    watched: schedule.isWatched(entry),
    lastBackupId: entry.last?.backupId ?? null,
    ...shownFindings(entry),
  };
}

export function defaultPolicyView(
  schedule: AccountSchedule,
  changes: readonly PolicyChange[],
): DefaultPolicyView {
  return {
    policy: schedule.defaultPolicy,
    effective: schedule.policyOf({}),
    policyChanges: changes.map(shownChange),
  };
}

/** What the account's object adds to health. */
export function healthOf(known: {
  readonly listing: ListingStore;
  readonly pendingSince: number | null;
  readonly sweep: SweepView | null;
  readonly unproven: readonly string[];
  readonly catalogDatabaseName: string;
  readonly registry: DatabaseRegistry;
  readonly schedule: AccountSchedule;
  readonly now: number;
}): AccountHealth {
  const { listing, pendingSince, registry, schedule, now } = known;
  const { listed, failure } = listing;
  return {
    listing:
      listed === null
        ? null
        : {
            at: iso(listed.at),
            databases: listed.databases,
            pendingSince: pendingSince === null ? null : iso(pendingSince),
          },
    listingFailure:
      failure === null ? null : { code: failure.code, detail: failure.detail, hint: failure.hint },
    unreadableRows: listed?.unreadable ?? [],
    catalogNotFound: listed?.catalogFound === false ? known.catalogDatabaseName : null,
    catalogIsAnother:
      listed?.catalogFound === true && listing.catalogCheck?.isAnother === true
        ? known.catalogDatabaseName
        : null,
    gone: registry
      .goneSince(now - GONE_TOLD_MS)
      .map(({ id, name, goneAt }) => ({ id, name, goneAt: iso(goneAt ?? now) })),
    triggers: triggersView(schedule, now),
    sweep: known.sweep,
    unproven: known.unproven,
  };
}

function triggersView(schedule: AccountSchedule, now: number): TriggersView {
  const heartbeatAt = lastHeartbeat(schedule.triggers);
  return {
    nightly: scheduleTriggers(schedule.triggers).map(({ cron }) => cron),
    unread: schedule.unreadTriggers,
    nightlyMissing: schedule.isNightlyMissing(now),
    heartbeatAt: heartbeatAt === null ? null : iso(heartbeatAt),
    heartbeatLate: heartbeatAt !== null && now - heartbeatAt > HEARTBEAT_LIMIT_MS,
    followed: schedule.isFollowed,
  };
}

function shownChange({ at, who, policy }: PolicyChange): { at: string; who: string; policy: unknown } {
  return { at: iso(at), who, policy };
}
