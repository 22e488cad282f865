import { closestMatch } from "leven";
import type { AccountRuns, KnownNames } from "../core/account/account.ts";
import type { DatabaseSummary } from "../core/d1/api.ts";
import type { Platform } from "../core/platform.ts";
import type { Dependencies } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";

/** A database's name is part of keys in the bucket, which have at most 1,024 bytes: longer names cannot be backed up. */
const LONGEST_NAME = 1_000;

/** A longer name gets no suggestions: a comparison takes time in proportion to the product of both lengths. */
const SUGGESTED_LENGTH = 100;

/** The account's list is read every few minutes; an older list says nothing about the present. */
const LOOK_HOLDS_MS = 15 * 60_000;

/** A database as Cloudflare describes it. */
export type FoundDatabase = DatabaseSummary & { readonly fileSize: number | null };

/**
 * Finds the database with this name or UUID by one call to Cloudflare; otherwise returns the response to send. The
 * response to an unknown name lists the closest ones that the account's object knows, which costs no call.
 *
 * If Cloudflare does not answer, or the calls for reading are used up, the result is what is `known`, without the facts
 * that only Cloudflare has; a name that was not on the account's recent list counts as unknown.
 */
export async function findDatabase(
  platform: Platform,
  dependencies: Dependencies,
  nameOrId: string,
  known: { readonly id: string; readonly name: string } | null = null,
): Promise<FoundDatabase | Response> {
  const account = dependencies.accountRuns(platform.settings.accountId);
  if (nameOrId.length > LONGEST_NAME) return noSuchDatabase(nameOrId, NO_NAMES);
  const found = await platform.api.getDatabase(nameOrId);
  if (found.ok) return found.value;
  const { code } = found.failure;
  if (code === "database-not-found")
    return noSuchDatabase(nameOrId, await namesLike(nameOrId, account, platform));
  if (known !== null) return { id: known.id, name: known.name, createdAt: null, fileSize: null };
  if (code !== "api-budget-spent") return failureProblem(found.failure);
  const names = await account.knownNames(nameOrId);
  const isRecent = names.listedAt !== null && platform.now() - Date.parse(names.listedAt) < LOOK_HOLDS_MS;
  return isRecent ? notListed(nameOrId, names) : failureProblem(found.failure);
}

const NO_NAMES: KnownNames = { listedAt: null, names: [] };

/** The known names; if the account's databases were never listed, those that Cloudflare returns, if it answers. */
async function namesLike(wanted: string, account: AccountRuns, { api }: Platform): Promise<KnownNames> {
  const known = await account.knownNames(wanted);
  if (known.listedAt !== null || known.names.length > 0) return known;
  const listed = await api.listDatabases(1, 1_000);
  return listed.ok ? { ...known, names: listed.value.databases.map(({ name }) => name) } : known;
}

function noSuchDatabase(nameOrId: string, known: KnownNames): Response {
  return notFound(`This account has no D1 database named "${nameOrId.slice(0, 100)}".`, nameOrId, known);
}

function notListed(nameOrId: string, known: KnownNames): Response {
  const detail = `This account had no D1 database named "${nameOrId.slice(0, 100)}" when its databases were last listed, at ${known.listedAt}. Cloudflare was not asked again, because the API calls for reading are used up.`;
  return notFound(detail, nameOrId, known);
}

function notFound(detail: string, wanted: string, { names }: KnownNames): Response {
  const closest = closestNames(wanted, names);
  return problem({
    title: "No such database",
    status: 404,
    code: "database-not-found",
    detail,
    hint:
      closest.length === 0
        ? "GET /api/databases lists the databases."
        : `Did you mean ${closest.join(", ")}?`,
    closest,
  });
}

function closestNames(wanted: string, names: readonly string[]): string[] {
  if (wanted.length > SUGGESTED_LENGTH) return [];
  const left = new Set(names.filter((name) => name.length <= SUGGESTED_LENGTH));
  const closest: string[] = [];
  while (closest.length < 3) {
    const name = closestMatch(wanted, [...left]);
    if (name === undefined) break;
    left.delete(name);
    closest.push(name);
  }
  return closest;
}
