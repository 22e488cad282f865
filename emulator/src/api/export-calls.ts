import { z } from "zod";
import { invalid, type Call } from "./call.ts";
import { failure, success } from "../wire/envelope.ts";
import { BUSY, type ExportAnswer } from "../database/export-session.ts";
import { findFault } from "../faults/fault-rule.ts";
import { accountStub, databaseStub } from "../stubs.ts";

const optionsSchema = z.object({
  no_schema: z.boolean().default(false),
  no_data: z.boolean().default(false),
  tables: z.array(z.string()).default([]),
  compatibility: z.enum(["d1", "sqlite3_cli_only"]).default("d1"),
});

const exportSchema = z.object({
  output_format: z.literal("polling", { error: "must be polling, in every request" }),
  current_bookmark: z.string().optional(),
  dump_options: optionsSchema.prefault({}),
});

/** A service that knows no option but the three that have always been there, and takes no other. */
const strictSchema = exportSchema.extend({
  dump_options: optionsSchema
    .omit({ compatibility: true })
    .strict()
    .transform((options) => ({ ...options, compatibility: "d1" as const }))
    .prefault({}),
});

/** Starts an export or tells how it is going. */
export async function exportAnswer(call: Call): Promise<Response> {
  const isStrict = findFault(call.admission.faults, "strict-options") !== undefined;
  const wish = (isStrict ? strictSchema : exportSchema).safeParse(call.body);
  if (!wish.success) return invalid(wish.error);
  const { current_bookmark, dump_options } = wish.data;
  const { no_schema: noSchema, no_data: noData, tables, compatibility } = dump_options;
  if (compatibility === "sqlite3_cli_only" && (noSchema || noData)) {
    return failure(
      "invalid",
      "dump_options.compatibility sqlite3_cli_only goes with neither no_schema nor no_data.",
    );
  }
  const { env, uuid, admission } = call;
  const { now, settings, faults } = admission;
  const database = databaseStub(env, uuid);
  if (findFault(faults, "busy") !== undefined) return show(call, { kind: "refused", error: BUSY });
  if (findFault(faults, "lose-export") !== undefined) await database.loseExport();
  const failing = findFault(faults, "export-error");
  if (failing !== undefined) {
    await database.loseExport();
    const bookmark = current_bookmark ?? (await database.bookmark());
    const error = failing.message ?? "D1 Export error: something went wrong (fault)";
    return show(call, { kind: "failed", bookmark, error });
  }
  if (current_bookmark !== undefined) {
    const again =
      findFault(faults, "tell-again") === undefined ? null : await database.toldExport(current_bookmark);
    return show(call, again ?? (await database.pollExport(current_bookmark, now, settings.pollWaitMs)));
  }
  const stray = findFault(faults, "stray-line");
  return show(
    call,
    await database.startExport({
      options: { noSchema, noData, tables, compatibility },
      now,
      durationMs: findFault(faults, "slow")?.value ?? settings.exportMs,
      busyAfterRefusalMs: settings.busyAfterRefusalMs,
      strayLine: stray === undefined ? undefined : { before: stray.value, text: stray.text },
    }),
  );
}

async function show({ env, origin, uuid }: Call, answer: ExportAnswer): Promise<Response> {
  if (answer.kind === "refused") return success({ success: false, error: answer.error });
  const common = { success: true, type: "export", at_bookmark: answer.bookmark };
  switch (answer.kind) {
    case "active":
      return success({ ...common, status: "active", messages: answer.messages }, 202);
    case "failed":
      return success({ ...common, status: "error", messages: [], error: answer.error });
    case "complete": {
      const { key, filename, messages } = answer;
      const token = await accountStub(env).sign({ uuid, kind: "download", key, filename });
      const signed_url = `${origin}/_signed/${token}/${filename}`;
      return success({ ...common, status: "complete", messages, result: { filename, signed_url } });
    }
  }
}
