import { closestMatch } from "leven";
import type { DatabaseSummary } from "../core/d1/api.ts";
import type { Result } from "../core/failure.ts";
import type { Platform } from "../core/platform.ts";
import { failureProblem, problem } from "./problem.ts";

/** How many names are looked at for those closest to a misspelt one. */
const NAMES_LOOKED_AT = 1_000;

/** The database of this name or UUID; else the answer to give: for an unknown one, 404 with the closest names. */
export async function findDatabase(
  platform: Platform,
  nameOrId: string,
): Promise<(DatabaseSummary & { fileSize: number | null }) | Response> {
  const found = await platform.api.getDatabase(nameOrId);
  if (found.ok) return found.value;
  if (found.failure.code !== "database-not-found") return failureProblem(found.failure);
  const closest = await closestNames(platform, nameOrId);
  if (!closest.ok) return failureProblem(closest.failure);
  return problem({
    title: "No such database",
    status: 404,
    code: "database-not-found",
    detail: `This account has no D1 database named "${nameOrId.slice(0, 100)}".`,
    hint:
      closest.value.length === 0
        ? "The account has no databases yet."
        : `Did you mean ${closest.value.join(", ")}?`,
    closest: closest.value,
  });
}

async function closestNames(platform: Platform, wanted: string): Promise<Result<string[]>> {
  const listed = await platform.api.listDatabases(1, NAMES_LOOKED_AT);
  if (!listed.ok) return listed;
  const left = new Set(listed.value.databases.map((database) => database.name));
  const closest: string[] = [];
  while (closest.length < 3) {
    const name = closestMatch(wanted, [...left]);
    if (name === undefined) break;
    left.delete(name);
    closest.push(name);
  }
  return { ok: true, value: closest };
}
