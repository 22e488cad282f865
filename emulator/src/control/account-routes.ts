import { Hono } from "hono";
import { z } from "zod";
import { rateLimitSchema, settingsSchema } from "../account/settings.ts";
import { accountStub, databaseStub } from "../stubs.ts";
import { jsonOf, malformed } from "./control-request.ts";

const clockSchema = z.strictObject({ advanceMs: z.int() });

/** What concerns the whole account: its settings, its clock, its rate limit, and forgetting everything. */
export const accountRoutes = new Hono<{ Bindings: Env }>();

accountRoutes.put("/rate-limit", async (c) => {
  const limit = rateLimitSchema.safeParse(await jsonOf(c));
  if (!limit.success) return malformed(limit.error);
  await accountStub(c.env).setRateLimit(limit.data);
  return c.json(limit.data);
});

accountRoutes.get("/settings", async (c) => c.json(await accountStub(c.env).settings()));

accountRoutes.put("/settings", async (c) => {
  const change = settingsSchema.partial().safeParse(await jsonOf(c));
  if (!change.success) return malformed(change.error);
  return c.json(await accountStub(c.env).changeSettings(change.data));
});

accountRoutes.get("/clock", async (c) => c.json({ now: await accountStub(c.env).now() }));

accountRoutes.put("/clock", async (c) => {
  const step = clockSchema.safeParse(await jsonOf(c));
  if (!step.success) return malformed(step.error);
  return c.json({ now: await accountStub(c.env).advanceClock(step.data.advanceMs) });
});

accountRoutes.get("/requests", async (c) => c.json(await accountStub(c.env).requests()));

accountRoutes.post("/reset", async (c) => {
  const account = accountStub(c.env);
  const { databases } = await account.list(1, 1_000_000, "");
  for (const { uuid } of databases) await databaseStub(c.env, uuid).destroy();
  await account.reset();
  for (let page = await c.env.DUMPS.list(); page.objects.length > 0; page = await c.env.DUMPS.list()) {
    await c.env.DUMPS.delete(page.objects.map(({ key }) => key));
  }
  return c.body(null, 204);
});
