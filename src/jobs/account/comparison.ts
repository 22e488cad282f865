import { runIdOf } from "../../core/bucket/object-keys.ts";
import { ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { backupOptions } from "../../core/policy/backup-options.ts";
import type { BackupRequest } from "../../core/run/request.ts";
import { type RunView, viewRun } from "../../core/run/run-view.ts";
import { newRun } from "../../core/run/run.ts";
import { reasonForFullBackup } from "../../core/run/unchanged.ts";
import { standingBackup } from "../database/standing-backup.ts";
import type { AccountSchedule } from "../registry/account-schedule.ts";
import type { RegistryEntry } from "../registry/database-registry.ts";

/** The backup that still matches the database, and the run that confirms it; otherwise its object makes a new one. */
export type Compared =
  | { readonly stands: true; readonly backupId: string; readonly run: RunView }
  /** Its bookmark is another one now, or was not asked for. Its latest dump was so large, if there was one. */
  | { readonly stands: false; readonly written: boolean; readonly dumpBytes: number | null };

/**
 * Whether the latest backup of a database still stands for it: asked here, so that thousands of databases that were not
 * written to do not wake an object each. Whatever is not plain is left to the database's own object. Changes nothing.
 */
export async function compareBookmark(
  entry: RegistryEntry,
  request: BackupRequest,
  schedule: AccountSchedule,
  platform: Platform,
): Promise<Result<Compared>> {
  const policy = schedule.policyOf(entry.policy);
  const options = backupOptions(policy, platform.settings.recipients);
  const last = await standingBackup(entry.last, platform);
  if (!last.ok || last.value === null) return ok({ stands: false, written: false, dumpBytes: null });
  const dumpBytes = last.value.dump.bytes;
  const question = {
    databaseId: entry.id,
    databaseName: entry.name,
    request,
    policy,
    options,
    off: entry.unchangedOff !== null,
    bookmark: null,
    manifest: last.value,
  };
  // Asked without a bookmark first: only "no bookmark" leaves something to ask D1 for.
  if (reasonForFullBackup({ ...question, now: platform.now() }) !== "no bookmark")
    return ok({ stands: false, written: false, dumpBytes });
  const bookmark = await platform.api.bookmark(entry.id);
  if (!bookmark.ok) return bookmark;
  const now = platform.now();
  if (reasonForFullBackup({ ...question, bookmark: bookmark.value, now }) !== null)
    return ok({ stands: false, written: true, dumpBytes });
  const { backupId } = last.value;
  const identity = { id: entry.id, name: entry.name, accountId: platform.settings.accountId };
  const run = newRun(runIdOf(entry.id, now, platform.random()), identity, request, now);
  const over = { ...run, startedAt: now, finishedAt: now, phase: { at: "unchanged", backupId } as const };
  return ok({ stands: true, backupId, run: viewRun(over) });
}
