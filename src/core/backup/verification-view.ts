import { z } from "zod";
import { folderOfBackup } from "../bucket/object-keys.ts";
import type { Failure, Result } from "../failure.ts";
import { iso } from "../time.ts";
import { soundness, type Verdict } from "./verification.ts";

const moment = z.number().int();

/** A verification as stored between alarms, without its files. Times are milliseconds since the epoch. */
export const verificationSchema = z.object({
  id: z.string(),
  backupId: z.string(),
  folder: z.string(),
  /** Its manifest was lost before the verification was requested. */
  lost: z.boolean().default(false),
  state: z.enum(["running", "complete", "failed"]),
  /** Which of its files is read next, from 1; null as long as the manifest was not, which names them. */
  next: z.number().int().nullable(),
  startedAt: moment,
  finishedAt: moment.nullable(),
  /** Failures of the step that is due, in a row. */
  attempt: z.number().int(),
  wakeAt: moment,
  error: z.object({ code: z.string(), detail: z.string(), hint: z.string() }).nullable(),
});
export type Verification = z.infer<typeof verificationSchema>;

/** One of its files. */
export interface VerifiedFile {
  readonly name: string;
  /** Whether it is unchanged; null if unknown. */
  readonly bytesWritten: number | null;
  /** Null until it was read. */
  readonly done: { readonly bytes: number; readonly verdict: Verdict } | null;
}

/** A verification as the API shows it. */
export interface VerificationView {
  readonly id: string;
  readonly backupId: string;
  readonly state: "running" | "complete" | "failed";
  readonly startedAt: string;
  readonly finishedAt: string | null;
  /** Whether each file is unchanged; null until that is known. */
  readonly sound: boolean | null;
  readonly progress: {
    filesDone: number;
    /** Null before the manifest was read. */
    filesTotal: number | null;
    bytesDone: number;
    /** Null also when the manifest is damaged. */
    bytesTotal: number | null;
  };
  /** `sound` is null for a file that was not read yet, or for which there is nothing sound to compare with. */
  readonly files: { name: string; sound: boolean | null; problem: Verdict["problem"] }[];
  /** Why the verification itself failed. */
  readonly error: { code: string; detail: string; hint: string } | null;
}

/** Contains the backup's id, so that its object is found without an index. */
export function verificationIdOf(backupId: string, createdAt: number): string {
  return `${backupId}.${createdAt.toString(36)}`;
}

/** The backup of a verification's id; null if it cannot be one of our ids. */
export function backupOfVerification(id: string): string | null {
  const [, backupId = "", moment36 = ""] = /^(.+)\.([0-9a-z]+)$/s.exec(id) ?? [];
  return /^[0-9a-z]{6,12}$/.test(moment36) && folderOfBackup("", backupId) !== null ? backupId : null;
}

export function newVerification(
  backupId: string,
  { folder, lost }: { folder: string; lost: boolean },
  now: number,
): Verification {
  return {
    id: verificationIdOf(backupId, now),
    backupId,
    folder,
    lost,
    state: "running",
    next: null,
    startedAt: now,
    finishedAt: null,
    attempt: 0,
    wakeAt: now,
    error: null,
  };
}

/** Repeats the step later, or ends the verification if that no longer helps. */
export function afterReadFailure(
  verification: Verification,
  failure: Failure,
  now: number,
  retry: { readonly limit: number; readonly delayMs: number },
): Verification {
  const attempt = verification.attempt + 1;
  if (failure.retryable && attempt < retry.limit)
    return { ...verification, attempt, wakeAt: now + retry.delayMs };
  const { code, detail, hint } = failure;
  return { ...verification, state: "failed", finishedAt: now, error: { code, detail, hint } };
}

export function viewVerification(
  verification: Verification,
  files: readonly VerifiedFile[],
): VerificationView {
  const { id, backupId, state, next, startedAt, finishedAt, error } = verification;
  const done = files.flatMap((file) => (file.done === null ? [] : [file.done]));
  const planned = next !== null;
  const total = files.map(({ bytesWritten }) => bytesWritten);
  const known = total.filter((bytes) => bytes !== null);
  const found = soundness(done.map(({ verdict }) => verdict));
  return {
    id,
    backupId,
    state,
    startedAt: iso(startedAt),
    finishedAt: finishedAt === null ? null : iso(finishedAt),
    // What is damaged stays so, also when the rest is still to be read.
    sound: state === "complete" || found === false ? found : null,
    progress: {
      filesDone: done.length,
      filesTotal: planned ? files.length : null,
      bytesDone: done.reduce((sum, { bytes }) => sum + bytes, 0),
      bytesTotal:
        planned && known.length === total.length ? known.reduce((sum, bytes) => sum + bytes, 0) : null,
    },
    files: files.map((file) => ({
      name: file.name,
      sound: file.done?.verdict.sound ?? null,
      problem: file.done?.verdict.problem ?? null,
    })),
    error,
  };
}

/** The object that verifies one backup. */
export interface BackupVerifications {
  /** Begins a verification of what lies in the backup's folder, `lost` when its manifest was lost; one that is under way already is answered with. */
  start(backupId: string, place: { folder: string; lost: boolean }): Promise<Result<VerificationView>>;
  /** The verification if it is the current or the latest one. */
  verification(id: string): Promise<VerificationView | null>;
}
