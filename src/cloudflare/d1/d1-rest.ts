import { z } from "zod";
import { isUuid } from "../../core/bucket/object-keys.ts";
import type {
  D1Api,
  DatabasePage,
  DatabaseSummary,
  ExportAnswer,
  QueryAnswer,
  SchemaEntry,
} from "../../core/d1/api.ts";
import type { ExportOptions } from "../../core/d1/export-options.ts";
import { type RateSeen, readRate } from "../../core/d1/rate-headers.ts";
import { describeException, failed, type Failure, ok, type Result } from "../../core/failure.ts";
import {
  bookmarkSchema,
  databaseSchema,
  queryRowsSchema,
  readDatabases,
  schemaRowsSchema,
  summary,
} from "./database-answers.ts";
import { type Asked, type Envelope, openEnvelope, unreadable } from "./envelope.ts";
import { readExport } from "./export-answer.ts";

const ANSWER_TIMEOUT_MS = 30_000;

/** A page of 1,000 databases and a schema of some thousand tables fit. A longer answer is not read into memory. */
const ANSWER_LIMIT = 16 * 1024 * 1024;

const ASKING = "asking the database";

/** D1's REST API, as far as backups need it. The token goes to `baseUrl` and nowhere else. */
export class D1Rest implements D1Api {
  readonly #account: readonly [baseUrl: string, accountId: string, token: string];
  readonly #base: string;
  readonly #observer: ((seen: RateSeen) => void) | null;

  /** `observer` gets what each answer's headers say about Cloudflare's limits. */
  constructor(
    baseUrl: string,
    accountId: string,
    token: string,
    observer: ((seen: RateSeen) => void) | null = null,
  ) {
    this.#account = [baseUrl, accountId, token];
    this.#base = `${baseUrl.replace(/\/+$/, "")}/accounts/${encodeURIComponent(accountId)}/d1/database`;
    this.#observer = observer;
  }

  watched(observer: (seen: RateSeen) => void): D1Rest {
    return new D1Rest(...this.#account, observer);
  }

  async listDatabases(page: number, perPage: number): Promise<Result<DatabasePage>> {
    const what = "listing the databases";
    const answer = await this.#call("GET", `?page=${page}&per_page=${perPage}`, null, what);
    if (!answer.ok) return answer;
    const rows = z.array(z.unknown()).safeParse(answer.value.result);
    if (!rows.success) return failed(unreadable(what));
    const total = answer.value.result_info?.total_count ?? null;
    return ok({ ...readDatabases(rows.data), total });
  }

  async getDatabase(idOrName: string): Promise<Result<DatabaseSummary & { fileSize: number | null }>> {
    const what = "reading the database's details";
    const answer = await this.#call("GET", `/${encodeURIComponent(idOrName)}`, null, what);
    if (!answer.ok) return answer;
    const row = databaseSchema.safeParse(answer.value.result);
    if (!row.success) return failed(unreadable(what));
    // An answer about another database must not be mistaken for one about this database.
    if (isUuid(idOrName) && row.data.uuid !== idOrName.toLowerCase()) return failed(unreadable(what));
    return ok({ ...summary(row.data), fileSize: row.data.file_size ?? null });
  }

  async schema(databaseId: string): Promise<Result<SchemaEntry[]>> {
    const what = "reading the database's schema";
    const sql = "SELECT type, name, sql FROM sqlite_master ORDER BY rowid";
    const answer = await this.#call("POST", `/${encodeURIComponent(databaseId)}/query`, { sql }, what);
    if (!answer.ok) return answer;
    const rows = schemaRowsSchema.safeParse(answer.value.result);
    return rows.success ? ok(rows.data[0]?.results ?? []) : failed(unreadable(what));
  }

  async bookmark(databaseId: string): Promise<Result<string>> {
    const what = "reading the database's bookmark";
    const answer = await this.#call(
      "GET",
      `/${encodeURIComponent(databaseId)}/time_travel/bookmark`,
      null,
      what,
    );
    if (!answer.ok) return answer;
    const read = bookmarkSchema.safeParse(answer.value.result);
    return read.success ? ok(read.data.bookmark) : failed(unreadable(what));
  }

