import { z } from "zod";
import { parsed } from "../json.ts";
import { databaseOfRun } from "./object-keys.ts";

const claimSchema = z.object({ runId: z.string(), databaseId: z.string() });

/** What RUN.json says: which run a folder belongs to. */
export type Claim = z.infer<typeof claimSchema>;

/** RUN.json, byte for byte. */
export function claimText({ runId, databaseId }: Claim): string {
  return `${JSON.stringify({ runId, databaseId })}\n`;
}

/** What RUN.json says; null for what no run of ours writes, and where there is none. */
export function readClaim(text: string | null): Claim | null {
  const claim = claimSchema.safeParse(parsed(text ?? "")).data;
  // The object of another spelling of a UUID would know of no run under way.
  const ours =
    claim !== undefined &&
    databaseOfRun(claim.runId) === claim.databaseId &&
    claim.databaseId === claim.databaseId.toLowerCase();
  return ours ? claim : null;
}
