import { z } from "zod";
import { parsed } from "../json.ts";
import { type Policy, policySchema } from "./policy.ts";

/** What the bucket remembers of a database's policy. */
export interface PolicyCopy {
  readonly databaseId: string;
  readonly databaseName: string;
  readonly policy: Policy;
  readonly unchanged: { readonly backupId: string; readonly checkedAt: string } | null;
}

const recordSchema = z.object({
  formatVersion: z.literal(1),
  databaseId: z.string(),
  databaseName: z.string(),
  policy: policySchema,
  unchanged: z.object({ backupId: z.string(), checkedAt: z.iso.datetime() }).nullable(),
  unchangedOff: z.object({ at: z.iso.datetime(), detail: z.string() }).nullable().default(null),
});

export type BucketRecord = z.infer<typeof recordSchema>;

/** What the bucket remembers of a database beyond its backups; or what is wrong with that. */
export function readRecord(databaseId: string, text: string): BucketRecord | string {
  const record = recordSchema.safeParse(parsed(text));
  if (!record.success) {
    const issue = record.error.issues[0];
    return `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unreadable"}`;
  }
  return record.data.databaseId === databaseId ? record.data : "it is that of another database";
}
