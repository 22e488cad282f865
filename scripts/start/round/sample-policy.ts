import { z } from "zod";
import type { Policy } from "../../../src/core/policy/policy.ts";
import type { HttpClient } from "./http-client.ts";

const viewSchema = z.object({ ownPolicy: z.record(z.string(), z.unknown()) });

/** The sample with a search table. D1 exports no virtual tables, nor any database that has some: it is asked for the rest. */
const SAMPLE = "blog";
const POLICY: Policy = {
  exportOptions: {
    noData: false,
    noSchema: false,
    tables: ["authors", "posts", "comments", "comments_by_post", "sqlite_sequence"],
  },
};

/** Gives the sample its policy, unless somebody has set one. May run twice. */
export async function setSamplePolicy(api: HttpClient): Promise<void> {
  const { ownPolicy } = await api.get(`/api/databases/${SAMPLE}`, viewSchema);
  if (Object.keys(ownPolicy).length > 0) return;
  await api.send("PUT", `/api/databases/${SAMPLE}/policy`, POLICY, z.unknown());
}
