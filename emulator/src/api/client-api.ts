import { Hono, type Context } from "hono";
import { z } from "zod";
import type { Admission } from "../account/account.ts";
import { invalid, type Call } from "./api-call.ts";
import { failure, success } from "../wire/envelope.ts";
import { exportAnswer } from "./export-api.ts";
import type { Operation } from "../faults/faults.ts";
import { importAnswer } from "./import-api.ts";
import { bearerToken } from "../account/permission.ts";
import { rowsAsObjects, type Cell, type StatementResult } from "../sql/sql-runner.ts";
import { answerUnderFaults } from "../faults/struck-answers.ts";
import { accountStub, databaseStub } from "../stubs.ts";

type Api = Context<{ Bindings: Env }>;

const listSchema = z.object({
  page: z.coerce.number().int().min(1).default(1),
  per_page: z.coerce.number().int().min(1).max(10_000).default(100),
  name: z.string().default(""),
});

const createSchema = z.object({ name: z.string().min(1).max(64) });

const cellSchema = z.union([
  z.string(),
  z.number(),
  z.null(),
  z.array(z.number()),
  z.boolean().transform(Number),
]);
const querySchema = z.object({ sql: z.string(), params: z.array(cellSchema).nullish() });
const batchSchema = z.object({ batch: z.array(querySchema).min(1) });
const querySchemas = z.union([querySchema, batchSchema]);

const bookmarkSchema = z.object({ timestamp: z.iso.datetime({ offset: true }).optional() });

/** Cloudflare's API as far as it concerns D1. */
export const clientApi = new Hono<{ Bindings: Env }>();

const ROOT = "/accounts/:account/d1/database";

clientApi.get(ROOT, (c) => call(c, "list", list));
clientApi.post(ROOT, (c) => call(c, "create", create));
clientApi.get(`${ROOT}/:database`, (c) => call(c, "get", get));
clientApi.delete(`${ROOT}/:database`, (c) => call(c, "delete", remove));
clientApi.post(`${ROOT}/:database/query`, (c) => call(c, "query", (it) => query(it, asQueryResult)));
clientApi.post(`${ROOT}/:database/raw`, (c) => call(c, "raw", (it) => query(it, asRawResult)));
clientApi.get(`${ROOT}/:database/time_travel/bookmark`, (c) => call(c, "bookmark", bookmark));
clientApi.post(`${ROOT}/:database/export`, (c) =>
  call(c, (body) => (has(body, "current_bookmark") ? "export.poll" : "export.start"), exportAnswer),
);
clientApi.post(`${ROOT}/:database/import`, (c) => call(c, importOperation, importAnswer));
clientApi.all("*", () => failure("noRoute"));

async function call(
  c: Api,
  operationOf: Operation | ((body: unknown) => Operation),
  effect: (call: Call) => Promise<Response>,
): Promise<Response> {
  const body = c.req.method === "GET" ? c.req.query() : await c.req.json<unknown>().catch(() => undefined);
  const operation = typeof operationOf === "string" ? operationOf : operationOf(body);
  const admission: Admission = await accountStub(c.env).admit({
    operation,
    account: c.req.param("account") ?? "",
    token: bearerToken(c.req.header("authorization")),
    database: c.req.param("database"),
  });
  const handlesSlow = operation === "export.start" || operation === "import.ingest";
  const answer = await answerUnderFaults(c.req.raw, admission.faults, handlesSlow, async () => {
    if (admission.refusal === undefined) {
      const { origin } = new URL(c.req.url);
      return effect({ env: c.env, origin, body, admission, uuid: admission.database?.uuid ?? "" });
    }
    const { error, retryAfterSeconds } = admission.refusal;
    const message =
      error === "notFound" ? `The database ${c.req.param("database")} could not be found` : undefined;
    return failure(
      error,
      message,
      retryAfterSeconds === undefined ? {} : { "retry-after": `${retryAfterSeconds}` },
    );
  });
  for (const [name, value] of Object.entries(admission.headers)) answer.headers.set(name, value);
  return answer;
}

async function list({ env, body }: Call): Promise<Response> {
  const wish = listSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const { page, per_page, name } = wish.data;
  const { databases, total } = await accountStub(env).list(page, per_page, name);
  return success(databases, 200, {
    result_info: { page, per_page, count: databases.length, total_count: total },
  });
}

async function create({ env, body }: Call): Promise<Response> {
  const wish = createSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const creation = await accountStub(env).create(wish.data.name);
  if ("error" in creation) return failure(creation.error);
  return success({ ...creation.database, num_tables: 0, file_size: 0, running_in_region: "WEUR" });
}

async function get({ env, admission, uuid }: Call): Promise<Response> {
  const figures = await databaseStub(env, uuid).figures();
  return success({ ...admission.database, ...figures, running_in_region: "WEUR" });
}

async function remove({ env, uuid }: Call): Promise<Response> {
  await accountStub(env).remove(uuid);
  await databaseStub(env, uuid).destroy();
  return success(null);
}

async function query(
  { env, body, uuid, admission }: Call,
  show: (result: StatementResult) => object,
): Promise<Response> {
  const wish = querySchemas.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const database = databaseStub(env, uuid);
  const outcome =
    "batch" in wish.data
      ? await database.query(
          wish.data.batch.map(({ sql, params }) => ({ sql, params: params ?? [] })),
          admission.now,
        )
      : await database.queryText(wish.data.sql, wish.data.params ?? [], admission.now);
  return "error" in outcome ? failure("sql", outcome.error) : success(outcome.results.map(show));
}

async function bookmark({ env, body, uuid }: Call): Promise<Response> {
  const wish = bookmarkSchema.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const { timestamp } = wish.data;
  const at = timestamp === undefined ? undefined : Date.parse(timestamp);
  return success({ bookmark: await databaseStub(env, uuid).bookmark(at) });
}

function asQueryResult(result: StatementResult): {
  results: Record<string, Cell>[];
  success: true;
  meta: object;
} {
  return { results: rowsAsObjects(result), success: true, meta: result.meta };
}

function asRawResult({ columns, rows, meta }: StatementResult): object {
  return { results: { columns, rows }, success: true, meta };
}

function importOperation(body: unknown): Operation {
  const action = has(body, "action") ? body.action : undefined;
  if (action === "ingest") return "import.ingest";
  return action === "poll" ? "import.poll" : "import.init";
}

function has<Key extends string>(body: unknown, key: Key): body is Record<Key, unknown> {
  return typeof body === "object" && body !== null && key in body;
}
