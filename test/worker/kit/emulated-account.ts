import { z } from "zod";

/** The emulator's control routes, as these tests use them. It answers all that the Worker under test fetches. */
const CONTROL = "http://emulator.test/_emulator";

export interface Fault {
  readonly on: string;
  readonly fault: string;
  readonly times?: number;
  readonly skip?: number;
  readonly value?: number;
  readonly code?: number;
  readonly message?: string;
  readonly text?: string;
}

async function control(method: string, path: string, body?: unknown): Promise<unknown> {
  const text = typeof body === "string" ? body : body === undefined ? null : JSON.stringify(body);
  const response = await fetch(`${CONTROL}${path}`, { method, body: text });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
  return answer === "" ? null : JSON.parse(answer);
}

const created = z.object({ uuid: z.string() });

let serial = 0;

/** A database of its own for each test; returns its UUID and name. */
export async function createDatabase(
  sql: string,
  name = `db-${++serial}-${crypto.randomUUID().slice(0, 8)}`,
): Promise<{ id: string; name: string }> {
  const { uuid } = created.parse(await control("POST", "/databases", { name, sql }));
  return { id: uuid, name };
}

/** As wrangler or the dashboard deletes it. */
export async function deleteDatabase(id: string): Promise<void> {
  const url = `http://emulator.test/client/v4/accounts/emulated-account/d1/database/${id}`;
  const response = await fetch(url, {
    method: "DELETE",
    headers: { Authorization: "Bearer emulated-token" },
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
}

export async function renameDatabase(id: string, name: string): Promise<void> {
  await control("PUT", `/databases/${id}/name`, { name });
}

export async function runSql(id: string, sql: string): Promise<void> {
  await control("POST", `/databases/${id}/sql`, sql);
}

export async function setFaults(id: string, faults: readonly Fault[]): Promise<void> {
  await control("PUT", `/databases/${id}/faults`, faults);
}

/** Later exports give a made dump of about so many bytes. */
export async function syntheticDump(id: string, bytes: number, compressible = true): Promise<void> {
  await control("POST", `/databases/${id}/synthetic-dump`, { bytes, seed: 1, compressible });
}

const stateSchema = z.object({
  exportsStarted: z.number(),
  pollsSeen: z.number(),
  longestPollGapMs: z.number().nullable(),
  exporting: z.boolean(),
  downloads: z.number(),
  queries: z.number(),
  bearerSeenOnSignedUrl: z.number(),
});

export async function stateOf(id: string): Promise<z.infer<typeof stateSchema>> {
  return stateSchema.parse(await control("GET", `/databases/${id}/state`));
}

export async function settings(changes: Record<string, number>): Promise<void> {
  await control("PUT", "/settings", changes);
}

export async function advanceEmulatorClock(advanceMs: number): Promise<void> {
  await control("PUT", "/clock", { advanceMs });
}

export async function samples(): Promise<Record<string, string>> {
  return z.record(z.string(), z.string()).parse(await control("POST", "/samples"));
}

/** The dump that the emulated D1 gives of this database now, fetched by a client of its own. */
export async function dumpOf(id: string): Promise<string> {
  const url = `http://emulator.test/client/v4/accounts/emulated-account/d1/database/${id}/export`;
  const headers = { Authorization: "Bearer emulated-token", "Content-Type": "application/json" };
  let bookmark: string | undefined;
  for (;;) {
    const response = await fetch(url, {
      method: "POST",
      headers,
      body: JSON.stringify({ output_format: "polling", current_bookmark: bookmark, dump_options: {} }),
    });
    const { result } = exportAnswer.parse(await response.json());
    if (result.result !== undefined) {
      const dump = await fetch(result.result.signed_url);
      // text() warns of a type that is not text's.
      return new TextDecoder().decode(await dump.arrayBuffer());
    }
    bookmark = result.at_bookmark;
  }
}

const exportAnswer = z.object({
  result: z.object({ at_bookmark: z.string(), result: z.object({ signed_url: z.string() }).optional() }),
});

/** Forgets all databases but the catalogue, and all faults. */
export async function resetAccount(): Promise<void> {
  await control("POST", "/reset");
}
