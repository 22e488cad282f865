import { z } from "zod";
import { COMPRESSIONS } from "./object-keys.ts";

const MIB = 1024 * 1024;
export const MIN_VOLUME_BYTES = MIB;
export const MAX_VOLUME_BYTES = 4096 * MIB;

/** What a lean volume holds, and a step of a lean run hashes: one part of an upload, some milliseconds of CPU. */
export const LEAN_VOLUME_BYTES = 6 * MIB;

const days = (what: string) =>
  z
    .number({ error: `must be a number of days, such as 7; 0 ${what}` })
    .int("must be a whole number of days")
    .min(0, `must be 0 (${what}) or more`)
    .max(365, "must be 365 or less");

/** How one database is backed up. What is left out follows the Worker's own settings. */
export const policySchema = z.strictObject({
  compression: z.enum(COMPRESSIONS, { error: 'must be "gzip", "zstd" or "none"' }).optional(),
  /** For plans that count CPU in milliseconds: nothing is counted and nothing compressed. */
  lean: z.boolean({ error: "must be true or false" }).optional(),
  volumeBytes: z
    .number({ error: "must be a number of bytes, such as 134217728" })
    .int("must be a whole number of bytes")
    .min(MIN_VOLUME_BYTES, "must be 1048576 (1 MiB) or more")
    .max(MAX_VOLUME_BYTES, "must be 4294967296 (4 GiB) or less")
    .optional(),
  /** A database that was not written to is backed up in full all the same after so many days; 0: every time. */
  maxUnchangedDays: days("backs up in full every time").optional(),
  /** How often the database itself is asked for values that D1's dumps alter, which reads every row; 0: never. */
  examineDays: days("never asks the database").optional(),
});
export type Policy = z.infer<typeof policySchema>;
export type FullPolicy = Required<Policy>;

/** The policy of one database, with everything filled in that it leaves out. */
export function effectivePolicy(
  own: Policy,
  settings: { compression: FullPolicy["compression"]; volumeBytes: number },
): FullPolicy {
  const { compression, volumeBytes } = settings;
  const defaults = { compression, volumeBytes, lean: false, maxUnchangedDays: 7, examineDays: 7 };
  return { ...defaults, ...own };
}

/** What a run does with its dump: settled when its work begins, and the same to its end. */
export const backupOptionsSchema = z.object({
  compression: z.enum(COMPRESSIONS),
  volumeBytes: z.number().int().positive(),
  lean: z.boolean(),
  /** age recipients; none means that the dump is stored readable. */
  recipients: z.array(z.string()),
});
export type BackupOptions = z.infer<typeof backupOptionsSchema>;

export function backupOptions(policy: FullPolicy, recipients: readonly string[]): BackupOptions {
  return {
    lean: policy.lean,
    compression: policy.lean ? "none" : policy.compression,
    volumeBytes: policy.lean ? Math.min(policy.volumeBytes, LEAN_VOLUME_BYTES) : policy.volumeBytes,
    recipients: [...recipients],
  };
}

const DAY_MS = 86_400_000;

/**
 * Whether something that is to happen every so many days is due: on the database's own day of the period, so that a
 * thousand databases do not all do it in one night, and never later than the period allows. 0 days means never.
 */
export function isDue(databaseId: string, every: number, last: number | null, now: number): boolean {
  if (every === 0) return false;
  const ownDay = Math.floor(now / DAY_MS) % every === placeOf(databaseId, every);
  if (last === null) return ownDay;
  // A quarter of a day less, because a night starts some minutes earlier or later than the one before.
  const age = now - last + DAY_MS / 4;
  return age >= every * DAY_MS || (ownDay && age >= DAY_MS);
}

/** A number below `places` that a UUID always gives, spread evenly over all UUIDs. */
export function placeOf(databaseId: string, places: number): number {
  let hash = 2_166_136_261;
  for (let i = 0; i < databaseId.length; i++)
    hash = Math.imul(hash ^ databaseId.charCodeAt(i), 16_777_619) >>> 0;
  return hash % places;
}
