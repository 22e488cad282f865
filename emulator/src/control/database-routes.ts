import { Hono } from "hono";
import { z } from "zod";
import { describeSyntheticDump } from "../dump/synthetic-dump.ts";
import { accountStub, databaseStub } from "../stubs.ts";
import { jsonOf, knownUuid, malformed, unknownDatabase } from "./control-request.ts";

const newDatabaseSchema = z.strictObject({ name: z.string().min(1), sql: z.string().optional() });
const shownSchema = z.record(z.string(), z.json());
const syntheticSchema = z.strictObject({
  bytes: z.int().min(1),
  seed: z.int().min(0).default(1),
  compressible: z.boolean().default(true),
});

/** Makes databases, fills them past the API, and tells what happened to them. */
export const databaseRoutes = new Hono<{ Bindings: Env }>();

databaseRoutes.post("/", async (c) => {
  const wish = newDatabaseSchema.safeParse(await jsonOf(c));
  if (!wish.success) return malformed(wish.error);
  const creation = await accountStub(c.env).create(wish.data.name);
  if ("error" in creation) return c.json({ error: `${wish.data.name}: ${creation.error}` }, 409);
  const { uuid, name } = creation.database;
  const outcome = await runScript(c.env, uuid, new Blob([wish.data.sql ?? ""]).stream());
  return "error" in outcome ? c.json({ uuid, error: outcome.error }, 422) : c.json({ uuid, name }, 201);
});

databaseRoutes.post("/:uuid/sql", async (c) => {
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  const outcome = await runScript(c.env, uuid, c.req.raw.body ?? new Blob([]).stream());
  return "error" in outcome ? c.json({ error: outcome.error }, 422) : c.json(outcome.totals);
});

databaseRoutes.put("/:uuid/name", async (c) => {
  const wish = newDatabaseSchema.pick({ name: true }).safeParse(await jsonOf(c));
  if (!wish.success) return malformed(wish.error);
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  await accountStub(c.env).rename(uuid, wish.data.name);
  return c.json({ uuid, name: wish.data.name });
});

databaseRoutes.put("/:uuid/shown-as", async (c) => {
  const fields = shownSchema.safeParse(await jsonOf(c));
  if (!fields.success) return malformed(fields.error);
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  await accountStub(c.env).showAs(uuid, JSON.stringify(fields.data));
  return c.json(fields.data);
});

databaseRoutes.get("/:uuid/state", async (c) => {
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  const account = accountStub(c.env);
  const state = await databaseStub(c.env, uuid).state(await account.now());
  return c.json({ ...state, ...(await account.traffic(uuid)) });
});

databaseRoutes.post("/:uuid/synthetic-dump", async (c) => {
  const wish = syntheticSchema.safeParse(await jsonOf(c));
  if (!wish.success) return malformed(wish.error);
  const uuid = await knownUuid(c);
  if (uuid === undefined) return unknownDatabase(c);
  const dump = describeSyntheticDump(wish.data);
  await databaseStub(c.env, uuid).useSyntheticDump(dump);
  return c.json({ size: dump.size, rows: dump.rows });
});

async function runScript(env: Env, uuid: string, script: ReadableStream<Uint8Array>) {
  return databaseStub(env, uuid).runScript(script, await accountStub(env).now());
}
