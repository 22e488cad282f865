import { z } from "zod";
import { backupTriggerSchema } from "../backup/manifest.ts";

export interface BackupRequest {
  readonly trigger: "scheduled" | "manual";
  readonly label: string | null;
  readonly pinned: boolean;
  readonly force: boolean;
  readonly examine: boolean;
  /** The caller has compared the bookmarks: the database was written to since its latest backup. */
  readonly written?: boolean;
  readonly key: string | null;
}

export const requestSchema = z.object({
  trigger: backupTriggerSchema,
  label: z.string().nullable(),
  pinned: z.boolean(),
  force: z.boolean(),
  examine: z.boolean(),
  written: z.boolean().optional(),
  key: z.string().nullable(),
});
