import { Hono, type Context } from "hono";
import type { Admission } from "../account/account.ts";
import { bearerToken } from "../account/permission.ts";
import { answerUnderFaults } from "../faults/fault-answers.ts";
import { padAnswer } from "../faults/padded-answer.ts";
import { accountStub } from "../stubs.ts";
import { failure } from "../wire/envelope.ts";
import type { Operation } from "../wire/operation.ts";
import type { Call } from "./call.ts";
import { create, get, list, remove } from "./database-calls.ts";
import { exportAnswer } from "./export-calls.ts";
import { importAnswer } from "./import-calls.ts";
import { query, raw } from "./query-calls.ts";
import { bookmark } from "./time-travel-calls.ts";

type Api = Context<{ Bindings: Env }>;

/** Cloudflare's API as far as it concerns D1. */
export const clientApi = new Hono<{ Bindings: Env }>();

const ROOT = "/accounts/:account/d1/database";

clientApi.get(ROOT, (c) => call(c, "list", list));
clientApi.post(ROOT, (c) => call(c, "create", create));
clientApi.get(`${ROOT}/:database`, (c) => call(c, "get", get));
clientApi.delete(`${ROOT}/:database`, (c) => call(c, "delete", remove));
clientApi.post(`${ROOT}/:database/query`, (c) => call(c, "query", query));
clientApi.post(`${ROOT}/:database/raw`, (c) => call(c, "raw", raw));
clientApi.get(`${ROOT}/:database/time_travel/bookmark`, (c) => call(c, "bookmark", bookmark));
clientApi.post(`${ROOT}/:database/export`, (c) => call(c, exportOperation, exportAnswer));
clientApi.post(`${ROOT}/:database/import`, (c) => call(c, importOperation, importAnswer));
clientApi.all("*", () => failure("noRoute"));

async function call(
  c: Api,
  operationOf: Operation | ((body: unknown) => Operation),
  effect: (call: Call) => Promise<Response>,
): Promise<Response> {
  const body = c.req.method === "GET" ? queryOf(c) : await c.req.json<unknown>().catch(() => undefined);
  const operation = typeof operationOf === "string" ? operationOf : operationOf(body);
  const admission: Admission = await accountStub(c.env).admit({
    operation,
    account: c.req.param("account") ?? "",
    token: bearerToken(c.req.header("authorization")),
    database: c.req.param("database"),
  });
  const handlesSlow = operation === "export.start" || operation === "import.ingest";
  const struck = await answerUnderFaults(c.req.raw, admission.faults, handlesSlow, async () => {
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
  const answer = await padAnswer(struck, admission.faults);
  for (const [name, value] of Object.entries(admission.headers)) answer.headers.set(name, value);
  return answer;
}

/** The parameters of the query; what is given more than once counts as one list. */
function queryOf(c: Api): Record<string, string> {
  return Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [name, values.join(",")]),
  );
}

function exportOperation(body: unknown): Operation {
  return has(body, "current_bookmark") ? "export.poll" : "export.start";
}

function importOperation(body: unknown): Operation {
  const action = has(body, "action") ? body.action : undefined;
  if (action === "ingest") return "import.ingest";
  return action === "poll" ? "import.poll" : "import.init";
}

function has<Key extends string>(body: unknown, key: Key): body is Record<Key, unknown> {
  return typeof body === "object" && body !== null && key in body;
}
