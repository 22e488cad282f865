import { z } from "zod";

/** A run as it was persisted a moment ago. Holds no secret. */
const savedSchema = z.object({
  kind: z.literal("saved"),
  runId: z.string(),
  revision: z.number().int(),
  at: z.string(),
  bookmark: z.boolean(),
  claimed: z.boolean(),
  volumes: z.number().int(),
  verified: z.number().int(),
  upload: z.object({ key: z.string(), uploadId: z.string() }).nullable(),
});

/** The outside world has just been changed, and the run that will say so is not saved yet. */
const effectSchema = z.object({ kind: z.literal("effect"), effect: z.string() });

/** What the Worker under test tells, and awaits the answer to, before it goes on. */
export const momentSchema = z.discriminatedUnion("kind", [savedSchema, effectSchema]);
export type Moment = z.infer<typeof momentSchema>;

/** The same moment of two runs has the same name, whatever happened before it. */
export function nameOf(moment: Moment): string {
  if (moment.kind === "effect") return `before saving that ${moment.effect}`;
  const { at, bookmark, claimed, volumes, verified, upload } = moment;
  const known = [
    at === "exporting" && bookmark ? "export begun" : null,
    at === "copying" ? (claimed ? "folder claimed" : "folder not claimed") : null,
    at === "copying" ? `${volumes} volumes` : null,
    at === "verifying" ? `${verified} of ${volumes} read back` : null,
    upload === null ? null : "upload open",
  ].filter((fact) => fact !== null);
  return ["saved as", at, known.length === 0 ? "" : `(${known.join(", ")})`].join(" ").trim();
}
