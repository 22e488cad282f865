import { join } from "node:path";
import { z } from "zod";
import type { WranglerDev } from "../../scripts/wrangler-dev.ts";
import type { Compression } from "../../src/core/bucket/object-keys.ts";
import type { Dump } from "./emulated-dumps.ts";
import { startWorker } from "./local-worker.ts";
import type { Stage } from "../worker/stages.ts";
import { type Usage, watched } from "./workerd-usage.ts";

/** One of the two ways of copying a dump. */
export type Way =
  | { readonly way: "bare" }
  | {
      readonly way: "pipeline";
      readonly compression: Compression;
      /** The product's own when left out. */
      readonly level?: number;
      readonly encrypted?: boolean;
      readonly lean?: boolean;
    };

export interface Measured {
  readonly usage: Usage;
  readonly storedBytes: number;
  readonly peakHeldBytes: number;
}

const copiedSchema = z.object({
  dumpBytes: z.number(),
  storedBytes: z.number(),
  volumes: z.number(),
  peakHeldBytes: z.number(),
});

const stagedSchema = z.object({ bytes: z.number() });

const clearedSchema = z.object({ deleted: z.number() });

/** The Worker that copies, in processes of its own. */
export class BenchWorker {
  readonly #dev: WranglerDev;

  private constructor(dev: WranglerDev) {
    this.#dev = dev;
  }

  static async start(persistTo: string): Promise<BenchWorker> {
    const config = join(import.meta.dirname, "../wrangler.jsonc");
    return new BenchWorker(await startWorker({ config, persistTo }));
  }

  /** Copies a dump, and empties the bucket afterwards. */
  async copy(dump: Dump, way: Way): Promise<Measured> {
    const url = new URL(`/${way.way}`, this.#dev.url);
    url.searchParams.set("url", dump.url);
    const { way: _, ...wishes } = way;
    for (const [name, wish] of Object.entries(wishes)) url.searchParams.set(name, String(wish));
    const { result, usage } = await watched(this.#dev.pid, () => post(url, copiedSchema));
    if (result.dumpBytes !== dump.bytes) {
      throw new Error(`${result.dumpBytes} bytes were copied of a dump of ${dump.bytes}`);
    }
    await post(new URL("/clear", this.#dev.url), clearedSchema);
    return { usage, storedBytes: result.storedBytes, peakHeldBytes: result.peakHeldBytes };
  }

  /** Runs a part of the dump through one stage, again and again. */
  async stage(dump: Dump, stage: Stage, repetitions: number): Promise<{ cpuSeconds: number; bytes: number }> {
    const url = new URL("/stage", this.#dev.url);
    url.searchParams.set("url", dump.url);
    url.searchParams.set("stage", stage);
    url.searchParams.set("repetitions", String(repetitions));
    const { result, usage } = await watched(this.#dev.pid, () => post(url, stagedSchema));
    return { cpuSeconds: usage.cpuSeconds, bytes: result.bytes };
  }

  /** Asks for one of the Worker's own measurements. */
  async ask<T>(path: string, params: object, answer: z.ZodType<T>): Promise<T> {
    const url = new URL(path, this.#dev.url);
    for (const [name, param] of Object.entries(params)) url.searchParams.set(name, String(param));
    return post(url, answer);
  }

  async close(): Promise<void> {
    await this.#dev.kill();
  }
}

async function post<T>(url: URL, answer: z.ZodType<T>): Promise<T> {
  const response = await fetch(url, { method: "POST" });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${text.slice(0, 1_000)}`);
  return answer.parse(JSON.parse(text));
}
