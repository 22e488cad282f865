import { EXPORT_LIMIT } from "../../core/backoff.ts";
import { claimText, readClaim } from "../../core/bucket/claim.ts";
import { CLAIM, stampOf, volumeName } from "../../core/bucket/object-keys.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import { bytesCopied, type Copy, optionsOf, type PhaseOf, type Run } from "../../core/run/run.ts";
import { cutOffFailure, cutOffOf, isCutOff } from "../../core/run/cut-off.ts";
import { advance, copyLean } from "../../core/run/transitions.ts";
import { Superseded } from "../database/run-store.ts";
import { copyVolume } from "./copy-volume.ts";
import { restartExport } from "./export-step.ts";
import { claimOf, folderOfRun, removeVolumes, type StepContext, type StepOutcome } from "./step.ts";

/** How many seconds ahead to look for a free folder. */
const CLAIM_LIMIT = 60;

/**
 * Copies one volume. A crash costs this volume, never the export or the volumes before it. After several crashes at the
 * same volume the run continues lean.
 */
export async function copying(
  run: Run,
  phase: PhaseOf<"copying">,
  context: StepContext,
): Promise<Result<StepOutcome>> {
  if (isCutOff(phase.copy.begun, optionsOf(run))) return cutOff(run, phase, context);
  const copied = await copyNext(run, phase, context);
  return copied.ok ? ok({ run: copied.value }) : copied;
}

/** Deletes what was copied, and copies the same dump lean; fails a run that is already lean. */
async function cutOff(
  run: Run,
  phase: PhaseOf<"copying">,
  { platform }: StepContext,
): Promise<Result<StepOutcome>> {
  const { copy } = phase;
  const options = optionsOf(run);
  if (options.lean) return failed(cutOffFailure(copy.volumes.length + 1, options));
  const removed = await removeVolumes(run, copy, platform);
  if (!removed.ok) return removed;
  const now = platform.now();
  return ok({ run: copyLean(run, phase, now), record: { cutOff: cutOffOf(options, now) } });
}

async function copyNext(run: Run, phase: PhaseOf<"copying">, context: StepContext): Promise<Result<Run>> {
  const { platform } = context;
  let current = run;
  let { copy } = phase;
  const save = async (next: Copy): Promise<void> => {
    copy = next;
    current = await context.save({ ...current, phase: { ...phase, copy } });
  };
  if (copy.upload !== null) {
    const aborted = await platform.vault.abortUpload(copy.upload.key, copy.upload.uploadId);
    if (!aborted.ok) return aborted;
    await save({ ...copy, upload: null });
  }
  if (!copy.claimed) {
    const claimed = await claimFolder(current, copy, context, save);
    if (!claimed.ok) return claimed;
  }
  // Saved before the work, so that the next alarm knows if it was cut off.
  await save({ ...copy, begun: copy.begun + 1 });
  const options = optionsOf(run);
  const encrypted = options.recipients.length > 0;
  const name = volumeName(run.databaseName, copy.volumes.length + 1, options.compression, encrypted);
  const key = folderOfRun(run, copy, platform) + name;
  const job = {
    signedUrl: phase.dump.signedUrl,
    copy,
    name,
    key,
    options,
  };
  const copied = await copyVolume(platform, job, {
    ...context.observer,
    uploadBegun: (uploadId) => save({ ...copy, upload: { key, uploadId } }),
  });
  // It failed, so it was not cut off.
  if (!copied.ok) await save({ ...copy, begun: 0 });
  if (!copied.ok) return afterCopyFailure(current, { ...phase, copy }, copied.failure, context);
  const { volume, source, scanned, last } = copied.value;
  const now = platform.now();
  const grown: Copy = {
    ...copy,
    source,
    scanned,
    volumes: [...copy.volumes, volume],
    upload: null,
    begun: 0,
    renewals: 0,
  };
  if (!last) return ok(advance(current, { ...phase, copy: grown }, now));
  if (bytesCopied(grown) !== source.totalBytes)
    return failed(wrongTotal(bytesCopied(grown), source.totalBytes));
  return ok(
    advance(current, { at: "verifying", dump: phase.dump, copy: grown, copiedAt: now, verified: 0 }, now),
  );
}

/** Claims the folder with a create-only RUN.json. If another run holds the folder, tries the next second. */
async function claimFolder(
  run: Run,
  first: Copy,
  { platform }: StepContext,
  save: (copy: Copy) => Promise<void>,
): Promise<Result<void>> {
  const text = claimText(claimOf(run));
  let copy = first;
  for (let second = 0; second < CLAIM_LIMIT; second++) {
    const key = folderOfRun(run, copy, platform) + CLAIM;
    const created = await platform.vault.create(key, text);
    if (!created.ok) return created;
    const ours = created.value === "created" ? ok(true) : await isOurs(key, run, platform);
    if (!ours.ok) return ours;
    if (ours.value) {
      try {
        await save({ ...copy, claimed: true });
      } catch (error) {
        // The run ended meanwhile, without knowing this folder, which has to be cleaned up.
        if (error instanceof Superseded) await platform.vault.remove([key]);
        throw error;
      }
      return ok(undefined);
    }
    copy = { ...copy, stamp: stampOf((run.startedAt ?? copy.startedAt) + (second + 1) * 1_000) };
    await save(copy);
  }
  return failed({
    code: "folder-taken",
    detail: `Other runs have taken the folders of ${CLAIM_LIMIT} seconds in a row.`,
    hint: "Check whether two Workers write to one bucket with the same KEY_PREFIX, and give each its own.",
    retryable: true,
  });
}

async function isOurs(key: string, run: Run, platform: StepContext["platform"]): Promise<Result<boolean>> {
  const stored = await platform.vault.readText(key);
  return stored.ok ? ok(readClaim(stored.value)?.runId === run.id) : stored;
}

function afterCopyFailure(
  run: Run,
  phase: PhaseOf<"copying">,
  failure: Failure,
  { platform }: StepContext,
): Result<Run> {
  const now = platform.now();
  switch (failure.code) {
    case "dump-url-expired": {
      const { copy, dump } = phase;
      if (copy.renewals >= EXPORT_LIMIT) return ok(restartExport(run, failure, platform));
      // The finished volumes stay if a poll gives a fresh URL of this export.
      const kept: Copy = { ...copy, renewals: copy.renewals + 1 };
      const startedAt = now - dump.exportMs;
      const renewing = { startedAt, bookmark: dump.bookmark, polls: 0, busySince: null, message: null };
      return ok(advance(run, { at: "exporting", ...renewing, copy: kept, discard: false }, now));
    }
    case "dump-changed":
      return ok(restartExport(run, failure, platform));
    case "dump-empty":
    case "dump-not-from-d1":
    case "dump-incomplete-statement":
    case "dump-foreign-statement":
    case "dump-size-unknown":
      // Each export makes the database unavailable: one more is worth it, a series is not.
      return ok(restartExport(run, failure, platform, 2));
    default:
      return failed(failure);
  }
}

function wrongTotal(copied: number, stated: number): Failure {
  return {
    code: "dump-truncated",
    detail: `The run copied ${copied} bytes of a dump of ${stated}.`,
    hint: "This is a bug in d1-nightly. Please report it.",
    retryable: true,
  };
}
