import type { z } from "zod";
import type { Admission } from "../account/account.ts";
import { failure } from "../wire/envelope.ts";

/** What an operation's own code gets to see. */
export interface Call {
  env: Env;
  /** Where signed URLs have to point to. */
  origin: string;
  body: unknown;
  admission: Admission;
  /** The database in the path; empty for operations that have none. */
  uuid: string;
}

/** The answer to a body that is not what the API takes; names the first field that is wrong. */
export function invalid(error: z.ZodError): Response {
  const [issue] = error.issues;
  return failure(
    "invalid",
    `The request is malformed: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
  );
}
