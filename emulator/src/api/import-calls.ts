import { z } from "zod";
import { invalid, type Call } from "./call.ts";
import { success } from "../wire/envelope.ts";
import { findFault } from "../faults/fault-rule.ts";
import { BUSY_IMPORTING, RESET_BY_DEPLOY, type ImportAnswer } from "../database/import-session.ts";
import { accountStub, databaseStub } from "../stubs.ts";

const etag = z.string().regex(/^[0-9a-f]{32}$/, "must be the MD5 of the file in hexadecimal");

const importSchema = z.discriminatedUnion("action", [
  z.object({ action: z.literal("init"), etag }),
  z.object({ action: z.literal("ingest"), etag, filename: z.string() }),
  z.object({ action: z.literal("poll"), current_bookmark: z.string() }),
]);

/** Asks for an upload, starts an import, or tells how it is going. */
export async function importAnswer(call: Call): Promise<Response> {
  const wish = importSchema.safeParse(call.body);
  if (!wish.success) return invalid(wish.error);
  const { env, uuid, admission } = call;
  const { now, settings, faults } = admission;
  const database = databaseStub(env, uuid);
  if (findFault(faults, "busy") !== undefined) return show(call, { kind: "refused", error: BUSY_IMPORTING });
  if (findFault(faults, "reset-do") !== undefined) {
    await database.resetImport();
    return show(call, { kind: "refused", error: RESET_BY_DEPLOY });
  }
  const failing = findFault(faults, "import-error");
  if (failing !== undefined) {
    await database.resetImport();
    const bookmark = "current_bookmark" in wish.data ? wish.data.current_bookmark : await database.bookmark();
    return show(call, {
      kind: "failed",
      bookmark,
      error: failing.message ?? "D1 Import error: something went wrong (fault)",
    });
  }
  const waitMs = settings.pollWaitMs;
  if (wish.data.action === "poll") {
    return show(call, await database.pollImport(wish.data.current_bookmark, now, waitMs));
  }
  const durationMs = findFault(faults, "slow")?.value ?? settings.exportMs;
  const start = { etag: wish.data.etag, now, durationMs, waitMs };
  return show(
    call,
    wish.data.action === "init"
      ? await database.initImport(start)
      : await database.ingestImport(start, wish.data.filename),
  );
}

async function show({ env, origin, uuid }: Call, answer: ImportAnswer): Promise<Response> {
  if (answer.kind === "refused") return success({ success: false, error: answer.error });
  if (answer.kind === "upload") {
    const { key, filename } = answer;
    const token = await accountStub(env).sign({ uuid, kind: "upload", key, filename });
    return success({ success: true, filename, upload_url: `${origin}/_signed/${token}/${filename}` });
  }
  const common = { success: true, type: "import", at_bookmark: answer.bookmark };
  switch (answer.kind) {
    case "active":
      return success({ ...common, status: "active", messages: answer.messages });
    case "complete":
      return success({ ...common, status: "complete", messages: [], result: answer.result });
    case "failed":
      return success({
        ...common,
        status: "error",
        messages: [],
        errors: [answer.error],
        error: answer.error,
      });
  }
}
