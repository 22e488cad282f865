import { HOUR_MS, DAY_MS } from "../time.ts";
import { z } from "zod";
import { KEEP_ALL, retentionSchema } from "../backup/retention.ts";
import { COMPRESSIONS } from "../bucket/object-keys.ts";
import { exportOptionsSchema } from "../d1/export-options.ts";
import { scheduleSchema } from "../schedule/schedule-schema.ts";

export const MIB = 1024 * 1024;
export const MIN_VOLUME_BYTES = MIB;
export const MAX_VOLUME_BYTES = 4096 * MIB;

const TABLE = 'must be the name of a table, index, trigger or view, such as "users"';

const days = (what: string) =>
  z
    .number({ error: `must be a number of days, such as 7; 0 ${what}` })
    .int("must be a whole number of days")
    .min(0, `must be 0 (${what}) or more`)
    .max(365, "must be 365 or less");

/** How one database is backed up. Missing keys follow the Worker's own settings. */
export const policySchema = z.strictObject({
  schedule: scheduleSchema.optional(),
  /** Its schedule starts nothing; manual requests still work. */
  paused: z.boolean({ error: "must be true or false" }).optional(),
  /** Missing keys follow the default policy, one by one. */
  retention: retentionSchema.optional(),
  /** How old its latest backup may become; null: the longest gap between its slots plus two hours. */
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
  /** For plans that limit CPU time to milliseconds: nothing is counted or compressed. */
  lean: z.boolean({ error: "must be true or false" }).optional(),
  volumeBytes: z
    .number({ error: "must be a number of bytes, such as 134217728" })
    .int("must be a whole number of bytes")
    .min(MIN_VOLUME_BYTES, "must be 1048576 (1 MiB) or more")
    .max(MAX_VOLUME_BYTES, "must be 4294967296 (4 GiB) or less")
    .optional(),
  /** After so many days, an unchanged database is backed up in full anyway; 0: every time. */
  maxUnchangedDays: days("backs up in full every time").optional(),
  /** How often the database itself is asked for values that D1's dumps alter, which reads every row; 0: never. */
  examineDays: days("never asks the database").optional(),
});
export type Policy = z.infer<typeof policySchema>;
/**
 * A policy as this or another release has stored it. Keys that this release cannot read are dropped, because they must
 * not stop all databases; but if a rule of retention cannot be read, retention deletes nothing.
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

/** The policy of all databases without their own, and which databases are included. */
export const defaultPolicySchema = policySchema.extend({
  /** Names, in which * matches anything; empty means all. Databases that `exclude` matches stay out. */
  include: patterns.optional(),
  exclude: patterns.optional(),
});
export type DefaultPolicy = z.infer<typeof defaultPolicySchema>;

/** As `storedPolicySchema`. */
export const storedDefaultPolicySchema = z
  .unknown()
  .transform((stored): DefaultPolicy => readable(defaultPolicySchema, stored));
