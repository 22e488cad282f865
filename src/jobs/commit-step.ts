import { backupRow, manifestOf } from "../core/build-manifest.ts";
import { failed, ok, type Failure, type Result } from "../core/failure.ts";
import { checksumsText, readManifest } from "../core/manifest.ts";
import { CHECKSUMS, MANIFEST, PINNED, RESTORE_GUIDE } from "../core/object-keys.ts";
import type { BackupRow } from "../core/ports.ts";
import { restoreGuide } from "../core/restore-guide.ts";
import { advance, type PhaseOf, type Run } from "../core/run.ts";
import { EXPORT_OPTIONS, restartExport } from "./export-step.ts";
import { folderOfRun, type CommittedBackup, type StepContext } from "./step.ts";

/** Reads one volume back from the bucket and compares it with what was sent there. */
export async function verifying(
  run: Run,
  phase: PhaseOf<"verifying">,
  { platform }: StepContext,
): Promise<Result<Run>> {
  const now = platform.now();
  const volume = phase.copy.volumes[phase.verified];
  if (volume === undefined) {
    const { dump, copy, copiedAt } = phase;
    return ok(advance(run, { at: "committing", dump, copy, copiedAt, verifiedAt: now }, now));
  }
  const stored = await platform.vault.measure(folderOfRun(run, phase.copy, platform) + volume.name);
  if (!stored.ok) return stored;
  if (stored.value === null) return ok(restartExport(run, missing(volume.name), platform));
  if (stored.value.bytes !== volume.bytes || stored.value.sha256 !== volume.sha256) {
    return ok(restartExport(run, altered(volume.name), platform));
  }
  return ok(advance(run, { ...phase, verified: phase.verified + 1 }, platform.now()));
}

/** A committed backup, and the run as it is to be saved now. */
export interface Commit {
  readonly run: Run;
  readonly backup: CommittedBackup;
  readonly row: BackupRow;
}

/** Writes what stands beside the volumes, and manifest.json last and create-only: with it, the backup exists. */
export async function committing(
  run: Run,
  phase: PhaseOf<"committing">,
  context: StepContext,
): Promise<Result<Commit>> {
  const { platform } = context;
  const { vault, settings } = platform;
  const folder = folderOfRun(run, phase.copy, platform);
  const manifest = manifestOf(run, phase, EXPORT_OPTIONS, settings.tool, context.previous);
  const beside: [string, string][] = [
    [CHECKSUMS, checksumsText(manifest.volumes)],
    [RESTORE_GUIDE, restoreGuide(manifest)],
    ...(run.pinned ? [[PINNED, ""] satisfies [string, string]] : []),
  ];
  for (const [name, text] of beside) {
    const written = await vault.put(folder + name, text);
    if (!written.ok) return written;
  }
  let text = `${JSON.stringify(manifest, null, 2)}\n`;
  const created = await vault.create(folder + MANIFEST, text);
  if (!created.ok) return created;
  if (created.value === "taken") {
    // Written by this very run before it was cut off: then that one counts.
    const standing = await vault.readText(folder + MANIFEST);
    if (!standing.ok) return standing;
    text = standing.value ?? "";
    const reading = readManifest(text);
    if (reading.kind !== "manifest" || reading.manifest.runId !== run.id) return failed(conflict(folder));
  }
  const digest = platform.codecs.digest();
  digest.update(new TextEncoder().encode(text));
  const { backupId } = manifest;
  const done = advance(run, { at: "complete", backupId }, platform.now());
  return ok({
    run: { ...done, finishedAt: done.wakeAt },
    backup: { backupId, manifestSha256: digest.hex() },
    row: backupRow(manifest, folder, run.pinned),
  });
}

function missing(name: string): Failure {
  return {
    code: "stored-object-missing",
    detail: `Volume ${name} was written, but is not in the bucket.`,
    hint: "Does a lifecycle rule or another tool delete from the bucket? A new export is made, a few times.",
    retryable: true,
  };
}

function altered(name: string): Failure {
  return {
    code: "stored-object-altered",
    detail: `Volume ${name} reads back from the bucket with another size or SHA-256 than was written.`,
    hint: "Does another tool write to the bucket? A new export is made, a few times.",
    retryable: true,
  };
}

function conflict(folder: string): Failure {
  return {
    code: "manifest-conflict",
    detail: `${folder} already holds the manifest of another run.`,
    hint: "Do two Workers write to one bucket under the same KEY_PREFIX? Give each its own.",
    retryable: false,
  };
}
