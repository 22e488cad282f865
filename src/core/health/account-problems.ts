import type { AccountHealth } from "../account/account-health.ts";
import type { TroubledDatabases } from "../catalog/database-row.ts";
import { FRESHNESS_LIMIT_MS, type HealthProblem } from "./problem.ts";

/** How long the catalogue may take to accept a listing before that counts as a problem. */
const DELIVERY_MS = 10 * 60_000;

/** An outdated list of databases hides new ones. */
export function listingProblems(
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
      : `The account's databases were never listed in full; some have been known since ${newest}.`;
    return [{ code: "listing-stale", severity: "failing", detail, hint: LISTING_HINT }];
  }
  if (latest === null) return [];
  // A recreated catalogue does not know earlier listings.
  const lost = listedAt === null && latest.pendingSince === null;
  const pendingMs = latest.pendingSince === null ? 0 : now - Date.parse(latest.pendingSince);
  if (!lost && pendingMs <= DELIVERY_MS) return [];
  const tooOld = listedAt === null || now - Date.parse(listedAt) > FRESHNESS_LIMIT_MS;
  return [
    {
      code: "catalog-behind",
      severity: tooOld ? "failing" : "degraded",
      detail: `The databases were listed at ${latest.at}, but the catalogue knows ${listedAt === null ? "no listing" : `only the listing of ${listedAt}`}: the freshness of some is unknown.`,
      hint: "It is updated automatically. If the catalogue was recreated, POST /api/catalog/rebuild fills it from the bucket.",
    },
  ];
}

/** A new installation: nothing is late, and nothing is safe either. */
const NOTHING_YET: HealthProblem = {
  code: "nothing-yet",
  severity: "degraded",
  detail: "No database has been listed or backed up yet.",
  hint: "Make the first backups with POST /api/backups, or wait for the next trigger.",
};

const LISTING_HINT =
  "Check that the triggers in wrangler.jsonc are deployed. POST /api/backups lists the databases now.";

/** Problems that the account's object itself reports. */
export function accountProblems(account: AccountHealth): HealthProblem[] {
  const { listingFailure, unreadableRows, catalogNotFound, catalogIsAnother, gone, triggers } = account;
  const problems: HealthProblem[] = [];
  if (unreadableRows.length > 0) {
    const named = unreadableRows.slice(0, 5).join("; ");
    const more = unreadableRows.length > 5 ? `; and ${unreadableRows.length - 5} more` : "";
    const detail = `Cloudflare lists databases in a form that cannot be read; they are not backed up: ${named}${more}. Meanwhile no database is marked as gone.`;
    problems.push({ code: "listing-unreadable", severity: "degraded", detail, hint: UNREADABLE_HINT });
  }
  if (catalogNotFound !== null) {
    const detail = `The account has no database named ${catalogNotFound}, which CATALOG_DATABASE_NAME says is the catalogue. Under another name, only a run of the catalogue finds out that it is not to be backed up.`;
    problems.push({ code: "catalog-not-found", severity: "degraded", detail, hint: CATALOG_HINT });
  }
  if (listingFailure !== null) {
    const detail = `The list of databases could not be read, so new ones are not seen. ${listingFailure.detail}`;
    problems.push({ code: "listing-failed", severity: "degraded", detail, hint: listingFailure.hint });
  }
  if (catalogIsAnother !== null) {
    const detail = `CATALOG_DATABASE_NAME says that ${catalogIsAnother} is the catalogue, but this database has other tables. As the catalogue it is excluded, so it is not backed up.`;
    problems.push({ code: "catalog-is-another", severity: "failing", detail, hint: CATALOG_HINT });
  }
  if (triggers.followed && triggers.nightlyMissing) problems.push(NO_TRIGGER);
  if (triggers.unread.length > 0) problems.push(unreadTriggers(triggers.unread));
  if (triggers.heartbeatLate) {
    const detail = `The heartbeat, a trigger that fires at least every 15 minutes, last fired at ${triggers.heartbeatAt}.`;
    problems.push({ code: "heartbeat-late", severity: "degraded", detail, hint: HEARTBEAT_HINT });
  }
  for (const { id, name, goneAt } of gone) {
    const detail = `Database ${name} (${id}) is gone from the account, since ${goneAt} at the latest.`;
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

const UNREADABLE_HINT =
  "Look at them in Cloudflare's dashboard. If nothing is wrong with them there, Cloudflare's API has changed: look for a newer release of d1-nightly.";

const CATALOG_HINT =
  "Set CATALOG_DATABASE_NAME to the catalogue's database_name, letter by letter: `npm run deploy` does it. Is CLOUDFLARE_ACCOUNT_ID the account that has the catalogue?";

const NO_TRIGGER: HealthProblem = {
  code: "no-trigger",
  severity: "degraded",
  detail:
    "Databases follow the Worker's Cron Triggers, but none except heartbeats has fired, or not recently.",
  hint: "Check that triggers.crons in wrangler.jsonc has the nightly expression, and is deployed. After a first deployment, this is normal until the first night. You can also set another schedule with PUT /api/policy.",
};

/** Until somebody says how old a backup may be, a trigger that fires no more would be noticed after a month alone. */
function unreadTriggers(crons: readonly string[]): HealthProblem {
  const named = crons.map((cron) => `"${cron.slice(0, 100)}"`).join(", ");
  return {
    code: "trigger-unreadable",
    severity: "degraded",
    detail: `Databases follow the Cron Trigger ${named}, and d1-nightly cannot tell from it how often it fires: a backup that is late is noticed after a month.`,
    hint: 'Set how old a backup may become with PUT /api/policy, such as {"freshnessMs": 93600000} for 26 hours; or give the databases a schedule there; or deploy a trigger without days counted from the month\'s end (L-3).',
  };
}

const HEARTBEAT_HINT =
  'Check that triggers.crons in wrangler.jsonc still has "*/5 * * * *", and is deployed. Without it, new databases, missed backups and stuck runs wait for other triggers.';

const GONE_HINT =
  "Retention never deletes its backups. If the database was deleted by mistake, restore one. This message disappears after seven days.";

export function unproven(recipient: string): HealthProblem {
  return {
    code: "key-unproven",
    severity: "degraded",
    detail: `Nobody has proved to hold the private key of ${recipient}. If the key is lost, so is what is encrypted only to it.`,
    hint: "Get a challenge with GET /api/key-proof, decrypt it with `age -d -i key.txt`, and send the text with POST /api/key-proof.",
  };
}

export const ACCOUNT_SILENT: HealthProblem = {
  code: "account-silent",
  severity: "failing",
  detail: "The account's object did not answer.",
  hint: "If this persists, look for exceptions in the Worker's logs.",
};