  async query(databaseId: string, sql: string): Promise<Result<QueryAnswer>> {
    const answers = await this.#ask(databaseId, { sql }, 1);
    if (!answers.ok) return answers;
    const [first] = answers.value;
    return first === undefined ? failed(unreadable(ASKING)) : ok(first);
  }

  async queryAll(databaseId: string, statements: readonly string[]): Promise<Result<QueryAnswer[]>> {
    return this.#ask(databaseId, { batch: statements.map((sql) => ({ sql })) }, statements.length);
  }

  async #ask(databaseId: string, body: object, statements: number): Promise<Result<QueryAnswer[]>> {
    const answer = await this.#call("POST", `/${encodeURIComponent(databaseId)}/query`, body, ASKING);
    if (!answer.ok) return answer;
    const read = queryRowsSchema.safeParse(answer.value.result).data;
    if (read?.length !== statements) return failed(unreadable(ASKING));
    return ok(read.map(({ results, meta }) => ({ rows: results, rowsRead: meta?.rows_read ?? null })));
  }

  startExport(databaseId: string, options: ExportOptions): Promise<Result<ExportAnswer>> {
    return this.#export(databaseId, options, null, "starting the export");
  }

  pollExport(databaseId: string, options: ExportOptions, bookmark: string): Promise<Result<ExportAnswer>> {
    return this.#export(databaseId, options, bookmark, "polling the export");
  }

  async #export(
    databaseId: string,
    options: ExportOptions,
    bookmark: string | null,
    what: string,
  ): Promise<Result<ExportAnswer>> {
    const body = {
      // required on every poll too
      output_format: "polling",
      dump_options: { no_schema: options.noSchema, no_data: options.noData, tables: options.tables },
      ...(bookmark === null ? {} : { current_bookmark: bookmark }),
    };
    const answer = await this.#call("POST", `/${encodeURIComponent(databaseId)}/export`, body, what);
    if (answer.ok) return readExport(answer.value.result, this.#asked(what));
    // Some refusals come with an HTTP status, some with 200; they mean the same.
    if (answer.failure.code === "database-busy") return ok({ kind: "busy" });
    return answer.failure.code === "export-lost" ? ok({ kind: "lost" }) : answer;
  }

  #asked(what: string): Asked {
    const [baseUrl, , token] = this.#account;
    return { what, baseUrl, token };
  }

  async #call(method: string, path: string, body: unknown, what: string): Promise<Result<Envelope>> {
    let response: Response;
    try {
      response = await fetch(`${this.#base}${path}`, {
        method,
        headers: { Authorization: `Bearer ${this.#account[2]}`, "Content-Type": "application/json" },
        // never follow: the token must not travel to another host
        redirect: "manual",
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        ...(body === null ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      return failed(this.#unreachable(error, what));
    }
    const { status, headers } = response;
    const rate = readRate(headers.get("ratelimit"), headers.get("ratelimit-policy"));
    if (rate !== null) this.#observer?.(rate);
    let text: string | null;
    try {
      text = await textWithin(response, ANSWER_LIMIT);
    } catch (error) {
      // These two say all by their status: how long to wait would get lost with a body that cannot be read.
      if (status !== 429 && status < 500) return failed(this.#unreachable(error, what));
      text = "";
    }
    if (text === null) return failed(oversized(what));
    return openEnvelope(status, headers.get("retry-after"), text, this.#asked(what));
  }

  #unreachable(error: unknown, what: string): Failure {
    return {
      code: "api-unreachable",
      detail: `Cloudflare's API could not be reached (${what}): ${describeException(error, [this.#account[2]])}`,
      hint: "This usually resolves itself. If it persists, check CLOUDFLARE_API_BASE_URL.",
      retryable: true,
    };
  }
}

/** The body as text; null if it is longer than `limit` bytes, of which the rest is not read. */
async function textWithin(response: Response, limit: number): Promise<string | null> {
  if (Number(response.headers.get("Content-Length") ?? 0) > limit) {
    await response.body?.cancel();
    return null;
  }
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    // leaving the loop cancels the body
    if (bytes > limit) return null;
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}

function oversized(what: string): Failure {
  return {
    code: "api-answer-invalid",
    detail: `Cloudflare's API answered with more than ${ANSWER_LIMIT} bytes (${what}).`,
    hint: "No expected answer is that long. Check CLOUDFLARE_API_BASE_URL, and whether there is a proxy in between.",
    retryable: true,
  };
}
