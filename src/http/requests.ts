import type { Context, MiddlewareHandler } from "hono";
import { closestMatch } from "leven";
import { z } from "zod";
import { type Cursor, decodeCursor, encodeCursor, type Page } from "../core/page.ts";
import type { ApiEnv } from "./dependencies.ts";
import { problem } from "./problem.ts";

/** The parsed input, or the 400 that says what is wrong with it. */
export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly response: Response };

/** Reads a JSON body. An optional body that is missing counts as an empty object. */
export async function readBody<T>(
  context: Context<ApiEnv>,
  schema: z.ZodType<T>,
  presence: "optional" | "required" = "optional",
): Promise<Reading<T>> {
  const text = await context.req.text();
  if (presence === "required" && text.trim() === "")
    return { ok: false, response: malformed([{ field: "body", problem: "is missing" }]) };
  let json: unknown = {};
  try {
    if (text.trim() !== "") json = JSON.parse(text);
  } catch {
    return { ok: false, response: malformed([{ field: "body", problem: "is not JSON" }]) };
  }
  return parse(schema, json, "body");
}

/** The routes that read a query, each with its own schema. */
const READS_QUERY = /^(?:GET|HEAD) \/api\/(?:databases|runs|backups)$|^DELETE \/api\/backups\/[^/]+$/;

/** All other routes refuse a query, so that a misspelt parameter is not silently ignored. */
export const refuseQueries: MiddlewareHandler<ApiEnv> = async (context, next) => {
  const none = READS_QUERY.test(`${context.req.method} ${context.req.path}`)
    ? null
    : readQuery(context, z.strictObject({}));
  if (none !== null && !none.ok) return none.response;
  await next();
  return undefined;
};

export function readQuery<T>(context: Context<ApiEnv>, schema: z.ZodType<T>): Reading<T> {
  const twice = Object.entries(context.req.queries()).filter(([, values]) => values.length > 1);
  if (twice.length > 0) {
    const errors = twice
      .slice(0, 20)
      .map(([name]) => ({ field: name.slice(0, 100), problem: "is given more than once" }));
    return { ok: false, response: malformed(errors) };
  }
  return parse(schema, context.req.query(), "query");
}

function parse<T>(schema: z.ZodType<T>, value: unknown, whole: string): Reading<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const errors = parsed.error.issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys")
      return [{ field: issue.path.join(".") || whole, problem: inOurWords(issue.message) }];
    return issue.keys.slice(0, 20).map((key) => ({
      field: [...issue.path, key.slice(0, 100)].join("."),
      problem: `is unknown${meant(schema, issue.path, key)}`,
    }));
  });
  return { ok: false, response: malformed(errors) };
}

/** All our keys are shorter, so a longer key is no misspelling of one. */
const SUGGESTED_LENGTH = 40;

/** The closest known key at this place, if there is one. */
function meant(schema: z.ZodType, path: readonly PropertyKey[], key: string): string {
  // A comparison takes time in proportion to the product of both lengths.
  if (key.length > SUGGESTED_LENGTH) return "";
  const closest = closestMatch(key, keysAt(schema, path));
  return closest === undefined ? "" : `: did you mean ${closest}?`;
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let inner: unknown = schema;
  for (const part of [...path, null]) {
    while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable) inner = inner.unwrap();
    if (!(inner instanceof z.ZodObject)) return [];
    if (part === null) return Object.keys(inner.shape);
    inner = inner.shape[String(part)];
  }
  return [];
}

/** Rewords the validator's message about a wrong type, for schemas that have no message of their own. */
function inOurWords(message: string): string {
  return message.replace(/^Invalid input: expected (\w+), received (\w+)$/, "must be of type $1, not $2");
}

/** 400, with the problem of each field. */
export function malformed(errors: { field: string; problem: string }[]): Response {
  return problem({
    title: "Malformed request",
    status: 400,
    code: "malformed",
    detail: errors.map(({ field, problem: what }) => `${field}: ${what}`).join("; "),
    hint: "Correct these fields and send the request again.",
    errors,
  });
}

/** `limit` and `cursor`, which every list takes. */
export const paging = {
  limit: z.coerce
    .number({ error: "must be a whole number from 1 to 100" })
    .int("must be a whole number from 1 to 100")
    .min(1, "must be 1 or more")
    .max(100, "must be 100 or less")
    .default(25),
  cursor: z
    .string()
    .transform((text, check): Cursor => {
      const cursor = decodeCursor(text);
      if (cursor !== null) return cursor;
      check.addIssue("is not a cursor that a list returned");
      return z.NEVER;
    })
    .optional(),
};

export function pageBody<T>(page: Page<T>): { items: T[]; cursor: string | null } {
  return { items: page.items, cursor: page.cursor === null ? null : encodeCursor(page.cursor) };
}
