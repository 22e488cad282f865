import {
  endGroup,
  startWranglerDev,
  type WranglerDev,
  type WranglerDevOptions,
} from "../../scripts/wrangler-dev.ts";

/** A Worker that does not build never answers. */
const READY_MS = 30_000;

const groups = new Set<number>();

/** `wrangler dev`, which `endWorkers` ends when nobody else has. */
export async function startWorker(options: WranglerDevOptions): Promise<WranglerDev> {
  return startWranglerDev({ readyTimeoutMs: READY_MS, ...options, onSpawn: (pid) => groups.add(pid) });
}

/** Ends all that were started, also those of a bench that hangs. */
export async function endWorkers(): Promise<void> {
  await Promise.all([...groups].map((group) => endGroup(group)));
}
