import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Trouble } from "../trouble.ts";

const problemSchema = z.object({ code: z.string().optional(), detail: z.string(), hint: z.string() });

/** An answer that says no, with what it says. */
export class Refusal extends Trouble {
  readonly code: string | null;

  constructor(request: string, status: number, text: string) {
    const problem = problemSchema.safeParse(jsonOf(text));
    super(
      problem.success
        ? `${request} failed with ${status}: ${problem.data.detail} ${problem.data.hint}`
        : `${request} failed with ${status}: ${text.slice(0, 300)}`,
    );
    this.code = (problem.success ? problem.data.code : null) ?? null;
  }
}

/** How long a Worker may be out of reach: it is loaded anew whenever one of its files changes. */
const PATIENCE_MS = 15_000;
const ANSWER_MS = 120_000;

/** One of the two local Workers, over HTTP. Everything that it answers is parsed. */
export class HttpClient {
  readonly #base: string;
  readonly #headers: Record<string, string>;

  constructor(base: string, token: string | null = null) {
    this.#base = base;
    this.#headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  }

  /** Reads; goes on trying for a while when the Worker does not answer, or answers that it cannot just now. */
  async get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const response = await this.#send("GET", path).catch((error: unknown) => unreachable(error));
      const passing = response instanceof Trouble || response.status >= 500;
      if (!passing || Date.now() > deadline) {
        if (response instanceof Trouble) throw response;
        return this.#read(`GET ${path}`, response, schema);
      }
      if (!(response instanceof Trouble)) await response.body?.cancel();
      await sleep(250);
    }
  }

  /** Sends once. Throws a Refusal for any answer but a good one. */
  async send<T>(method: "POST" | "PUT", path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    const response = await this.#send(method, path, JSON.stringify(body));
    return this.#read(`${method} ${path}`, response, schema);
  }

  /** The bytes of an answer, as they come. */
  async download(path: string): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#send("GET", path);
    if (!response.ok) throw new Refusal(`GET ${path}`, response.status, await response.text());
    return response.body ?? new Blob([]).stream();
  }

  async #send(method: string, path: string, body?: string): Promise<Response> {
    const headers = new Headers(this.#headers);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    return fetch(this.#base + path, {
      method,
      headers,
      body: body ?? null,
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  }

  async #read<T>(request: string, response: Response, schema: z.ZodType<T>): Promise<T> {
    const text = await response.text();
    if (!response.ok) throw new Refusal(request, response.status, text);
    const parsed = schema.safeParse(jsonOf(text));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new Trouble(
      `${request} returned an unexpected answer: ${issue?.path.join(".")}: ${issue?.message}.`,
    );
  }
}

function unreachable(error: unknown): Trouble {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return new Trouble(
    `A local Worker does not answer: ${cause instanceof Error ? cause.message : String(cause)}.`,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
