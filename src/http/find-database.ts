import { closestMatch } from "leven";
import type { AccountRuns, KnownNames } from "../core/account/account.ts";
import type { DatabaseSummary } from "../core/d1/api.ts";
import type { Platform } from "../core/platform.ts";
import type { Dependencies } from "./dependencies.ts";
import { failureProblem, problem } from "./problem.ts";

/** A database's name is a part of keys in the bucket, which have 1,024 bytes: no name that can be backed up is longer. */
const LONGEST_NAME = 1_000;

/** A name that is longer is compared with none: a comparison takes as long as the two are long, one times the other. */
const SUGGESTED_LENGTH = 100;

/** The account's list is read every few minutes; a look that is older than this says nothing of what is there now. */
const LOOK_HOLDS_MS = 15 * 60_000;

/** A database as Cloudflare tells of it. */
export type FoundDatabase = DatabaseSummary & { readonly fileSize: number | null };

/**
 * The database of this name or UUID, asked of Cloudflare by one call; else the answer to give. An unknown name is
 * answered with the closest ones that the account's object knows, which costs no call.
 *
 * While Cloudflare does not answer, or is not asked because the calls for reading are used up, what is `known` is told
 * without that which only Cloudflare knows; and a name that was not on the account's list a short while ago is unknown.
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

/** Known names; of an account whose databases were never listed those that Cloudflare tells, if it can be asked. */
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
  const detail = `This account had no D1 database named "${nameOrId.slice(0, 100)}" when its databases were listed last, at ${known.listedAt}. Whether it has one now was not asked: the calls of Cloudflare's API that are for reading are used up.`;
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
