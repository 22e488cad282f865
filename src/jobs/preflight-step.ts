import { failed, ok, type Result } from "../core/failure.ts";
import { readManifest, sha256Of, type Manifest } from "../core/manifest.ts";
import { folderOfBackup, MANIFEST } from "../core/object-keys.ts";
import { backupOptions, effectivePolicy, isDue } from "../core/policy.ts";
import type { Platform } from "../core/ports.ts";
import {
  dumpedParts,
  dumpedTables,
  lineHazards,
  openComments,
  openCommentsFailure,
  schemaHazards,
  virtualTables,
  virtualTablesFailure,
} from "../core/preflight.ts";
import { advance, freshExport, type Run } from "../core/run.ts";
import { reasonForFullBackup } from "../core/unchanged.ts";
import { EXPORT_OPTIONS } from "./export-step.ts";
import type { CommittedBackup, StepContext, StepOutcome } from "./step.ts";

/**
 * Looks before exporting: does the database exist, does the last backup still stand for it, how big is it, can D1
 * export it at all? Settles what the run does with its dump. Changes nothing outside.
 */
export async function preflight(run: Run, context: StepContext): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const database = await platform.api.getDatabase(run.databaseId);
  if (!database.ok) return database;
  const { name, fileSize } = database.value;
  const { record } = context;
  const policy = effectivePolicy(record.policy, platform.settings);
  const options = backupOptions(policy, platform.settings.recipients);
  const last = await standingBackup(context.previous, platform);
  if (!last.ok) return last;
  const question = {
    databaseId: run.databaseId,
    databaseName: name,
    request: run,
    policy,
    options,
    exportOptions: EXPORT_OPTIONS,
    off: record.unchangedOff !== null,
    bookmark: null,
    manifest: last.value,
  };
  // Asked without a bookmark first: only "no bookmark" leaves something to ask D1 for.
  if (reasonForFullBackup({ ...question, now: platform.now() }) === "no bookmark") {
    const bookmark = await platform.api.bookmark(run.databaseId);
    const now = platform.now();
    const standing = last.value;
    // A bookmark that cannot be had costs an export, and no backup.
    const told = { ...question, bookmark: bookmark.ok ? bookmark.value : null, now };
    if (standing !== null && reasonForFullBackup(told) === null) {
      const { backupId } = standing;
      const over = advance(
        { ...run, databaseName: name, fileSize, options },
        { at: "unchanged", backupId },
        now,
      );
      return ok({
        run: { ...over, finishedAt: now },
        record: { unchanged: { backupId, checkedAt: now } },
      });
    }
  }
  const schema = await platform.api.schema(run.databaseId);
  if (!schema.ok) return schema;
  const virtual = virtualTables(schema.value);
  if (virtual.length > 0) return failed(virtualTablesFailure(virtual));
  const open = openComments(schema.value);
  if (open.length > 0) return failed(openCommentsFailure(open));
  const now = platform.now();
  const known: Run = {
    ...run,
    databaseName: name,
    fileSize,
    options,
    tables: dumpedTables(schema.value),
    parts: dumpedParts(schema.value),
    hazards: [...schemaHazards(schema.value), ...lineHazards(schema.value)],
    examine: run.examine || isDue(run.databaseId, policy.examineDays, record.examinedAt, now),
  };
  return ok({ run: advance(known, freshExport(now), now) });
}

/** The last backup's manifest, while it lies in the bucket as it was written and its oldest volume with it. */
export async function standingBackup(
  last: CommittedBackup | null,
  platform: Platform,
): Promise<Result<Manifest | null>> {
  const folder = last === null ? null : folderOfBackup(platform.settings.keyPrefix, last.backupId);
  if (last === null || folder === null) return ok(null);
  const text = await platform.vault.readText(folder + MANIFEST);
  if (!text.ok) return text;
  if (text.value === null || sha256Of(text.value, platform.codecs) !== last.manifestSha256) return ok(null);
  const reading = readManifest(text.value);
  const [first] = reading.kind === "manifest" ? reading.manifest.volumes : [];
  if (reading.kind !== "manifest" || first === undefined) return ok(null);
  // A rule that deletes by age takes the volumes before the manifest.
  const stored = await platform.vault.head(folder + first.name);
  if (!stored.ok) return stored;
  return ok(stored.value?.bytes === first.bytes ? reading.manifest : null);
}
