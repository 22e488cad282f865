import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

export interface Dump {
  readonly url: string;
  readonly bytes: number;
}

const databaseSchema = z.object({ uuid: z.string(), name: z.string() });
const syntheticSchema = z.object({ size: z.number() });
const exportSchema = z.object({
  result: z.discriminatedUnion("status", [
    z.object({ status: z.literal("active"), at_bookmark: z.string() }),
    z.object({ status: z.literal("complete"), result: z.object({ signed_url: z.string() }) }),
  ]),
});

/** Between two polls, as D1's documentation shows it. */
const POLL_MS = 1_000;

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
    return { url: await this.#export(uuid), bytes: size };
  }

  /** What a backup takes without this product: an export, and a download of its dump to nowhere. */
  async secondsByHand(uuid: string): Promise<number> {
    const startedAt = performance.now();
    const response = await fetch(await this.#export(uuid));
    if (!response.ok) throw new Error(`the download: ${response.status}`);
    await response.arrayBuffer();
    return (performance.now() - startedAt) / 1_000;
  }

  /** The signed URL of a fresh export. */
  async #export(uuid: string): Promise<string> {
    const url = `${this.apiBaseUrl}/accounts/emulated-account/d1/database/${uuid}/export`;
    for (let wish: object = { output_format: "polling" }; ;) {
      const { result } = exportSchema.parse(await send("POST", url, wish));
      if (result.status === "complete") return result.result.signed_url;
      wish = { output_format: "polling", current_bookmark: result.at_bookmark };
      await sleep(POLL_MS);
    }
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
