import { z } from "zod";
import { sealStatements } from "../../core/backup/sealed-statements.ts";
import type { SchemaEntry } from "../../core/d1/api.ts";
import type { ExportOptions } from "../../core/d1/export-options.ts";
import {
  type Belonging,
  exportedSchema,
  exportOptionsFailure,
  leftOut,
  partialHazards,
} from "../../core/dump/partial-export.ts";
import { loadingHazards, loadingOf } from "../../core/dump/loading.ts";
import {
  dumpedParts,
  dumpedTables,
  openComments,
  openCommentsFailure,
  schemaHazards,
  virtualTables,
  virtualTablesFailure,
} from "../../core/dump/schema.ts";
import { failed, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { beginsLean, cutOffHazard } from "../../core/run/cut-off.ts";
import { backupOptions, leanOptions } from "../../core/policy/backup-options.ts";
import type { FullPolicy } from "../../core/policy/policy.ts";
import { holdsRun, mayBeCatalog, ownCatalog } from "../../core/catalog/own-catalog.ts";
import type { Run } from "../../core/run/run.ts";
import { examinationDue } from "../../core/run/standing-findings.ts";
import { advance, fail, freshExport } from "../../core/run/transitions.ts";
import { reasonForFullBackup } from "../../core/run/unchanged.ts";
import { iso } from "../../core/time.ts";
import { standingBackup } from "../database/standing-backup.ts";
import { notUnderstood, type StepContext, type StepOutcome } from "./step.ts";

/**
 * Checks before exporting: does the database exist, is the last backup still up to date, how big is the database, can
 * D1 export it at all? Settles what the run does with its dump. Has no outside effect.
 */
export async function preflight(
  run: Run,
  context: StepContext,
  policy: FullPolicy,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const database = await platform.api.getDatabase(run.databaseId);
  if (!database.ok) return database;
  const { name, fileSize } = database.value;
  const { record } = context;
  const wanted = backupOptions(policy, platform.settings.recipients);
  const lean = beginsLean(record.cutOff, wanted, platform.now());
  const options = lean ? leanOptions(wanted) : wanted;
  const last = await standingBackup(context.previous, platform);
  if (!last.ok) return last;
  const question = {
    databaseId: run.databaseId,
    databaseName: name,
    request: run,
    policy,
    options,
    off: record.unchangedOff !== null,
    bookmark: null,
    manifest: last.value,
  };
  // Check without a bookmark first: D1 has to be asked only if just the bookmark is missing.
  if (reasonForFullBackup({ ...question, now: platform.now() }) === "no bookmark") {
    const bookmark = await platform.api.bookmark(run.databaseId);
    // The budget refused the call; D1 may answer later.
    if (!bookmark.ok && bookmark.failure.code === "api-budget-spent") return bookmark;
    const now = platform.now();
    const standing = last.value;
    // A missing bookmark costs an export, but no backup.
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
  const own = await isOwnCatalog(run, schema.value, platform);
  if (!own.ok) return own;
  if (own.value) return ok({ run: fail(run, ownCatalog(name), platform.now()), record: { isCatalog: true } });
  const { exportOptions } = options;
  const belongings = await belongingsOf(run.databaseId, exportOptions, platform);
  if (!belongings.ok) return belongings;
  const unwanted = exportOptionsFailure(schema.value, belongings.value, exportOptions);
  if (unwanted !== null) return failed(unwanted);
  const exported = exportedSchema(schema.value, exportOptions);
  const virtual = virtualTables(exported);
  if (virtual.length > 0) return failed(virtualTablesFailure(virtual));
  const dumpedSql = exportOptions.noSchema ? [] : exported;
  const open = openComments(dumpedSql);
  if (open.length > 0) return failed(openCommentsFailure(open));
  const now = platform.now();
  const parts = leftOut(schema.value, exportOptions);
  const { notExported, sealed } = await sealStatements(parts, options.recipients, platform.codecs);
  const partial = partialHazards(exportOptions, notExported);
  const loading = loadingOf(dumpedSql, schema.value);
  const examine =
    run.examine || examinationDue(run.databaseId, policy.examineDays, record.examination, exportOptions, now);
  const known: Run = {
    ...run,
    databaseName: name,
    fileSize,
    options,
    tables: dumpedTables(exported),
    parts: dumpedParts(dumpedSql),
    hazards: [
      ...(lean ? [cutOffHazard(iso(record.cutOff?.at ?? now))] : []),
      ...partial,
      ...schemaHazards(dumpedSql),
      ...loadingHazards(loading, dumpedSql, schema.value),
    ],
    notExported,
    sealed,
    loading,
    // Without rows, the dump cannot alter anything.
    examine: examine && !exportOptions.noData,
  };
  const advanced = { run: advance(known, freshExport(now), now) };
  // It was our catalogue once, and is a database like any other now.
  return ok(record.isCatalog ? { ...advanced, record: { isCatalog: false } } : advanced);
}

async function isOwnCatalog(
  run: Run,
  schema: readonly SchemaEntry[],
  { api }: Platform,
): Promise<Result<boolean>> {
  if (!mayBeCatalog(schema)) return ok(false);
  const answered = await api.query(run.databaseId, holdsRun(run.id));
  if (answered.ok) return ok(answered.value.rows.length > 0);
  // Tables of these names, and other columns.
  return answered.failure.code === "sql-error" ? ok(false) : answered;
}

const belongingSchema = z.array(z.object({ name: z.string(), table: z.string() }));

/** What belongs to which table; asked only for a partial export. */
async function belongingsOf(
  databaseId: string,
  { tables }: ExportOptions,
  { api }: Platform,
): Promise<Result<Belonging[]>> {
  if (tables.length === 0) return ok([]);
  const sql =
    "SELECT name, tbl_name AS \"table\" FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL";
  const answered = await api.query(databaseId, sql);
  if (!answered.ok) return answered;
  const read = belongingSchema.safeParse(answered.value.rows);
  return read.success ? ok(read.data) : failed(notUnderstood());
}
