import type { Manifest } from "../backup/manifest.ts";
import { sameExport, sameSet } from "../d1/export-options.ts";
import type { BackupOptions } from "../policy/backup-options.ts";
import type { FullPolicy } from "../policy/policy.ts";
import { isDue } from "../schedule/spread.ts";

/**
 * Whether a database needs no new backup, because nothing was written to it since the last one. D1's bookmark moves
 * with every write. That equal bookmarks mean equal dumps is our inference, so now and then a full backup is made anyway
 * and compared.
 */
export interface UnchangedQuestion {
  readonly databaseId: string;
  readonly databaseName: string;
  readonly request: {
    readonly label: string | null;
    readonly pinned: boolean;
    readonly force: boolean;
    readonly examine: boolean;
    /** The caller has compared the bookmark, which has changed. */
    readonly written?: boolean;
  };
  readonly policy: FullPolicy;
  readonly options: BackupOptions;
  /** A comparison has failed: bookmarks are no longer trusted. */
  readonly off: boolean;
  /** The database's present bookmark; null if D1 did not report it. */
  readonly bookmark: string | null;
  /** The manifest of the last committed backup, as the bucket has it now; null if it is gone or altered. */
  readonly manifest: Manifest | null;
  readonly now: number;
}

/** Why a full backup is made; null if the last one is still good. */
export function reasonForFullBackup(question: UnchangedQuestion): string | null {
  const { request, policy, options, manifest, bookmark, now } = question;
  if (request.label !== null) return "labelled";
  if (request.pinned) return "pinned";
  if (request.force) return "forced";
  if (request.examine) return "to be examined";
  if (policy.maxUnchangedDays === 0) return "the policy wants every backup in full";
  if (question.off) return "bookmarks are not relied on";
  if (manifest === null) return "no last backup";
  if (request.written === true) return "written to";
  if (manifest.database.id !== question.databaseId) return "another database";
  // Its folder has the old name, and somebody who looks for the new name must find a backup.
  if (manifest.database.name !== question.databaseName) return "renamed";
  if (!sameOptions(manifest, options)) return "other options";
  if (isDue(question.databaseId, policy.maxUnchangedDays, Date.parse(manifest.startedAt), now)) return "due";
  // Last, because it costs an API call, which is not needed if one of the others decides.
  if (bookmark === null) return "no bookmark";
  return manifest.atBookmark === bookmark ? null : "written to";
}

function sameOptions(manifest: Manifest, options: BackupOptions): boolean {
  return (
    manifest.compression === options.compression &&
    manifest.lean === options.lean &&
    sameSet(recipientsOf(manifest), options.recipients) &&
    manifest.exportOptions !== null &&
    sameExport(manifest.exportOptions, options.exportOptions)
  );
}

/** None of an unencrypted backup; of one whose manifest was made anew none that anybody could want. */
function recipientsOf({ encryption }: Manifest): readonly string[] {
  return encryption === null ? [] : (encryption.recipients ?? ["unknown"]);
}
