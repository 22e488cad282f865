import { z } from "zod";
import type { DatabaseEntry } from "../account/database-registry.ts";
import type { DatabaseFigures } from "../database/database.ts";
import { findFault } from "../faults/fault-rule.ts";
import { accountStub, databaseStub } from "../stubs.ts";
import { failure, success } from "../wire/envelope.ts";
import { invalid, type Call } from "./call.ts";

const listSchema = z.object({
  page: z.coerce.number().int().min(1).default(1),
  per_page: z.coerce.number().int().min(1).max(10_000).default(100),
  name: z.string().default(""),
});

const createSchema = z.object({
  name: z.string().min(1).max(64),
  jurisdiction: z.enum(["eu", "fedramp", "us"]).optional(),
  primary_location_hint: z.enum(["wnam", "enam", "weur", "eeur", "apac", "oc"]).optional(),
  read_replication: z.object({ mode: z.enum(["auto", "disabled"]) }).optional(),
});

/** The fields of a database; a caller may ask for some of them. */
const FIELDS = [
  "uuid",
  "name",
  "created_at",
  "version",
  "jurisdiction",
  "num_tables",
  "file_size",
  "running_in_region",
  "read_replication",
];

const getSchema = z.object({
  fields: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(FIELDS)))
    .optional(),
});

/** One page of the databases. */
export async function list({ env, body, admission }: Call): Promise<Response> {
  const wish = listSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const { page, per_page, name } = wish.data;
  const { databases, total } = await accountStub(env).list(page, per_page, name);
  const hasTotal = findFault(admission.faults, "no-total-count") === undefined;
  const result_info = { page, per_page, count: databases.length, ...(hasTotal && { total_count: total }) };
  return success(databases.map(listed), 200, { result_info });
}

/** A new, empty database. */
export async function create({ env, body }: Call): Promise<Response> {
  const wish = createSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const { name, jurisdiction, read_replication } = wish.data;
  const options = { jurisdiction, replicationMode: read_replication?.mode };
  const creation = await accountStub(env).create(name, options);
  if ("error" in creation) return failure(creation.error);
  return success(details(creation.database, { num_tables: 0, file_size: 0 }));
}

/** A database with its figures, or some of its fields. */
export async function get({ env, body, admission: { database } }: Call): Promise<Response> {
  const wish = getSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  if (database === undefined) throw new Error("get is admitted for a database only");
  const whole = details(database, await databaseStub(env, database.uuid).figures());
  const { fields } = wish.data;
  if (fields === undefined) return success(whole);
  return success(Object.fromEntries(Object.entries(whole).filter(([name]) => fields.includes(name))));
}

/** Deletes a database. */
export async function remove({ env, uuid }: Call): Promise<Response> {
  await accountStub(env).remove(uuid);
  await databaseStub(env, uuid).destroy();
  return success(null);
}

/** What the list tells of a database. */
function listed({ uuid, name, version, created_at, jurisdiction, shownAs }: DatabaseEntry): object {
  return { uuid, name, version, created_at, jurisdiction, ...overrides(shownAs) };
}

/** What is told of a database by itself. */
function details(entry: DatabaseEntry, figures: DatabaseFigures): object {
  const read_replication = { mode: entry.replicationMode };
  const more = { ...figures, running_in_region: "WEUR", read_replication };
  return { ...listed(entry), ...more, ...overrides(entry.shownAs) };
}

function overrides(shownAs: string): object {
  // Only the control route writes it, and as an object.
  return JSON.parse(shownAs) as object;
}
