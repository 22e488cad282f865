import { z } from "zod";
import { parsed } from "../json.ts";
import { databaseOfRun } from "./object-keys.ts";

const claimSchema = z.object({ runId: z.string(), databaseId: z.string() });

/** What RUN.json says; null for what a run of ours does not write. */
export function readClaim(text: string): { runId: string; databaseId: string } | null {
  const claim = claimSchema.safeParse(parsed(text)).data;
  // The object of another spelling of a UUID would know of no run under way.
  const ours =
    claim !== undefined &&
    databaseOfRun(claim.runId) === claim.databaseId &&
    claim.databaseId === claim.databaseId.toLowerCase();
  return ours ? claim : null;
}
