import { env, exports } from "cloudflare:workers";

/** The Worker under test, with the reference database beside it. */
const ORIGIN = "http://emulator.test";
const ROOT = `${ORIGIN}/client/v4/accounts/emulated-account/d1/database`;

interface Reference {
  REFERENCE: D1Database;
}

/** A D1 database of miniflare's own, whose dump is the reference for ours. */
export function reference(): D1Database {
  // The binding exists in the tests' configuration only.
  return (env as unknown as Reference).REFERENCE;
}

export function emulator(path: string, init?: RequestInit): Promise<Response> {
  return exports.default.fetch(new Request(path.startsWith("http") ? path : `${ORIGIN}${path}`, init));
}

/** Sends a request to a control route. */
export async function control<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init = {
    method,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  };
  const response = await emulator(`/_emulator${path}`, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  // The caller knows what the route answers.
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** A fresh database with this content. */
export async function database(sql = "", name: string = crypto.randomUUID()): Promise<string> {
  return (await control<{ uuid: string }>("POST", "/databases", { name, sql })).uuid;
}

/** Cloudflare's envelope around an answer. */
export interface Envelope<T> {
  status: number;
  headers: Headers;
  success: boolean;
  errors: { code: number; message: string }[];
  result: T;
  result_info?: { page: number; per_page: number; count: number; total_count: number };
}

/** Sends a request to the emulated API. */
export async function api<T>(
  method: string,
  path: string,
  body?: unknown,
  { token = "test-token", root = ROOT }: { token?: string | undefined; root?: string } = {},
): Promise<Envelope<T>> {
  const response = await emulator(`${root}${path}`, {
    method,
    headers: token === "" ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  // The envelope is what this function promises; the tests assert what is in it.
  const envelope = (await response.json()) as Omit<Envelope<T>, "status" | "headers">;
  return { ...envelope, status: response.status, headers: response.headers };
}

/** The inner result of an export or an import. */
export interface Progress {
  success: boolean;
  error?: string;
  errors?: string[];
  type?: string;
  status?: string;
  at_bookmark?: string;
  messages?: string[];
  filename?: string;
  upload_url?: string;
  result?: { filename: string; signed_url: string; num_queries: number; final_bookmark: string };
}

export function startExport(uuid: string, dump_options: object = {}): Promise<Envelope<Progress>> {
  return api<Progress>("POST", `/${uuid}/export`, { output_format: "polling", dump_options });
}

export function pollExport(uuid: string, current_bookmark: string | undefined): Promise<Envelope<Progress>> {
  return api<Progress>("POST", `/${uuid}/export`, { output_format: "polling", current_bookmark });
}

/** The signed URL of an export, as soon as it is complete. */
export async function exportedUrl(uuid: string, dump_options: object = {}): Promise<string> {
  let { result } = await startExport(uuid, dump_options);
  while (result.status === "active") ({ result } = await pollExport(uuid, result.at_bookmark));
  if (result.result === undefined) throw new Error(`not complete: ${JSON.stringify(result)}`);
  return result.result.signed_url;
}

export async function dump(uuid: string, dump_options: object = {}): Promise<string> {
  return (await emulator(await exportedUrl(uuid, dump_options))).text();
}

/** Rows of a query. */
export async function rows(uuid: string, sql: string): Promise<unknown[][]> {
  const { result, errors } = await api<{ results: { rows: unknown[][] } }[]>("POST", `/${uuid}/raw`, { sql });
  const [first] = result ?? [];
  if (first === undefined) throw new Error(JSON.stringify(errors));
  return first.results.rows;
}

export function faults(uuid: string, ...rules: object[]): Promise<unknown> {
  return control("PUT", `/databases/${uuid}/faults`, rules);
}
