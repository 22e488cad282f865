import { z } from "zod";
import { exportOptionsSchema, type ExportOptions } from "./manifest.ts";
import { COMPRESSIONS } from "./object-keys.ts";
import { DEFAULT_RETENTION, KEEP_ALL, retentionSchema, type Retention } from "./retention.ts";
import { scheduleSchema, type Schedule } from "./schedule.ts";

const MIB = 1024 * 1024;
export const MIN_VOLUME_BYTES = MIB;
export const MAX_VOLUME_BYTES = 4096 * MIB;

/** What a lean volume holds, and a step of a lean run hashes: one part of an upload, some milliseconds of CPU. */
export const LEAN_VOLUME_BYTES = 6 * MIB;

const TABLE = 'must be the name of a table, index, trigger or view, such as "users"';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const days = (what: string) =>
  z
    .number({ error: `must be a number of days, such as 7; 0 ${what}` })
    .int("must be a whole number of days")
    .min(0, `must be 0 (${what}) or more`)
    .max(365, "must be 365 or less");

/** How one database is backed up. What is left out follows the Worker's own settings. */
export const policySchema = z.strictObject({
  schedule: scheduleSchema.optional(),
  /** Its schedule starts nothing. What is asked for by hand is done all the same. */
  paused: z.boolean({ error: "must be true or false" }).optional(),
  /** What is left out of it follows the default policy, key by key. */
  retention: retentionSchema.optional(),
  /** How old its latest backup may become; null: the longest gap between its slots and two hours. */
  freshnessMs: z
    .number({ error: "must be a number of milliseconds, such as 93600000 (26 hours), or null" })
    .int("must be a whole number of milliseconds")
    .min(HOUR_MS, "must be 3600000 (an hour) or more")
    .max(400 * DAY_MS, "must be 34560000000 (400 days) or less")
    .nullable()
    .optional(),
  exportOptions: z
    .strictObject({
      noData: z.boolean({ error: "must be true or false" }).optional(),
      noSchema: z.boolean({ error: "must be true or false" }).optional(),
      tables: z
        .array(z.string({ error: TABLE }).min(1, TABLE), { error: `must be a list, each of which ${TABLE}` })
        .max(1_000)
        .optional(),
    })
    .refine(({ noData, noSchema }) => noData !== true || noSchema !== true, {
      error: "noData and noSchema together leave nothing to back up",
    })
    .optional(),
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
/**
 * A policy as it is stored: by this release, or by another one whose rules were others. What cannot be read of it must
 * not stop all databases, so it is left out; but of rules of retention that are not all understood, none deletes.
 */
export const storedPolicySchema = z.unknown().transform((stored): Policy => readable(policySchema, stored));

function readable<T>(schema: z.ZodObject & z.ZodType<T>, stored: unknown): T {
  const whole = schema.safeParse(stored);
  if (whole.success) return whole.data;
  const known = z.record(z.string(), z.unknown()).safeParse(stored).data ?? {};
  const kept = Object.entries(known).filter(([key, value]) => {
    const field = schema.shape[key];
    return field !== undefined && z.safeParse(field, value).success;
  });
  const forgets = "retention" in known && !kept.some(([key]) => key === "retention");
  return schema.parse(Object.fromEntries(forgets ? [...kept, ["retention", KEEP_ALL]] : kept));
}

export const fullPolicySchema = policySchema.required().extend({
  retention: retentionSchema.required(),
  exportOptions: exportOptionsSchema,
});
export type FullPolicy = z.infer<typeof fullPolicySchema>;

const PATTERN = 'must be a name with * for anything, such as "*-preview"';
const patterns = z
  .array(z.string({ error: PATTERN }).min(1, PATTERN).max(100, PATTERN), {
    error: 'must be a list of names with * for anything, such as ["*-preview"]',
  })
  .max(100);

/** The policy of all databases that have none of their own, and which databases there are to it. */
export const defaultPolicySchema = policySchema.extend({
  /** Names, with * for anything; empty: all of them. What `exclude` names stays out. */
  include: patterns.optional(),
  exclude: patterns.optional(),
});
export type DefaultPolicy = z.infer<typeof defaultPolicySchema>;

/** As `storedPolicySchema`. */
export const storedDefaultPolicySchema = z
  .unknown()
  .transform((stored): DefaultPolicy => readable(defaultPolicySchema, stored));

/** The policy of one database: its own, what that leaves out from the default one, and the rest from the Worker's settings. */
export function effectivePolicy(
  own: Policy,
  settings: { compression: FullPolicy["compression"]; volumeBytes: number },
  shared: Policy = {},
): FullPolicy {
  const { compression, volumeBytes } = settings;
  const retention: Retention = { ...DEFAULT_RETENTION, ...shared.retention, ...own.retention };
  const exportOptions: ExportOptions = { ...EVERYTHING, ...shared.exportOptions, ...own.exportOptions };
  const schedule: Schedule = "trigger";
  const defaults = { compression, volumeBytes, lean: false, maxUnchangedDays: 7, examineDays: 7 };
  return {
    schedule,
    paused: false,
    freshnessMs: null,
    ...defaults,
    ...shared,
    ...own,
    retention,
    exportOptions,
  };
}

/** Whether the default policy's patterns let a database of this name in. */
export function isIncluded(name: string, { include = [], exclude = [] }: DefaultPolicy): boolean {
  const named = (wanted: readonly string[]) => wanted.some((pattern) => matches(name, pattern));
  return (include.length === 0 || named(include)) && !named(exclude);
}

/** `*` stands for anything; all else for itself. Takes no longer than the two are long, whatever the pattern. */
function matches(name: string, pattern: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let from = first.length;
  for (const part of others) {
    const at = name.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return name.length - last.length >= from && name.endsWith(last);
}

/** An empty list of tables means all of them. */
export const EVERYTHING: ExportOptions = { noData: false, noSchema: false, tables: [] };

/** What a run does with its dump: settled when its work begins, and the same to its end. */
export const backupOptionsSchema = z.object({
  compression: z.enum(COMPRESSIONS),
  volumeBytes: z.number().int().positive(),
  lean: z.boolean(),
  /** age recipients; none means that the dump is stored readable. */
  recipients: z.array(z.string()),
  /** What D1 is asked to dump. Earlier releases stored none, and dumped everything. */
  exportOptions: exportOptionsSchema.default(EVERYTHING),
});
export type BackupOptions = z.infer<typeof backupOptionsSchema>;

export function backupOptions(policy: FullPolicy, recipients: readonly string[]): BackupOptions {
  return {
    lean: policy.lean,
    compression: policy.lean ? "none" : policy.compression,
    volumeBytes: policy.lean ? Math.min(policy.volumeBytes, LEAN_VOLUME_BYTES) : policy.volumeBytes,
    recipients: [...recipients],
    exportOptions: { ...policy.exportOptions, tables: [...new Set(policy.exportOptions.tables)] },
  };
}

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
