import { Hono, type Context } from "hono";
import { z } from "zod";
import { ALL_DATABASES } from "../faults/fault-ledger.ts";
import { faultSchema } from "../faults/faults.ts";
import { createSamples } from "../samples/samples.ts";
import { rateLimitSchema, settingsSchema } from "../account/settings.ts";
import { accountStub, databaseStub } from "../stubs.ts";
import { describeSyntheticDump } from "../dump/synthetic-dump.ts";

type Control = Context<{ Bindings: Env }>;

const newDatabaseSchema = z.strictObject({ name: z.string().min(1), sql: z.string().optional() });
const faultsSchema = z.array(faultSchema);
const clockSchema = z.strictObject({ advanceMs: z.int() });
const syntheticSchema = z.strictObject({
  bytes: z.int().min(1),
  seed: z.int().min(0).default(1),
  compressible: z.boolean().default(true),
});

/** The routes by which a test or a curious user drives the emulator. They need no token. */
export const controlApi = new Hono<{ Bindings: Env }>();

controlApi.post("/databases", async (c) => {
  const wish = newDatabaseSchema.safeParse(await jsonOf(c));
  if (!wish.success) return malformed(wish.error);
  const creation = await accountStub(c.env).create(wish.data.name);
  if ("error" in creation) return c.json({ error: `${wish.data.name}: ${creation.error}` }, 409);
  const { uuid, name } = creation.database;
  const outcome = await runScript(c.env, uuid, new Blob([wish.data.sql ?? ""]).stream());
  return "error" in outcome ? c.json({ uuid, error: outcome.error }, 422) : c.json({ uuid, name }, 201);
});

controlApi.post("/databases/:uuid/sql", async (c) => {
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  const outcome = await runScript(c.env, uuid, c.req.raw.body ?? new Blob([]).stream());
  return "error" in outcome ? c.json({ error: outcome.error }, 422) : c.json(outcome.totals);
});

controlApi.put("/databases/:uuid/name", async (c) => {
  const wish = newDatabaseSchema.pick({ name: true }).safeParse(await jsonOf(c));
  if (!wish.success) return malformed(wish.error);
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  await accountStub(c.env).rename(uuid, wish.data.name);
  return c.json({ uuid, name: wish.data.name });
});

controlApi.get("/databases/:uuid/state", async (c) => {
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  const account = accountStub(c.env);
  const state = await databaseStub(c.env, uuid).state(await account.now());
  return c.json({ ...state, ...(await account.traffic(uuid)) });
});

controlApi.post("/databases/:uuid/synthetic-dump", async (c) => {
  const wish = syntheticSchema.safeParse(await jsonOf(c));
  if (!wish.success) return malformed(wish.error);
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  const dump = describeSyntheticDump(wish.data);
  await databaseStub(c.env, uuid).useSyntheticDump(dump);
  return c.json({ size: dump.size, rows: dump.rows });
});

controlApi.put("/databases/:uuid/faults", async (c) => {
  const rules = faultsSchema.safeParse(await jsonOf(c));
  if (!rules.success) return malformed(rules.error);
  const target = await faultTarget(c);
  if (target === undefined) return unknownDatabase(c);
  await accountStub(c.env).setFaults(target, rules.data);
  return c.json(await accountStub(c.env).faults(target));
});

controlApi.get("/databases/:uuid/faults", async (c) =>
  c.json(await accountStub(c.env).faults(c.req.param("uuid"))),
);

controlApi.delete("/databases/:uuid/faults", async (c) => {
  await accountStub(c.env).clearFaults(c.req.param("uuid"));
  return c.body(null, 204);
});

controlApi.post("/samples", async (c) => c.json(await createSamples(c.env)));

controlApi.put("/rate-limit", async (c) => {
  const limit = rateLimitSchema.safeParse(await jsonOf(c));
  if (!limit.success) return malformed(limit.error);
  await accountStub(c.env).setRateLimit(limit.data);
  return c.json(limit.data);
});

controlApi.get("/settings", async (c) => c.json(await accountStub(c.env).settings()));

controlApi.put("/settings", async (c) => {
  const change = settingsSchema.partial().safeParse(await jsonOf(c));
  if (!change.success) return malformed(change.error);
  return c.json(await accountStub(c.env).changeSettings(change.data));
});

controlApi.get("/clock", async (c) => c.json({ now: await accountStub(c.env).now() }));

controlApi.put("/clock", async (c) => {
  const step = clockSchema.safeParse(await jsonOf(c));
  if (!step.success) return malformed(step.error);
  return c.json({ now: await accountStub(c.env).advanceClock(step.data.advanceMs) });
});

controlApi.get("/requests", async (c) => c.json(await accountStub(c.env).requests()));

controlApi.post("/reset", async (c) => {
  const account = accountStub(c.env);
  const { databases } = await account.list(1, 1_000_000, "");
  for (const { uuid } of databases) await databaseStub(c.env, uuid).destroy();
  await account.reset();
  for (let page = await c.env.DUMPS.list(); page.objects.length > 0; page = await c.env.DUMPS.list()) {
    await c.env.DUMPS.delete(page.objects.map(({ key }) => key));
  }
  return c.body(null, 204);
});

controlApi.all("*", (c) =>
  c.json({ error: "There is no such control route; emulator/README.md lists them." }, 404),
);

async function runScript(env: Env, uuid: string, script: ReadableStream<Uint8Array>) {
  return databaseStub(env, uuid).runScript(script, await accountStub(env).now());
}

function jsonOf(c: Control): Promise<unknown> {
  return c.req.json<unknown>().catch(() => undefined);
}

async function knownUuid(c: Control): Promise<string | undefined> {
  return (await accountStub(c.env).find(c.req.param("uuid") ?? ""))?.uuid;
}

async function faultTarget(c: Control): Promise<string | undefined> {
  return c.req.param("uuid") === ALL_DATABASES ? ALL_DATABASES : knownUuid(c);
}

function unknownDatabase(c: Control): Response {
  return c.json({ error: `There is no database ${c.req.param("uuid")}.` }, 404);
}

/** Names the field that is wrong. */
function malformed(error: z.ZodError): Response {
  const issues = error.issues.map(({ path, message }) => ({ field: path.join("."), message }));
  return Response.json({ error: "malformed", issues }, { status: 400 });
}
