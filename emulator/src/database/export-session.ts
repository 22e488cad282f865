export const BUSY =
  "Currently processing a long-running export. Cannot start a new export until that completes or times out.";
export const NOT_EXPORTING = "Not currently exporting anything.";
export const REFUSED_WHILE_EXPORTING = "D1_ERROR: Currently processing a long-running export.";

/** An export from its start until its end has been told. */
export interface ExportSession {
  bookmark: string;
  key: string;
  filename: string;
  /** When it may be told that the export is complete. */
  completeAt: number;
  lastSeenAt: number;
  state: "generating" | "stored" | "failed";
  parts: number;
  partsTold: number;
  error: string | undefined;
}

/** What an export's start or poll is answered with. */
export type ExportAnswer =
  | { kind: "refused"; error: string }
  | { kind: "active"; bookmark: string; messages: string[] }
  | { kind: "complete"; bookmark: string; messages: string[]; key: string; filename: string }
  | { kind: "failed"; bookmark: string; error: string };

/** The answer of the moment; `complete` and `failed` end the session. */
export function describeExport(session: ExportSession, now: number): ExportAnswer {
  const { bookmark, filename, key, parts } = session;
  if (session.state === "failed") {
    return { kind: "failed", bookmark, error: session.error ?? "D1 Export error: unknown" };
  }
  if (session.state === "stored" && now >= session.completeAt) {
    const messages = [`Finished uploading ${filename} in ${parts} part${parts === 1 ? "" : "s"}.`];
    return { kind: "complete", bookmark, messages, key, filename };
  }
  const uploaded = Array.from(
    { length: parts - session.partsTold },
    (_, index) => `Uploaded part ${parts - index}`,
  );
  return { kind: "active", bookmark, messages: [`Generating ${filename}`, ...uploaded] };
}
