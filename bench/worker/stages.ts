import { z } from "zod";

/** What the pipeline does to each byte, one thing at a time. */
export const STAGES = [
  "hash",
  "scan",
  "gzip",
  "zstd",
  "none + age",
  "gzip + age",
  "zstd + age",
  "lean",
  "lean + age",
] as const;
export const stageSchema = z.enum(STAGES);
export type Stage = z.infer<typeof stageSchema>;
