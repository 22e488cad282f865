import { z } from "zod";
import { rowsAsObjects } from "../sql/cell.ts";
import type { StatementResult } from "../sql/sql-runner.ts";
import { databaseStub } from "../stubs.ts";
import { failure, success } from "../wire/envelope.ts";
import { invalid, type Call } from "./call.ts";

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

/** Runs statements and answers with rows as objects. */
export const query = (call: Call): Promise<Response> => run(call, asQueryResult);

/** Runs statements and answers with rows as lists, and the names of the columns once. */
export const raw = (call: Call): Promise<Response> => run(call, asRawResult);

async function run(
  { env, body, uuid, admission }: Call,
  show: (result: StatementResult) => object,
): Promise<Response> {
  const wish = querySchemas.safeParse(body);
  if (!wish.success) return invalid(wish.error);
  const queries = "batch" in wish.data ? wish.data.batch : [wish.data];
  const texts = queries.map(({ sql, params }) => ({ sql, params: params ?? [] }));
  const tooSlow = admission.faults.filter(({ name }) => name === "too-slow");
  if (tooSlow.some(({ text }) => texts.some(({ sql }) => sql.includes(text))))
    return failure("sql", EXCEEDED_TIMEOUT);
  const outcome = await databaseStub(env, uuid).queryTexts(texts, admission.now);
  return "error" in outcome ? failure("sql", outcome.error) : success(outcome.results.map(show));
}

/** What D1 says of a call of more than 30 seconds. */
const EXCEEDED_TIMEOUT =
  "D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.";

function asQueryResult({ columns, rows, meta }: StatementResult): object {
  return { results: rowsAsObjects(columns, rows), success: true, meta };
}

function asRawResult({ columns, rows, meta }: StatementResult): object {
  return { results: { columns, rows }, success: true, meta };
}
