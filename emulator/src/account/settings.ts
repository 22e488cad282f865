import { z } from "zod";

const milliseconds = z.int().min(0);

/** What of the emulator's behaviour can be set, for all databases. */
export const settingsSchema = z.strictObject({
  exportMs: milliseconds,
  pollWaitMs: milliseconds,
  busyAfterRefusalMs: milliseconds,
  maxDatabases: z.int().min(1),
  /** A list never gives more on a page, whatever is asked for. */
  mostPerPage: z.int().min(1),
});

export type Settings = z.infer<typeof settingsSchema>;

export const rateLimitSchema = z.strictObject({ requests: z.int().min(0), windowMs: z.int().min(1) });

/** The Worker variables that give the defaults; each may be missing. */
export type SettingVariables = Partial<
  Record<
    | "EXPORT_MS"
    | "POLL_WAIT_MS"
    | "BUSY_AFTER_REFUSAL_MS"
    | "MAX_DATABASES"
    | "MOST_PER_PAGE"
    | "RATE_LIMIT_REQUESTS"
    | "RATE_LIMIT_WINDOW_MS",
    string
  >
>;

/** The settings as the Worker's variables give them. */
export function settingsFrom(variables: SettingVariables): Settings {
  return {
    exportMs: Number(variables.EXPORT_MS ?? 0),
    pollWaitMs: Number(variables.POLL_WAIT_MS ?? 0),
    busyAfterRefusalMs: Number(variables.BUSY_AFTER_REFUSAL_MS ?? 2000),
    maxDatabases: Number(variables.MAX_DATABASES ?? 50_000),
    mostPerPage: Number(variables.MOST_PER_PAGE ?? 10_000),
  };
}

/** The rate limit as the Worker's variables give it: Cloudflare's, when they say nothing. */
export function rateLimitFrom(variables: SettingVariables): z.infer<typeof rateLimitSchema> {
  return {
    requests: Number(variables.RATE_LIMIT_REQUESTS ?? 1200),
    windowMs: Number(variables.RATE_LIMIT_WINDOW_MS ?? 300_000),
  };
}
