import { type Claim, readClaim } from "../../core/bucket/claim.ts";
import { groupPage, isOurs, suspicionOf } from "../../core/bucket/folders.ts";
import { CLAIM } from "../../core/bucket/object-keys.ts";
import { listFolder } from "../../core/bucket/vault.ts";
import { describeException, failed, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { DatabaseRuns } from "../../core/run/database-runs.ts";
import { iso } from "../../core/time.ts";
import { idOfFolder } from "../retention/backup-store.ts";
import type { MaintenanceStep } from "./bucket-walk.ts";
import type { MaintenanceJob } from "./maintenance-job.ts";
import type { MaintenanceStore } from "./maintenance-store.ts";
import type { Orphan } from "./search-store.ts";

const READS = 10;

/** RUN.json has some hundred bytes: a much longer one is not ours. */
const CLAIM_BYTES = 4_096;

/** Between the dry run that listed an orphan first and the one that lets it be collected with nobody asking. */
const TWICE_AFTER_MS = 24 * 60 * 60_000;

/** A look at the list, the catalogue and the claim, and the call that hands it over: with a list of two pages. */
const CALLS_A_FOLDER = 5;

const RUNS_KEPT_MS = 90 * 24 * 60 * 60_000;

export type FolderCollector = Pick<DatabaseRuns, "collectFolder" | "folderState">;

/** Reads the next RUN.json files; a folder counts as ours only if its RUN.json shows that. */
export async function readClaims(
  job: MaintenanceJob,
  store: MaintenanceStore,
  { vault }: Platform,
): Promise<Result<MaintenanceStep>> {
  const next = store.toRead(READS);
  const claims: { folder: string; claim: Claim | null }[] = [];
  for (const { key, bytes, folder } of next) {
    if (folder === null) continue;
    const text = bytes > CLAIM_BYTES ? ok(null) : await vault.readText(key);
    if (!text.ok) return text;
    claims.push({ folder, claim: readClaim(text.value) });
  }
  const pageDone = next.length < READS;
  const changes = (): void => {
    for (const { folder, claim } of claims) store.search.checkCandidate(folder, claim);
    store.wasRead(next.map(({ key }) => key));
  };
  const step = pageDone ? "comparing" : "reading";
  return ok({ job: { ...job, step, attempt: 0 }, calls: next.length, changes });
}

/** Looks at the next orphan again, and hands it to the object of its database, which deletes it. */
export async function collectNext(
  job: MaintenanceJob,
  store: MaintenanceStore,
  platform: Platform,
  database: (id: string) => FolderCollector,
): Promise<Result<MaintenanceStep>> {
  // What is collected with nobody asking was listed by a dry run of a day ago, too.
  const listedBy = job.kind === "daily" ? job.startedAt - TWICE_AFTER_MS : job.startedAt;
  const orphan = store.search.nextOrphan(listedBy);
  if (orphan === null) {
    const step = job.kind === "daily" ? "forgetting" : "done";
    return ok({ job: { ...job, step, attempt: 0 }, calls: 0 });
  }
  const looked = await lookAgain(orphan, platform);
  if (!looked.ok) return looked;
  let outcome: Orphan["outcome"] = "changed";
  if (looked.value !== null) {
    const collected = await handOver(orphan, looked.value, database);
    if (!collected.ok) return collected;
    if (collected.value !== "committed") outcome = collected.value;
  }
  return ok({
    job: { ...job, attempt: 0 },
    calls: CALLS_A_FOLDER,
    changes: () => store.search.settleOrphan(orphan.folder, outcome),
  });
}

/** The names of our files in the folder; null if it is no longer an orphan. */
async function lookAgain(
  { folder, runId, databaseId }: Orphan,
  { vault, settings, catalog, ...platform }: Platform,
): Promise<Result<string[] | null>> {
  const listed = await listFolder(folder, vault);
  if (!listed.ok) return listed;
  const objects = listed.value;
  const [found] = groupPage(settings.keyPrefix, null, objects, true).complete;
  if (found === undefined || suspicionOf(settings.keyPrefix, found, platform.now()) !== "orphan")
    return ok(null);
  const row = await catalog.backup(idOfFolder(folder));
  if (!row.ok) return row;
  if (row.value?.folder === folder) return ok(null);
  const text = await vault.readText(folder + CLAIM);
  if (!text.ok) return text;
  const claim = readClaim(text.value);
  if (claim?.runId !== runId || claim.databaseId !== databaseId) return ok(null);
  return ok(objects.map(({ key }) => key.slice(folder.length)).filter((name) => isOurs(folder, name)));
}

function handOver(
  { folder, runId, databaseId }: Orphan,
  names: readonly string[],
  database: (id: string) => FolderCollector,
): Promise<Result<"collected" | "in-use" | "committed">> {
  return askDatabase(databaseId, () => database(databaseId).collectFolder(folder, runId, names));
}

/** The answer of a database's object, or a retryable failure. */
export async function askDatabase<T>(databaseId: string, ask: () => Promise<Result<T>>): Promise<Result<T>> {
  try {
    return await ask();
  } catch (error) {
    return failed({
      code: "internal-error",
      detail: `The object of database ${databaseId} did not answer: ${describeException(error)}`,
      hint: "It is tried again. If this persists, look at the Worker's logs.",
      retryable: true,
    });
  }
}

/** Takes some of the runs of long ago out of the catalogue. */
export async function forgetRuns(
  job: MaintenanceJob,
  { catalog }: Platform,
): Promise<Result<MaintenanceStep>> {
  const forgotten = await catalog.forgetRuns(iso(job.startedAt - RUNS_KEPT_MS));
  if (!forgotten.ok) return forgotten;
  return ok({ job: { ...job, step: forgotten.value ? "done" : "forgetting", attempt: 0 }, calls: 1 });
}
