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
  // A number may be another group's as soon as all processes of this one are gone.
  let group = 0;
  const onSpawn = (pid: number): void => {
    group = pid;
    groups.add(pid);
  };
  try {
    const dev = await startWranglerDev({ readyTimeoutMs: READY_MS, ...options, onSpawn });
    return {
      ...dev,
      async kill(signal) {
        await dev.kill(signal);
        groups.delete(group);
      },
    };
  } catch (error) {
    // It has ended them itself.
    groups.delete(group);
    throw error;
  }
}

// Also when this process ends by an exception that nobody has caught.
process.on("exit", () => {
  for (const group of groups) {
    try {
      process.kill(-group, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
});

/** Ends all that were started, also those of a bench that hangs. */
export async function endWorkers(): Promise<void> {
  await Promise.all([...groups].map((group) => endGroup(group)));
  groups.clear();
}
