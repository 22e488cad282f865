import { z } from "zod";
import { parsed } from "../json.ts";
import { storedDefaultPolicySchema, storedPolicySchema } from "./policy.ts";

/**
 * The bucket's copies of policies, in case the account's object is lost: `_d1-nightly/` has one per database, and one of
 * the policy of all databases. Of a policy, the parts that this release understands are used; a finding that cannot be
 * read counts as none, because it can be found again.
 */
const formatVersion = z.literal(1);
const moment = z.iso.datetime();
const policyChanges = z.array(z.object({ at: moment, who: z.string(), policy: z.unknown() })).catch([]);

const policyCopySchema = z.object({
  formatVersion,
  databaseId: z.string(),
  databaseName: z.string(),
  policy: storedPolicySchema,
  unchanged: z.object({ backupId: z.string(), checkedAt: moment }).nullable().catch(null),
  unchangedOff: z.object({ at: moment, detail: z.string() }).nullable().catch(null),
  examinedAt: moment.nullable().catch(null),
  policyChanges,
});
export type PolicyCopy = z.infer<typeof policyCopySchema>;

const defaultPolicyCopySchema = z.object({
  formatVersion,
  policy: storedDefaultPolicySchema,
  policyChanges,
});
export type DefaultPolicyCopy = z.infer<typeof defaultPolicyCopySchema>;

/** A database's copy, or what is wrong with it. */
export function readPolicyCopy(databaseId: string, text: string): PolicyCopy | string {
  const copy = read(policyCopySchema, text);
  return typeof copy === "string" || copy.databaseId === databaseId ? copy : "it is that of another database";
}

/** The copy of the policy of all databases, or what is wrong with it. */
export function readDefaultPolicyCopy(text: string): DefaultPolicyCopy | string {
  return read(defaultPolicyCopySchema, text);
}

/** The text of either copy, as it is stored. */
export function policyCopyText(
  copy: Omit<PolicyCopy, "formatVersion"> | Omit<DefaultPolicyCopy, "formatVersion">,
): string {
  return `${JSON.stringify({ formatVersion: 1, ...copy }, null, 2)}\n`;
}

function read<T>(schema: z.ZodType<T>, text: string): T | string {
  const copy = schema.safeParse(parsed(text));
  if (copy.success) return copy.data;
  const issue = copy.error.issues[0];
  return `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unreadable"}`;
}
