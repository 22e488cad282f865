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

/** The content of RUN.json; null if there is none, or if no run of ours has written it. */
export function readClaim(text: string | null): Claim | null {
  const claim = claimSchema.safeParse(parsed(text ?? "")).data;
  // Another spelling of a UUID names another object, which would not know the active run.
  const ours =
    claim !== undefined &&
    databaseOfRun(claim.runId) === claim.databaseId &&
    claim.databaseId === claim.databaseId.toLowerCase();
  return ours ? claim : null;
}
