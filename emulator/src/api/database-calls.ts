import { z } from "zod";
import type { DatabaseEntry } from "../account/database-registry.ts";
import { findFault } from "../faults/fault-rule.ts";
import { accountStub, databaseStub } from "../stubs.ts";
import { failure, success } from "../wire/envelope.ts";
import { invalid, type Call } from "./call.ts";

const listSchema = z.object({
  page: z.coerce.number().int().min(1).default(1),
  per_page: z.coerce.number().int().min(1).max(10_000).default(100),
  name: z.string().default(""),
});

const createSchema = z.object({ name: z.string().min(1).max(64) });

/** One page of the databases. */
export async function list({ env, body, admission }: Call): Promise<Response> {
  const wish = listSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const { page, per_page, name } = wish.data;
  const { databases, total } = await accountStub(env).list(page, per_page, name);
  const hasTotal = findFault(admission.faults, "no-total-count") === undefined;
  const result_info = { page, per_page, count: databases.length, ...(hasTotal && { total_count: total }) };
  return success(
    databases.map((entry) => tell(entry)),
    200,
    { result_info },
  );
}

/** A new, empty database. */
export async function create({ env, body }: Call): Promise<Response> {
  const wish = createSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const creation = await accountStub(env).create(wish.data.name);
  if ("error" in creation) return failure(creation.error);
  return success(tell(creation.database, { num_tables: 0, file_size: 0, running_in_region: "WEUR" }));
}

/** A database with its figures. */
export async function get({ env, admission: { database } }: Call): Promise<Response> {
  if (database === undefined) throw new Error("get is admitted for a database only");
  const figures = await databaseStub(env, database.uuid).figures();
  return success(tell(database, { ...figures, running_in_region: "WEUR" }));
}

/** Deletes a database. */
export async function remove({ env, uuid }: Call): Promise<Response> {
  await accountStub(env).remove(uuid);
  await databaseStub(env, uuid).destroy();
  return success(null);
}

/** What the API tells of a database, with the fields that a test has set. */
function tell({ shownAs, ...entry }: DatabaseEntry, figures: object = {}): object {
  // Only the control route writes it, and as an object.
  return { ...entry, ...figures, ...(JSON.parse(shownAs) as object) };
}
