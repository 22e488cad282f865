import { backupRow } from "../../core/backup/backup-row.ts";
import { checksumsText } from "../../core/backup/checksums.ts";
import { type Manifest, manifestText, readManifest } from "../../core/backup/manifest.ts";
import { restoreGuide } from "../../core/guide/restore-guide.ts";
import { differenceOfEquals, fingerprintOf } from "../../core/backup/since-last.ts";
import { claimText } from "../../core/bucket/claim.ts";
import { sha256Of } from "../../core/bucket/codecs.ts";
import {
  CHECKSUMS,
  CLAIM,
  MANIFEST,
  NOT_EXPORTED,
  PINNED,
  RESTORE_GUIDE,
} from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import { manifestOf } from "../../core/run/build-manifest.ts";
import type { PhaseOf, Run } from "../../core/run/run.ts";
import { advance } from "../../core/run/transitions.ts";
import { standingBackup } from "../database/standing-backup.ts";
import { claimOf, folderOfRun, type StepContext, type StepOutcome } from "./step.ts";

/** Writes the files beside the volumes, and manifest.json last and create-only, which completes the backup. */
export async function committing(
  run: Run,
  phase: PhaseOf<"committing">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  const { platform } = context;
  const { vault } = platform;
  const folder = folderOfRun(run, phase.copy, platform);
  const standing = await vault.readText(folder + MANIFEST);
  if (!standing.ok) return standing;
  const before = await standingBackup(context.previous, platform);
  if (!before.ok) return before;
  // The manifest was written before this run was cut off; what follows from it still has to be saved.
  if (standing.value !== null) return committed(run, phase, standing.value, before.value, context);
  const previous =
    context.previous === null
      ? null
      : { backupId: context.previous.backupId, manifestSha256: context.previous.manifestSha256 };
  const unsealed = manifestOf(run, phase, platform.settings.tool, previous);
  const beside: [string, string | Uint8Array][] = [
    [CHECKSUMS, checksumsText(unsealed.volumes)],
    [RESTORE_GUIDE, restoreGuide(unsealed)],
    // The preflight has encrypted it, so every try of this step writes the same bytes.
    ...(run.sealed === null ? [] : [[NOT_EXPORTED, run.sealed] satisfies [string, Uint8Array]]),
  ];
  for (const [name, content] of [...beside, ...(run.pinned ? [[PINNED, ""] as const] : [])]) {
    const written = await vault.put(folder + name, content);
    if (!written.ok) return written;
  }
  const files = [[CLAIM, claimText(claimOf(run))] as const, ...beside].map(([name, content]) => ({
    name,
    bytes: typeof content === "string" ? new TextEncoder().encode(content).length : content.length,
    sha256: sha256Of(content, platform.codecs),
  }));
  const text = manifestText({ ...unsealed, files }, platform.codecs);
  const created = await vault.create(folder + MANIFEST, text);
  if (!created.ok) return created;
  // This run has written it before it was cut off: the next try finds it.
  if (created.value === "taken") return failed({ ...conflict(folder), retryable: true });
  return committed(run, phase, text, before.value, context);
}

/** The end of a run whose manifest is in the bucket. */
function committed(
  run: Run,
  { copy }: PhaseOf<"committing">,
  text: string,
  before: Manifest | null,
  { platform, previous }: StepContext,
): Result<StepOutcome> {
  const folder = folderOfRun(run, copy, platform);
  const reading = readManifest(text);
  if (reading.kind !== "manifest" || reading.manifest.runId !== run.id) return failed(conflict(folder));
  const { manifest } = reading;
  const done = advance(run, { at: "complete", backupId: manifest.backupId }, platform.now());
  const manifestSha256 = sha256Of(text, platform.codecs);
  const dumpFingerprint = fingerprintOf(copy.volumes, platform.codecs);
  const outcome: StepOutcome = {
    run: { ...done, finishedAt: done.wakeAt },
    commit: {
      backup: { backupId: manifest.backupId, manifestSha256, bookmark: manifest.atBookmark, dumpFingerprint },
      manifest: text,
      row: backupRow(manifest, manifestSha256, folder, run.pinned),
    },
  };
  const fingerprints = { before: previous?.dumpFingerprint ?? null, after: dumpFingerprint };
  const difference = before === null ? null : differenceOfEquals(before, manifest, fingerprints);
  if (before === null || difference === null) return ok(outcome);
  const detail = `Backup ${manifest.backupId} has the same bookmark as ${before.backupId}, but ${difference}.`;
  return ok({ ...outcome, record: { unchangedOff: { at: platform.now(), detail } } });
}

function conflict(folder: string): Failure {
  return {
    code: "manifest-conflict",
    detail: `${folder} already has the manifest of another run.`,
    hint: "Check whether two Workers write to one bucket with the same KEY_PREFIX, and give each its own.",
    retryable: false,
  };
}
