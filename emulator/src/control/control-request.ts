import type { Context } from "hono";
import type { z } from "zod";
import { accountStub } from "../stubs.ts";

/** A request to a control route. */
export type Control = Context<{ Bindings: Env }>;

/** The body, or undefined when it is not JSON: the schema of the route refuses that. */
export function jsonOf(c: Control): Promise<unknown> {
  return c.req.json<unknown>().catch(() => undefined);
}

/** The uuid of the database in the path, which may also be named. */
export async function knownUuid(c: Control): Promise<string | undefined> {
  return (await accountStub(c.env).find(c.req.param("uuid") ?? ""))?.uuid;
}

/** The answer when there is no such database. */
export function unknownDatabase(c: Control): Response {
  return c.json({ error: `There is no database ${c.req.param("uuid")}.` }, 404);
}

/** Names the field that is wrong. */
export function malformed(error: z.ZodError): Response {
  const issues = error.issues.map(({ path, message }) => ({ field: path.join("."), message }));
  return Response.json({ error: "malformed", issues }, { status: 400 });
}
