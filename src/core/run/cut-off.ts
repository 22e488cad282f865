import { z } from "zod";
import type { Hazard } from "../dump/hazards.ts";
import type { Failure } from "../failure.ts";
import type { BackupOptions } from "../policy/backup-options.ts";

/**
 * Copying that the platform stops in the middle. Cloudflare stops a step that needs more CPU than the plan allows (10 ms
 * on the free plan) and says so nowhere: the object is gone, and its next alarm finds what it had saved. One such end
 * may be a deployment or a crash; several at the same volume are taken for a limit. Then the run goes on lean.
 */

/** So often a volume may be begun and not finished before the run goes on lean. */
const LIMIT = 3;

/** So often when the run is lean already. Nothing is left to be tried then, so this is the end of the run. */
const LEAN_LIMIT = 10;

/** `begun`: how often the volume was begun, and neither finished nor failed. */
export function isCutOff(begun: number, { lean }: BackupOptions): boolean {
  return begun >= (lean ? LEAN_LIMIT : LIMIT);
}

/** Later runs of the database begin lean for so long, instead of being cut off every night. */
const REMEMBERED_MS = 30 * 24 * 60 * 60_000;

/** What the database's record keeps of it: when it was, and which options did not work. */
export const cutOffSchema = z.object({
  at: z.number(),
  compression: z.string(),
  volumeBytes: z.number(),
});
export type CutOff = z.infer<typeof cutOffSchema>;

export function cutOffOf({ compression, volumeBytes }: BackupOptions, now: number): CutOff {
  return { at: now, compression, volumeBytes };
}

/** Whether a run with these options begins lean for what an earlier run has come to. */
export function beginsLean(earlier: CutOff | null, options: BackupOptions, now: number): boolean {
  if (earlier === null || options.lean) return false;
  const same = earlier.compression === options.compression && earlier.volumeBytes === options.volumeBytes;
  return same && now - earlier.at < REMEMBERED_MS && earlier.at <= now;
}

export const COPY_CUT_OFF = "copy-cut-off";

/** Told of a backup that is lean for this reason. `earlier`: the moment of an earlier run that was cut off. */
export function cutOffHazard(earlier: string | null): Hazard {
  const when =
    earlier === null
      ? `Copying was cut off ${LIMIT} times at the same volume, probably by the plan's CPU limit.`
      : `An earlier run (${earlier}) was cut off while copying, probably by the plan's CPU limit.`;
  return {
    kind: COPY_CUT_OFF,
    table: null,
    count: null,
    detail: `${when} So this backup is lean: its dump is not compressed, its rows are not counted, and nobody has looked for what D1 does not take back.`,
  };
}

/** The end of a run that is cut off although it is lean. */
export function cutOffFailure(volume: number, { recipients }: BackupOptions): Failure {
  const encrypted =
    recipients.length > 0
      ? " Encryption takes CPU too, most of it for post-quantum recipients (age1pq1…)."
      : "";
  return {
    code: COPY_CUT_OFF,
    detail: `Copying volume ${volume} was cut off ${LEAN_LIMIT} times, although the backup is lean.`,
    hint: `If the Worker runs on the free plan, it needs more CPU than that plan's 10 ms: move to the paid plan.${encrypted} Otherwise look at the Worker's log in Cloudflare's dashboard.`,
    retryable: false,
  };
}
