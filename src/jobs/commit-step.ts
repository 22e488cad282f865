import { backupRow, manifestOf } from "../core/build-manifest.ts";
import { opensAsAge } from "../core/dump-checks.ts";
import { failed, ok, type Failure, type Result } from "../core/failure.ts";
import { checksumsText, manifestText, readManifest, sha256Of, type Manifest } from "../core/manifest.ts";
import { CHECKSUMS, CLAIM, MANIFEST, PINNED, RESTORE_GUIDE } from "../core/object-keys.ts";
import { restoreGuide } from "../core/restore-guide.ts";
import { advance, optionsOf, type PhaseOf, type Run } from "../core/run.ts";
import { differenceOfEquals } from "../core/unchanged.ts";
import { restartExport } from "./export-step.ts";
import { judge } from "./judge-step.ts";
import { standingBackup } from "./preflight-step.ts";
import { claimText, folderOfRun, type StepContext, type StepOutcome } from "./step.ts";

/** Reads one volume back from the bucket and compares it with what was sent there. */
export async function verifying(
  run: Run,
  phase: PhaseOf<"verifying">,
  context: StepContext,
): Promise<Result<Run>> {
  const { platform } = context;
  const now = platform.now();
  const volume = phase.copy.volumes[phase.verified];
  if (volume === undefined) {
    const { dump, copy, copiedAt } = phase;
    const judged = await judge(run, copy, context);
    if (!judged.ok) return judged;
    if (!judged.value.sound) return ok(judged.value.run);
    return ok(advance(judged.value.run, { at: "committing", dump, copy, copiedAt, verifiedAt: now }, now));
  }
  const stored = await platform.vault.measure(folderOfRun(run, phase.copy, platform) + volume.name);
  if (!stored.ok) return stored;
  if (stored.value === null) return ok(restartExport(run, missing(volume.name), platform));
  if (stored.value.bytes !== volume.bytes || stored.value.sha256 !== volume.sha256) {
    return ok(restartExport(run, altered(volume.name), platform));
  }
  if (optionsOf(run).recipients.length > 0 && !opensAsAge(stored.value.opening))
    return failed(readable(volume.name));
  return ok(advance(run, { ...phase, verified: phase.verified + 1 }, platform.now()));
}

/** Writes what stands beside the volumes, and manifest.json last and create-only: with it, the backup exists. */
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
  // Written before this run was cut off: what follows from it still has to be saved.
  if (standing.value !== null) return committed(run, standing.value, folder, before.value, context);
  const previous =
    context.previous === null
      ? null
      : { backupId: context.previous.backupId, manifestSha256: context.previous.manifestSha256 };
  const unsealed = manifestOf(run, phase, platform.settings.tool, previous);
  const beside: [string, string][] = [
    [CHECKSUMS, checksumsText(unsealed.volumes)],
    [RESTORE_GUIDE, restoreGuide(unsealed)],
  ];
  for (const [name, text] of [...beside, ...(run.pinned ? [[PINNED, ""] as const] : [])]) {
    const written = await vault.put(folder + name, text);
    if (!written.ok) return written;
  }
  const files = [[CLAIM, claimText(run)] as const, ...beside].map(([name, text]) => ({
    name,
    bytes: new TextEncoder().encode(text).length,
    sha256: sha256Of(text, platform.codecs),
  }));
  const text = manifestText({ ...unsealed, files }, platform.codecs);
  const created = await vault.create(folder + MANIFEST, text);
  if (!created.ok) return created;
  // Written by this very run before it was cut off: the next try finds it standing.
  if (created.value === "taken") return failed({ ...conflict(folder), retryable: true });
  return committed(run, text, folder, before.value, context);
}

/** The end of a run whose manifest stands in the bucket. */
function committed(
  run: Run,
  text: string,
  folder: string,
  before: Manifest | null,
  { platform }: StepContext,
): Result<StepOutcome> {
  const reading = readManifest(text);
  if (reading.kind !== "manifest" || reading.manifest.runId !== run.id) return failed(conflict(folder));
  const { manifest } = reading;
  const done = advance(run, { at: "complete", backupId: manifest.backupId }, platform.now());
  const manifestSha256 = sha256Of(text, platform.codecs);
  const outcome: StepOutcome = {
    run: { ...done, finishedAt: done.wakeAt },
    commit: {
      backup: { backupId: manifest.backupId, manifestSha256, bookmark: manifest.atBookmark },
      row: backupRow(manifest, manifestSha256, folder, run.pinned),
    },
  };
  const difference = before === null ? null : differenceOfEquals(before, manifest);
  if (before === null || difference === null) return ok(outcome);
  const detail = `Backup ${manifest.backupId} has the same bookmark as ${before.backupId}, but ${difference}.`;
  return ok({ ...outcome, record: { unchangedOff: { at: platform.now(), detail } } });
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

function readable(name: string): Failure {
  return {
    code: "stored-object-readable",
    detail: `Volume ${name} was to be encrypted, but what lies in the bucket is no age file.`,
    hint: "The run is given up and what it wrote is deleted. This is a defect of d1-nightly; please report it.",
    retryable: false,
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
