import { z } from "zod";

export interface Dump {
  readonly url: string;
  readonly bytes: number;
}

const databaseSchema = z.object({ uuid: z.string(), name: z.string() });
const syntheticSchema = z.object({ size: z.number() });
const exportSchema = z.object({
  result: z.object({ status: z.literal("complete"), result: z.object({ signed_url: z.string() }) }),
});

/** The emulator of D1's API, as far as measuring needs it. */
export class EmulatedDumps {
  readonly apiBaseUrl: string;
  readonly #url: string;

  constructor(emulatorUrl: string) {
    this.#url = emulatorUrl;
    this.apiBaseUrl = `${emulatorUrl}/client/v4`;
  }

  /** A made-up dump of this size behind a signed URL, which may be fetched for an hour. */
  async make(name: string, bytes: number, compressible = true): Promise<Dump> {
    const uuid = await this.createDatabase(name, "");
    const control = `${this.#url}/_emulator/databases/${uuid}/synthetic-dump`;
    const { size } = syntheticSchema.parse(await send("POST", control, { bytes, compressible }));
    const exporting = `${this.apiBaseUrl}/accounts/emulated-account/d1/database/${uuid}/export`;
    const answer = exportSchema.parse(await send("POST", exporting, { output_format: "polling" }));
    return { url: answer.result.result.signed_url, bytes: size };
  }

  async createDatabase(name: string, sql: string): Promise<string> {
    return databaseSchema.parse(await send("POST", `${this.#url}/_emulator/databases`, { name, sql })).uuid;
  }

  /** How long each later export takes at least. */
  async setExportMs(exportMs: number): Promise<void> {
    await send("PUT", `${this.#url}/_emulator/settings`, { exportMs });
  }
}

/** Any token will do: the emulator checks none. */
async function send(method: string, url: string, body: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method,
    headers: { Authorization: "Bearer bench", "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response.json();
}
