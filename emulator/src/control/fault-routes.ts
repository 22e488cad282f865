import { Hono } from "hono";
import { z } from "zod";
import { faultSchema } from "../faults/fault-rule.ts";
import { ALL_DATABASES } from "../faults/fault-store.ts";
import { accountStub } from "../stubs.ts";
import { jsonOf, knownUuid, malformed, unknownDatabase, type Control } from "./control-request.ts";

const faultsSchema = z.array(faultSchema);

/** Says what goes wrong with a database, or with all. */
export const faultRoutes = new Hono<{ Bindings: Env }>();

faultRoutes.put("/:uuid/faults", async (c) => {
  const rules = faultsSchema.safeParse(await jsonOf(c));
  if (!rules.success) return malformed(rules.error);
  const target = await faultTarget(c);
  if (target === undefined) return unknownDatabase(c);
  await accountStub(c.env).setFaults(target, rules.data);
  return c.json(await accountStub(c.env).faults(target));
});

faultRoutes.get("/:uuid/faults", async (c) => c.json(await accountStub(c.env).faults(c.req.param("uuid"))));

faultRoutes.delete("/:uuid/faults", async (c) => {
  await accountStub(c.env).clearFaults(c.req.param("uuid"));
  return c.body(null, 204);
});

async function faultTarget(c: Control): Promise<string | undefined> {
  return c.req.param("uuid") === ALL_DATABASES ? ALL_DATABASES : knownUuid(c);
}
