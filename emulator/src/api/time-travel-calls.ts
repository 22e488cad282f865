import { z } from "zod";
import { databaseStub } from "../stubs.ts";
import { success } from "../wire/envelope.ts";
import { invalid, type Call } from "./call.ts";

const bookmarkSchema = z.object({ timestamp: z.iso.datetime({ offset: true }).optional() });

/** The bookmark of now, or of the moment that is asked for. */
export async function bookmark({ env, body, uuid }: Call): Promise<Response> {
  const wish = bookmarkSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const { timestamp } = wish.data;
  const at = timestamp === undefined ? undefined : Date.parse(timestamp);
  return success({ bookmark: await databaseStub(env, uuid).bookmark(at) });
}
